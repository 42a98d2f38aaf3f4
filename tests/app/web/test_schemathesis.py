"""schemathesis against the OpenAPI description: whatever is asked, the answer is one that is described."""

from __future__ import annotations

from contextlib import suppress

import pytest

from tests.app.web.conftest import app_of

schemathesis = pytest.importorskip("schemathesis")
from hypothesis import HealthCheck, Phase, given, settings  # noqa: E402
from hypothesis.errors import Unsatisfiable  # noqa: E402

EXAMPLES = 6  # an operation, as described and against it; the parameters of all tables share their types


def _operations(home):
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", app_of(home, hosts=("testserver",)))


def test_every_operation__answers_as_described(made):
    schema = _operations(made)
    tried = 0
    for result in schema.get_all_operations():
        operation = result.ok()
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):

            @given(case=operation.as_strategy(generation_mode=mode))
            @settings(
                max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, phases=(Phase.explicit, Phase.generate),
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            def check(case):
                nonlocal tried
                tried += 1
                answer = case.call(headers={"host": "localhost"})
                assert answer.status_code < 500 or answer.status_code == 503, (case.formatted_path, answer.text[:300])
                case.validate_response(answer)

            with suppress(Unsatisfiable):  # an operation without parameters cannot be asked wrongly
                check()
    print(f"\nschemathesis: {tried} requests, every answer as described")
    assert tried > 200
