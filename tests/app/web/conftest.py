"""Stores to look at, and the app on them: in the process for the API, behind a real server for the browser."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from app.web.application import create_app
from app.web.calendars import Calendars
from app.web.serving import listening
from benchmarks.made_store import Shape, make_store
from storage.home import Home
from tasks.web_settings import WebSettings

NOON = datetime(2026, 11, 19, 12, 0, tzinfo=UTC)  # the day after the last session of the made stores, before New York opens
SHAPE = Shape(symbols=12, sessions=130, origins=45, forecasters=("lstm", "persistence", "ewma"))
MANY = Shape(symbols=500, sessions=100, origins=25, forecasters=("lstm", "persistence", "ewma"))
HOSTILE = Shape(symbols=10, sessions=100, origins=10, forecasters=("lstm", "ewma"), hostile=True)
TOKEN = "a-token-of-the-tests-0123456789"


@pytest.fixture(scope="session")
def made(tmp_path_factory) -> Home:
    """Twelve symbols, 45 origins, three forecasters. Not to be written to."""
    return make_store(Home(tmp_path_factory.mktemp("made") / "home"), SHAPE)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory) -> Home:
    """A store whose sentences hold markup and formulas."""
    return make_store(Home(tmp_path_factory.mktemp("hostile") / "home"), HOSTILE)


@pytest.fixture(scope="session")
def many(tmp_path_factory) -> Home:
    """Five hundred symbols."""
    return make_store(Home(tmp_path_factory.mktemp("many") / "home"), MANY)


def app_of(home: Home, now: Callable[[], datetime] = lambda: NOON, **settings: object):
    """The app with a clock of the tests, and weekdays instead of the exchanges' calendars."""
    made = WebSettings.model_validate({"seconds": 60.0, **settings})
    return create_app(home, made, now=now, calendars=Calendars(now, child=False), warm=False)


@contextmanager
def asking(home: Home, host: str = "localhost", **settings: object) -> Iterator:
    """A client of the app in this process."""
    from starlette.testclient import TestClient

    with TestClient(
        app_of(home, **settings),
        base_url=f"http://{host}",
        raise_server_exceptions=False,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def ask(made) -> Iterator:
    """ask.get("/api/v1/...") on the made store."""
    with asking(made) as client:
        yield client


@contextmanager
def serving(home: Home, app: object = None, **settings: object) -> Iterator[str]:
    """The address of a real server, on a free port of loopback, in a thread; of ``app`` where one is given."""
    import uvicorn

    sock = listening("127.0.0.1", 0, WebSettings())
    config = uvicorn.Config(
        app or app_of(home, **settings),
        log_level="error",
        access_log=False,
        lifespan="on",
        ws="none",
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium of the system; the browser tests skip where there is none."""
    import shutil

    for name in ("chromium", "chromium-browser", "google-chrome"):
        if (found := shutil.which(name)) is not None:
            return Path(found)
    pytest.skip("no Chromium on this machine (Debian's package chromium has one)")


@pytest.fixture(scope="module")  # its event loop would stay: after it Prefect answers with coroutines
def browser(chromium) -> Iterator:
    """One Chromium for all browser tests, without a word to any other host."""
    from playwright.sync_api import sync_playwright

    quiet = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
    ]
    quiet += ["--disable-component-update", "--disable-sync"]
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(chromium), args=quiet)
        yield opened
        opened.close()
