"""Fixtures for all tests; how several processes share the tests, and what a run says of itself at its end."""

from __future__ import annotations

import fcntl
import gc
import json
import os
import shutil
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import absl.logging
import curl_cffi  # noqa: F401  (before TensorFlow, as in a run, which fetches before it trains: after it, it knows no browser)
import pytest
from hypothesis import settings

# The same examples in every run, and no verdict from a slow machine.
settings.register_profile("nextclose", deadline=None, derandomize=True)
settings.load_profile("nextclose")

# Keras brings a handler that closes its stream when logging is configured anew (a web server does that), unless the stream is
# the process' own. Under pytest it would be the file that collects the output of all tests: the next one dies of it.
absl.logging.get_absl_handler().python_handler.setStream(sys.__stderr__)


def pytest_collection_finish() -> None:
    """What all tests share is loaded now, and no longer looked through each time that garbage is collected."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        from forecasting.lstm import configure_tensorflow

        configure_tensorflow()
        import flows.daily  # noqa: F401
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real market data that is not part of the project; a test that wants it skips where it is absent."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("NEXTCLOSE_SHARED_DATA") or root.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"no shared market data at {folder} (set NEXTCLOSE_SHARED_DATA)")
    return folder


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Callable[[str, Callable[[Path], object]], tuple[Path, object]]:
    """``made_once(name, make)``: this process' copy of a folder that one process of the run made with ``make(folder)``,
    and what that answered, as JSON knows it. Who comes meanwhile waits for it."""
    mine = tmp_path_factory.getbasetemp()
    common = mine.parent if "PYTEST_XDIST_WORKER" in os.environ else mine

    def made(name: str, make: Callable[[Path], object]) -> tuple[Path, object]:
        original, told = common / f"once-{name}", common / f"once-{name}.told"
        with (common / f"once-{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not told.exists():
                shutil.rmtree(original, ignore_errors=True)  # of one that failed
                original.mkdir()
                answer = json.dumps(make(original))
                told.write_text(answer)
        copy = tmp_path_factory.mktemp(name) / "copy"
        return Path(shutil.copytree(original, copy)), json.loads(told.read_text())

    return made


@pytest.fixture(scope="session")
def finished(made_once) -> tuple[Path, dict]:
    """A home in miniature in which one day was done, and the report of it. Not to be written to: take ``copied`` for that."""

    def day(folder: Path) -> dict:
        from flows.daily import daily
        from flows.parameters import Daily
        from tests.tiny import tiny_home

        return daily(Daily(home=str(tiny_home(folder)), origin="2021-03-31"))

    home, report = made_once("finished", day)
    return home, report | {"home": str(home)}


@pytest.fixture
def copied(finished, tmp_path) -> Path:
    """A copy of the home in which the day of 2021-03-31 was done."""
    return Path(shutil.copytree(finished[0], tmp_path / "home"))


@pytest.fixture(autouse=True)
def only_built_in_sources():
    """A source that a test registers is gone after it."""
    from sources.registry import _registered

    before = dict(_registered)
    yield
    _registered.clear()
    _registered.update(before)


@pytest.fixture
def figure(record_property) -> Callable[[str], None]:
    """Say what was counted or measured: it is shown at the end of the run, whichever process the test ran in."""
    return lambda text: record_property("figure", text)


def pytest_terminal_summary(terminalreporter) -> None:
    reports = (report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind))
    said = sorted((report.nodeid, text) for report in reports for name, text in report.user_properties if name == "figure")
    if said:
        terminalreporter.section("figures")
    for _, text in said:
        terminalreporter.line(text)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """How many processes share the tests: one a core, four at most, since each holds TensorFlow; none for a single file,
    whose tests stay together."""
    files = {argument.partition("::")[0] for argument in config.args}
    if len(files) == 1 and Path(*files).is_file():
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, 4) if cores > 1 else 0


ONE_SERVER = "tests/deployments/"  # one server serves all tests of this folder


def together(nodeid: str) -> str:
    """The name of what stays together in one process: the tests of a file, or of all files that share a server."""
    return ONE_SERVER if nodeid.startswith(ONE_SERVER) else nodeid.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log):
    """A file after the other for whichever process is free, but for what stays together."""
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return together(nodeid)

    return Together(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest begins first, by the seconds of the ``slow`` marks, so that at the end no process waits for another.
    Inside a file nothing is moved."""
    seconds: Counter[str] = Counter()
    for item in items:
        if mark := item.get_closest_marker("slow"):
            seconds[together(item.nodeid)] += mark.args[0] if mark.args else 10
    items.sort(key=lambda item: (-seconds[name := together(item.nodeid)], name == ONE_SERVER))
