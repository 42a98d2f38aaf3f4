"""schemathesis against the OpenAPI description: whatever is asked, the answer is one that is described."""

from __future__ import annotations

from contextlib import suppress
from itertools import product
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest

from tests.app.web.conftest import app_of

jsonschema = pytest.importorskip("jsonschema")
schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402
from schemathesis import GenerationMode  # noqa: E402
from schemathesis.specs.openapi.checks import negative_data_rejection  # noqa: E402

EXAMPLES = 6  # an operation, as described and against it; the parameters of all tables share their types


def _operations(home):
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", app_of(home, hosts=("testserver",)))


def valid_as_sent(parameters: list[dict[str, Any]], address: str) -> bool:
    """Whether the text of ``address`` is a valid question, although what it was made from was not: ``true`` is a boolean where
    schemathesis makes it and, in an address, four letters that a symbol may have."""
    described = {p["name"]: p["schema"] for p in parameters if p["in"] == "query"}
    asked: dict[str, list[str]] = {}
    for name, text in parse_qsl(urlsplit(address).query, keep_blank_values=True):
        asked.setdefault(name, []).append(text)
    needed = {p["name"] for p in parameters if p.get("required") and p["in"] == "query"}
    return needed <= asked.keys() <= described.keys() and all(_may_say(described[name], asked[name]) for name in asked)


def _may_say(schema: dict[str, Any], texts: list[str]) -> bool:
    check = jsonschema.Draft202012Validator(schema, format_checker=jsonschema.FormatChecker())
    for kind in (str, int, float, {"true": True, "false": False}.__getitem__):
        with suppress(ValueError, KeyError):
            readings = [kind(text) for text in texts]
            if check.is_valid(readings) or (len(readings) == 1 and check.is_valid(readings[0])):
                return True
    return False


def _answered_as_described(case: schemathesis.Case, parameters: list[dict[str, Any]], wrong: bool) -> bool:
    """Ask; whether what was meant to be wrong was right in the address. AssertionError or a Failure for an answer that is not
    as described."""
    answer = case.call(headers={"host": "localhost"})
    assert answer.status_code < 500 or answer.status_code == 503, (case.formatted_path, answer.text[:300])
    right = wrong and not case.path_parameters and valid_as_sent(parameters, str(answer.request.url))
    case.validate_response(answer, excluded_checks=[negative_data_rejection] if right else None)
    return right


def test_every_operation__answers_as_described(made):
    schema = _operations(made)
    described = {path: on["get"].get("parameters", []) for path, on in schema.raw_schema["paths"].items() if "get" in on}
    seen: list[bool] = []

    def ask(operation, mode) -> None:
        @given(case=operation.as_strategy(generation_mode=mode))
        @settings(
            max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        def check(case):
            seen.append(_answered_as_described(case, described[operation.path], mode.is_negative))

        with suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
            check()

    for result, mode in product(schema.get_all_operations(), GenerationMode):
        ask(result.ok(), mode)
    print(f"\nschemathesis: {len(seen)} requests, every answer as described")
    assert len(seen) > 200 and sum(seen) < len(seen) / 20  # most wrong questions stay wrong in an address


@pytest.mark.parametrize(
    ("question", "valid"),
    [
        ("symbol=true", True),
        ("symbol=AAPL&limit=5", True),
        ("", True),
        ("limit=true", False),
        ("limit=-1", False),
        ("session_since=yesterday", False),
        ("symbol=" + "A" * 200, False),
        ("symbol=AAPL&symbol=IBM", True),
        ("symbol=AAPL&symbol=-", False),
        ("nothing=1", False),
    ],
)
def test_valid_as_sent__is_what_the_app_takes(made, question, valid):
    """The reading of the description that the test goes by is the app's own: both answer alike, and as is written here."""
    schema = _operations(made)
    address = f"http://testserver/api/v1/prices?{question}"
    assert valid_as_sent(schema.raw_schema["paths"]["/api/v1/prices"]["get"]["parameters"], address) is valid
    answer = schema["/api/v1/prices"]["GET"].Case(query=parse_qs(question)).call(headers={"host": "localhost"})
    assert urlsplit(answer.request.url).query == question and (answer.status_code == 200) is valid
