"""The house stands: who may import whom, who owns which heavy library, and what a reading command loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("forecasting", "sources", "storage", "tasks", "flows", "deployments", "app")

#: Heavy library -> the only places that may import it.
OWNERS = {
    "yfinance": ("sources/yahoo",),
    "curl_cffi": ("sources/yahoo", "forecasting/lstm/engine.py"),  # there only to be loaded before TensorFlow
    "duckdb": ("storage/", "sources/duckdb_files.py"),
    "tensorflow": ("forecasting/lstm",),
    "keras": ("forecasting/lstm",),
    "prefect": ("tasks/", "flows/", "deployments/"),
    "prefect_dask": ("tasks/clusters.py",),
    "dask": ("tasks/clusters.py",),
    "prefect_ray": ("tasks/clusters.py",),
    "ray": ("tasks/clusters.py",),
    "matplotlib": ("tasks/plots_png.py", "app/web/chart_png.py"),
    "plotly": ("tasks/plots_html.py",),
    "cyclopts": ("app/",),
    "rich": ("app/",),
    "optuna": ("forecasting/tuning.py",),
    "exchange_calendars": ("forecasting/sessions.py",),
}


@cache
def imports_of(path: Path) -> list[tuple[str, bool]]:
    """Each imported top-level name of a file, and whether it is imported when the file is (not inside a function)."""
    found = []

    def walk(node: ast.AST, at_import: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name.split(".")[0], at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom) and child.level == 0:
                found.append(((child.module or "").split(".")[0], at_import))
            checking = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
            inside = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) or checking
            walk(child, at_import and not inside)

    walk(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def python_files() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def test_contracts__hold():
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def test_contracts__notice_a_wrong_import(tmp_path):
    """A flow that reaches for the database breaks the contract, so that the test above can be believed."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    (tmp_path / "storage" / "bars.py").write_text("")
    (tmp_path / "flows" / "daily.py").write_text("import storage.bars\n")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1
    assert "flows want tasks, not the database or a source BROKEN" in " ".join(done.stdout.split())


@pytest.mark.parametrize("library", OWNERS)
def test_heavy_library__has_one_owner(library):
    strangers = [
        str(path.relative_to(ROOT))
        for path in python_files()
        if any(name == library for name, _ in imports_of(path)) and not str(path.relative_to(ROOT)).startswith(OWNERS[library])
    ]
    assert strangers == []


def test_tensorflow_and_prefect__only_inside_functions():
    """Importing a module must not cost four seconds; deployments is the place where Prefect is wanted at once."""
    early = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in python_files()
        for name, at_import in imports_of(path)
        if at_import
        and name in ("tensorflow", "keras", "prefect", "prefect_dask", "prefect_ray", "ray")
        and path.parent.name != "deployments"
    ]
    assert early == []


def test_wall_clock__is_asked_in_one_place():
    """datetime.now and date.today are for tasks/clock.py, the lease and a live source; a step is told what time it is."""
    allowed = {"tasks/clock.py", "storage/lease.py", "sources/yahoo.py"}
    guilty = []
    for path in python_files():
        if str(path.relative_to(ROOT)) in allowed:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Attribute):
                continue
            now = node.attr == "now" and ast.unparse(node.value) in ("datetime", "dt.datetime")
            if now or node.attr in ("utcnow", "today"):
                guilty.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert guilty == []


def test_environment__is_read_by_app_and_flow_entry_only():
    """os.environ: the doors, the flow's entry, the fault hook, keys, what is configured before TensorFlow or Ray is there."""
    allowed = (
        "app/",
        "flows/entry.py",
        "tasks/faults.py",
        "tasks/clusters.py",
        "deployments/",
        "forecasting/lstm",
        "sources/keys.py",
    )
    guilty = [
        f"{path.relative_to(ROOT)}:{node.lineno}"
        for path in python_files()
        if not str(path.relative_to(ROOT)).startswith(allowed)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv") and ast.unparse(node.value) == "os"
    ]
    assert guilty == []


READING = ("forecast", "explain", "scoreboard", "status", "models", "sql", "verify", "quality", "sources", "report")
HEAVY = ("prefect", "tensorflow", "keras", "pandas", "sklearn", "exchange_calendars", "yfinance", "numba", "pyarrow")


@pytest.mark.parametrize("command", READING)
def test_reading_command__loads_nothing_heavy(command, tmp_path):
    """Also when it fails: here there is nothing to read yet."""
    arguments = {"explain": ["TSLA", "2021-03-31"], "forecast": ["TSLA"], "sql": ["FROM runs"]}.get(command, [])
    script = (
        "import json, sys\nfrom app.cli import execute\n"
        f"code = execute({[command, *arguments, '--home', str(tmp_path)]!r})\n"
        f"print(json.dumps([code, [m for m in {HEAVY!r} if m in sys.modules]]))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    code, loaded = json.loads(done.stdout.splitlines()[-1])
    assert loaded == []
    assert code != 1, done.stderr  # 1 would be a fault of ours


def test_help__loads_nothing_heavy_and_no_duckdb():
    unwanted = (*HEAVY, "duckdb", "numpy", "pydantic")
    script = (
        f"import sys\nfrom app.cli import execute\nexecute(['--help'])\nprint([m for m in sys.modules if m in {unwanted!r}])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]"
