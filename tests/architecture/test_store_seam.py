"""One seam for where everything is kept: steps and flows ask of their store what `Store` says, and nobody else opens it."""

from __future__ import annotations

import ast
from pathlib import Path

from storage.database import Database
from storage.store import Store

ROOT = Path(__file__).resolve().parents[2]
SAID = {name for name in vars(Store) if not name.startswith("_")} | set(Store.__annotations__)


def nodes(*packages: str):
    for path in (file for package in packages for file in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node


def test_steps__ask_no_more_of_the_store_than_the_seam_says():
    asked = {}
    for place, node in nodes("tasks", "flows", "app", "deployments"):
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) in ("db", "run.db", "self.db"):
            asked.setdefault(node.attr, place)
    assert {"reading", "writing", "lease", "publish"} <= set(asked)
    assert {name: place for name, place in asked.items() if name not in SAID} == {}


def test_store__is_opened_in_one_place():
    packages = ("tasks", "flows", "app", "deployments", "forecasting", "sources")
    opening = [
        place.split(":")[0]
        for place, node in nodes(*packages)
        if (isinstance(node, ast.Call) and ast.unparse(node.func) in ("Database", "hold_lease", "open_database"))
        or (isinstance(node, ast.ImportFrom) and node.module == "storage.connection")
    ]
    assert opening == ["app/checks_home.py"]  # the doctor looks into the file itself


def test_files_of_ours__are_opened_by_duckdb_in_two_places():
    opened = {place.split(":")[0] for place, node in nodes("storage") if ast.unparse(node) == "duckdb.connect"}
    assert opened == {"storage/attached.py", "storage/snapshot.py"}


def test_database__is_a_store():
    assert {name for name in SAID if not hasattr(Database, name)} == {"home", "mended"}  # told by its making
    assert all(getattr(Database, name).__doc__ for name in SAID - {"home", "mended"})
