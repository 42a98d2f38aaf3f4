"""The newcomer's path of the README: its Python runs as it stands, on a published home and a real server."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import pytest

from benchmarks.made_store import Shape, make_store
from storage.home import Home
from tests.app.web.conftest import serving

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Home:
    shape = Shape(symbols=6, sessions=80, origins=10, forecasters=("lstm", "ewma"))
    return make_store(Home(tmp_path_factory.mktemp("newcomer") / "home"), shape)


def said(block: str) -> str:
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(compile(block, "README.md", "exec"), {})
    return told.getvalue()


def test_sql_from_python__answers_a_row_a_symbol(home):
    [block] = [block for block in BLOCKS if "duckdb.connect" in block]
    told = said(block.replace("nextclose-demo/snapshot.duckdb", str(home.snapshot)))
    assert all(f"S00{n}" in told for n in range(6)) and "q50" in told


def test_client_from_python__answers_a_frame(home):
    [block] = [block for block in BLOCKS if "app.client" in block]
    with serving(home) as address:
        told = said(block.replace("http://127.0.0.1:8070", address))
    assert all(f"S00{n}" in told for n in range(6)) and "p_up" in told


def test_pictures__are_light():
    pictures = re.findall(r"\]\((docs/images/[\w-]+\.png)\)", README)
    assert len(pictures) >= 2 and all((ROOT / picture).stat().st_size < 120_000 for picture in pictures)
