"""The app: routes, error answers, what stands around them. Made by ``create_app``; ``nextclose web`` serves it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from app.web.answering import Answering
from app.web.api import PREFIX, api_router, problem
from app.web.calendars import Calendars
from app.web.formats import as_json
from app.web.pages import Pages
from app.web.single import single_router
from app.web.starting import Door, Prefect, starting_router
from app.web.static_files import static_router
from forecasting.errors import InputError, NextcloseError, StorageError
from storage.editions import Editions
from storage.home import Home
from tasks.web_settings import WebSettings

log = logging.getLogger("nextclose.web")

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
THREADS = 8  # pages made side by side; more would only wait for the same two cores

_DESCRIPTION = """Forecasts of the next closes, their scores, models, gate decisions, data quality and runs: the public views of the
published snapshot. Every table comes as JSON, CSV, Arrow or Parquet, by `?format=` or the Accept header. An answer names the
edition that it is from; ask again with its ETag and a 304 says that nothing was published since."""


def create_app(
    home: Home, settings: WebSettings | None = None, *, now: Callable[[], datetime] | None = None, password: str | None = None,
    calendars: Calendars | None = None,
) -> FastAPI:  # fmt: skip
    """The web app of a home. ``now``: the clock; ``password``: user:password of the Prefect server, to start runs with."""
    from tasks.clock import now_utc

    settings, version = settings or WebSettings(), _version()
    editions = Editions(home, memory_mb=settings.memory_mb, seconds=settings.seconds)
    calendars = calendars or Calendars(now or now_utc)
    prefect = Prefect(settings, str(home.path), password)
    door = Door(settings.token.get_secret_value(), prefect) if settings.token else None
    app = FastAPI(
        title="nextclose", version=version, description=_DESCRIPTION, docs_url=None, redoc_url=None,
        openapi_url=f"{PREFIX}/openapi.json", lifespan=_lifespan,
    )  # fmt: skip
    pages = Pages(home, settings, calendars, prefect, door, now or now_utc)
    app.include_router(static_router())
    if door is not None:
        app.include_router(starting_router(door))
    app.include_router(api_router())
    app.include_router(single_router(calendars, editions))  # after it: /models/evaluations is no model
    app.include_router(pages.router())
    _errors(app, pages)
    app.state.editions, app.state.calendars = editions, calendars
    hosts = [*LOCAL_HOSTS, *settings.hosts]
    # The last one added is the outermost: headers and the cache stand around everything else.
    app.add_middleware(_Guarded, hosts=hosts)
    app.add_middleware(Answering, editions=editions, epoch=calendars.epoch, cache_mb=settings.cache_mb, version=_build(version))
    return app


def _lifespan(app: FastAPI) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def span(_: FastAPI):  # type: ignore[no-untyped-def]
        import anyio.to_thread

        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        yield

    return span(app)


class _Guarded:
    """Refuses what no page of ours asks for: an unknown host, a method that writes. Each with a line in the log."""

    def __init__(self, app: Any, hosts: list[str]) -> None:
        self.app, self.trusted = app, TrustedHostMiddleware(app, allowed_hosts=hosts, www_redirect=False)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.trusted(scope, receive, send)
            return

        async def watching(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 405, 422):
                host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
                log.warning("refused %s %.200r for host %.100r: %s", scope["method"], scope["path"], host, message["status"])
            await send(message)

        await self.trusted(scope, receive, watching)


def _errors(app: FastAPI, pages: Pages) -> None:
    def answer(request: Request, status: int, detail: str, errors: list[Any] | None = None) -> Response:
        if request.url.path.startswith("/api/"):
            return problem(status, detail, errors)
        return pages.refusal(request, status, detail)

    async def not_usable(request: Request, error: RequestValidationError) -> Response:
        told = [{"where": [str(p) for p in e["loc"]], "what": e["msg"].removeprefix("Value error, ")} for e in error.errors()]
        first = told[0] if told else {"where": ["?"], "what": "not usable"}
        return answer(request, 422, f"{first['where'][-1]}: {first['what']}", told)

    async def ours(request: Request, error: NextcloseError) -> Response:
        status = 503 if isinstance(error, StorageError) else 422 if isinstance(error, InputError) else 500
        if status == 503 and not request.url.path.startswith("/api/"):
            return pages.nothing_published(request, str(error))
        return answer(request, status, str(error))

    async def http(request: Request, error: HTTPException) -> Response:
        made = answer(request, error.status_code, str(error.detail))
        for name, value in (error.headers or {}).items():
            made.headers[name] = value
        return made

    app.add_exception_handler(RequestValidationError, not_usable)  # type: ignore[arg-type]
    app.add_exception_handler(NextcloseError, ours)  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, http)  # type: ignore[arg-type]


def _version() -> str:
    from app.cli import version

    return version()


def _build(version: str) -> str:
    """Changes with the version and with the files of this package, so that no answer of older code is kept."""
    seen = [f"{path.name}{path.stat().st_mtime_ns}" for path in sorted(Path(__file__).parent.rglob("*.*")) if path.suffix != ".pyc"]
    return hashlib.sha256("|".join([version, *seen]).encode()).hexdigest()[:12]


__all__ = ["as_json", "create_app"]
