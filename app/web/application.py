"""The app: routes, error answers, what stands around them. Made by ``create_app``; ``nextclose web`` serves it."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, StarletteHTTPException
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from app.web.answering import Answering, refuse, with_security
from app.web.api import PREFIX, api_router, problem
from app.web.calendars import Calendars
from app.web.formats import as_json
from app.web.pages import Pages
from app.web.single import single_router
from app.web.starting import Door, Prefect, starting_router
from app.web.static_files import static_router
from app.web.warming import Warming
from forecasting.errors import InputError, NextcloseError, StorageError, SymbolError
from forecasting.symbols import normalise_symbol
from storage.editions import Busy, Editions
from storage.home import Home
from tasks.web_settings import WebSettings

log = logging.getLogger("nextclose.web")

MOST_AT_ONCE = 300  # requests answered side by side, finished answers among them
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")

_DESCRIPTION = """Forecasts of the next closes, their scores, models, gate decisions,
data quality and runs: the public views of the
published snapshot. Every table comes as JSON, CSV, Arrow or Parquet, by `?format=` or the Accept header. An answer names the
edition that it is from; ask again with its ETag and a 304 says that nothing was published since."""


def create_app(
    home: Home, settings: WebSettings | None = None, *, now: Callable[[], datetime] | None = None, password: str | None = None,
    calendars: Calendars | None = None, warm: bool = True,
) -> FastAPI:  # fmt: skip
    """The web app of a home. ``now``: the clock; ``password``: user:password of the Prefect server, to start runs with.
    ``warm``: make the dear parts of a new edition before somebody waits for them."""
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
    # The last one added is the outermost.
    app.add_middleware(
        Answering,
        editions=editions,
        epoch=Warming(calendars, pages.row_html, warm).epoch,
        cache_mb=settings.cache_mb,
        version=_build(version),
    )
    app.add_middleware(_Guarded, hosts=[*LOCAL_HOSTS, *settings.hosts])
    return app


def _lifespan(app: FastAPI) -> Any:
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def span(_: FastAPI):  # type: ignore[no-untyped-def]
        yield
        app.state.editions.close()

    return span(app)


class _Guarded:
    """Stands outermost: an unknown host gets nothing, not even what is kept for others; every refusal has a line in the log,
    every answer the headers that tell a browser to be strict. Who comes while ``MOST_AT_ONCE`` are answered is told when to
    come again."""

    def __init__(self, app: Any, hosts: list[str]) -> None:
        self.app, self.trusted = app, TrustedHostMiddleware(app, allowed_hosts=hosts, www_redirect=False)
        self._at_once = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.trusted(scope, receive, send)
            return

        send = with_security(send)

        async def watching(message: Any) -> None:
            if message["type"] == "http.response.start" and message["status"] in (400, 405, 422):
                host = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
                log.warning("refused %s %.200r for host %.100r: %s", scope["method"], scope["path"], host, message["status"])
            await send(message)

        if self._at_once >= MOST_AT_ONCE:
            await refuse(send, f"{MOST_AT_ONCE} other requests are being answered")
            return
        self._at_once += 1
        try:
            await self.trusted(scope, receive, watching)
        finally:
            self._at_once -= 1


def _errors(app: FastAPI, pages: Pages) -> None:
    def answer(request: Request, status: int, detail: str, errors: list[Any] | None = None) -> Response:
        if request.url.path.startswith("/api/"):
            return problem(status, detail, errors)
        return pages.refusal(request, status, detail)

    async def not_usable(request: Request, error: RequestValidationError) -> Response:
        told = [{"where": [str(part) for part in e["loc"]], "what": _said(e)} for e in error.errors()]
        first = told[0] if told else {"where": ["?"], "what": "not usable"}
        return answer(request, 422, f"{' '.join(first['where'][1:]) or 'the body'}: {first['what']}", told)

    async def ours(request: Request, error: NextcloseError) -> Response:
        if isinstance(error, Busy):
            made = problem(503, str(error)) if request.url.path.startswith("/api/") else pages.busy(request, error)
            made.headers["retry-after"] = str(error.seconds)
            return made
        status = 503 if isinstance(error, StorageError) else 422 if isinstance(error, InputError) else 500
        if status == 503 and not request.url.path.startswith("/api/"):
            return pages.nothing_published(request, str(error))
        return answer(request, status, str(error))

    async def http(request: Request, error: StarletteHTTPException) -> Response:
        made = answer(request, error.status_code, str(error.detail))
        for name, value in (error.headers or {}).items():
            made.headers[name] = value
        return made

    app.add_exception_handler(RequestValidationError, not_usable)  # type: ignore[arg-type]
    app.add_exception_handler(NextcloseError, ours)  # type: ignore[arg-type]
    app.add_exception_handler(StarletteHTTPException, http)  # type: ignore[arg-type]


def _said(error: Mapping[str, Any]) -> str:
    """What is wrong with a parameter; of a symbol in our own words."""
    names = {"symbol", "symbols", "name"}
    if error["type"] in ("string_pattern_mismatch", "string_too_long", "string_too_short") and names & set(
        map(str, error["loc"])
    ):
        try:
            normalise_symbol(error["input"])
        except SymbolError as why:
            return str(why)
    return error["msg"].removeprefix("Value error, ")


def _version() -> str:
    from app.cli import version

    return version()


def _build(version: str) -> str:
    """Changes with the version and with the files of this package, so that no answer of older code is kept."""
    seen = [
        f"{path.name}{path.stat().st_mtime_ns}" for path in sorted(Path(__file__).parent.rglob("*.*")) if path.suffix != ".pyc"
    ]
    return hashlib.sha256("|".join([version, *seen]).encode()).hexdigest()[:12]


__all__ = ["as_json", "create_app"]
