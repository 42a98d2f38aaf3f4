"""The lock and the bounds: what a newcomer's machine gets is what was tested."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def locked() -> dict[str, tuple[Version, str, int]]:
    """name -> version, environment marker, number of hashes."""
    found = {}
    for entry in re.split(r"\n(?=\S)", LOCK):
        head = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)(?:\s*;\s*([^\\\n]*))?", entry)
        if head:
            name = head[1].lower().replace("_", "-")
            found[f"{name} {head[3] or ''}".strip()] = (Version(head[2]), head[3] or "", entry.count("--hash=sha256:"))
    return found


def test_lock__holds_no_address_and_no_path():
    assert re.findall(r"https?:|file:|git\+|@ |/work|/home|/root|/tmp|--index|--find-links|--extra", LOCK) == []


def test_lock__has_a_hash_for_every_package():
    packages = locked()
    assert len(packages) > 100
    assert [name for name, (_, _, hashes) in packages.items() if hashes == 0] == []


def test_lock__names_the_pip_that_start_installs_with():
    assert re.search(r"^pip==", LOCK, re.MULTILINE)


def test_lock__satisfies_every_declared_dependency():
    versions: dict[str, list[Version]] = {}
    for name, (version, _, _) in locked().items():
        versions.setdefault(name.split(" ")[0], []).append(version)
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
    wrong = []
    for text in declared:
        need = Requirement(text)
        name = need.name.lower().replace("_", "-")
        if name not in versions or not all(need.specifier.contains(v, prereleases=True) for v in versions[name]):
            wrong.append(text)
    assert wrong == []


def test_bounds__that_keep_the_prefect_server_alive():
    """fastapi from 0.151 on: the server does not start; sqlalchemy 2.1: it starts and never schedules a run."""
    bounds = {Requirement(text).name: Requirement(text).specifier for text in PROJECT["dependencies"]}
    assert not bounds["fastapi"].contains("0.151.0") and bounds["fastapi"].contains("0.150.0")
    assert not bounds["sqlalchemy"].contains("2.1.0") and bounds["sqlalchemy"].contains("2.0.57")
    assert not bounds["prefect"].contains("3.10.0") and bounds["prefect"].contains("3.8.8")
    assert not bounds["duckdb"].contains("2.1.0")
    assert PROJECT["requires-python"] == ">=3.11,<3.14"


def test_project__keeps_no_generated_or_private_file():
    """What is tracked: no virtual environment, no home folder, no secret, no cache."""
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    tracked = done.stdout.splitlines() if done.returncode == 0 else []
    forbidden = re.compile(r"(^|/)(\.venv|__pycache__|\.env|nextclose-home|nextclose-demo)(/|$)|\.pyc$|\.duckdb$")
    assert [name for name in tracked if forbidden.search(name)] == []


def test_dependencies__are_what_the_code_imports():
    import ast
    import sys

    packages = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["root_packages"]
    imported: set[str] = set()
    for path in (file for package in packages for file in (ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                imported.add((node.module or "").split(".")[0])
    called = {"sklearn": "scikit-learn"}
    third = {called.get(name, name.replace("_", "-")) for name in imported - set(sys.stdlib_module_names) - set(packages)}
    declared = {Requirement(text).name for text in PROJECT["dependencies"]}
    optional = PROJECT["optional-dependencies"]
    extras = {Requirement(text).name for extra in ("excel", "garch", "dask", "ray") for text in optional[extra]}
    assert third - declared == extras  # asked for where it is needed, with a sentence that names the extra
    assert declared - third == set()
