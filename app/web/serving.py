"""The process of ``nextclose web``: one event loop, some threads, bounded in connections, until it is told to stop."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Mapping

from forecasting.errors import InputError, SettingError
from storage.home import Home
from tasks.loopback import is_loopback
from tasks.web_settings import WebSettings

MOST_CONNECTIONS = 900  # the last resort, below the open files that a process may usually have
_PASSWORD_FILE = "server-password"


def listening(host: str, port: int, settings: WebSettings) -> socket.socket:
    """A socket that listens. SettingError where others could reach it and no name is set under which they may."""
    if not is_loopback(host) and not settings.hosts:
        raise SettingError(
            "web.host",
            host,
            '127.0.0.1, or the names under which others reach it in web.hosts, such as hosts = ["forecasts.example.org"]',
        )
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off only where the protocol is named; with it every answer would take 40 ms more.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((host, port))
        sock.listen(512)
    except OSError as error:
        sock.close()
        raise InputError(f"cannot listen on {host}:{port} ({error.strerror}); choose another with --port N") from error
    return sock


def serve(home: Home, settings: WebSettings, sock: socket.socket, environment: Mapping[str, str]) -> int:
    """Answer until SIGINT or SIGTERM."""
    import uvicorn

    from app.web.application import create_app

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    own = logging.getLogger("nextclose.web")
    own.addHandler(handler)
    own.setLevel(logging.INFO)
    app = create_app(home, settings, password=prefect_login(home, environment))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=5, h11_max_incomplete_event_size=32 * 1024, lifespan="on", ws="none",
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[sock])
    return 0


def prefect_login(home: Home, environment: Mapping[str, str]) -> str | None:
    """user:password of the Prefect server of this home: of the environment, else of the file that `nextclose serve` made."""
    if login := environment.get("PREFECT_API_AUTH_STRING"):
        return login
    if password := environment.get("NEXTCLOSE_PASSWORD"):
        return f"nextclose:{password}"
    try:
        return (home.path / _PASSWORD_FILE).read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
