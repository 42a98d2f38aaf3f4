"""docs/web.md and docs/api.md: every route, filter and setting is in them, and their examples run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from app.web.questions import QUESTIONS
from tasks.settings import settings_of
from tasks.web_settings import WebSettings

DOCS = Path(__file__).resolve().parents[2] / "docs"
API = (DOCS / "api.md").read_text(encoding="utf-8")
WEB = (DOCS / "web.md").read_text(encoding="utf-8")


def routes() -> dict[str, set[str]]:
    """Route -> its filters, from the table."""
    found = {}
    for names, _, filters in re.findall(r"^\| (`/.+?`) \| (.*?) \| (.*?) ?\|$", API, flags=re.MULTILINE):
        for name in re.findall(r"`(/[^`]*)`", names):
            found[name] = set(re.findall(r"\w+", filters))
    return found


def test_api__every_table_is_there_with_its_filters():
    assert {q.path: set(q.filters) for q in QUESTIONS} == {q.path: routes()[q.path] for q in QUESTIONS}


def test_api__no_route_is_promised_that_is_not_there(tmp_path):
    from app.web.application import create_app
    from storage.home import Home

    paths = create_app(Home(tmp_path), WebSettings(token="0123456789abcdef")).openapi()["paths"]
    assert {f"/api/v1{path}" for path in routes()} <= set(paths)
    assert set(paths) - {f"/api/v1{path}" for path in routes()} == {"/api/v1/runs/started/{run}"}


def test_web__every_setting_is_explained_with_its_default():
    told = dict(re.findall(r"^\| `(\w+)` \| (.*?) \|", WEB, flags=re.MULTILINE))
    assert set(told) == set(WebSettings.model_fields)
    for name, field in WebSettings.model_fields.items():
        said = told[name].strip("`")
        assert said == {None: "none", (): "none", True: "true"}.get(
            field.default, f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
        )
    settings = settings_of(tomllib.loads(re.search(r"```toml\n(.*?)```", WEB, flags=re.DOTALL)[1]))
    assert settings.web.hosts == ("forecasts.example.org",)


@pytest.mark.parametrize("page", ["web.md", "api.md"])
def test_pictures__are_there_and_small(page):
    for name in re.findall(r"\]\((images/[^)]+)\)", (DOCS / page).read_text(encoding="utf-8")):
        assert (DOCS / name).stat().st_size < 200_000, name


def test_api__its_python_example_runs(monkeypatch, capsys, tmp_path):
    from benchmarks.made_store import Shape, make_store
    from storage.home import Home
    from tests.app.web.conftest import serving

    home = make_store(Home(tmp_path / "home"), Shape(symbols=4, sessions=60, origins=8, forecasters=("lstm", "ewma")))
    example = re.search(r"```python\n(.*?)```", API, flags=re.DOTALL)[1]
    with serving(home) as address:
        exec(
            compile(
                example.replace("http://127.0.0.1:8070", address).replace("AAPL", "S001").replace("IBM", "S002"),
                "api.md",
                "exec",
            ),
            {},
        )
    said = capsys.readouterr().out
    assert "S002" in said and "served" in said
