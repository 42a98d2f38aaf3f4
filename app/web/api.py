"""``/api/v1``: every public table as JSON, CSV, Arrow or Parquet; read-only."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Path, Query, Request, Response

from app.web.described import description_of
from app.web.formats import MEDIA, as_json, chosen, encoded
from app.web.parameters import Day, Formed, Symbol, model_for
from app.web.questions import EVERYBODY, HISTORY, LATEST, PRICES, QUESTIONS, Question
from forecasting.errors import StorageError
from storage.editions import Edition, Table

PREFIX = "/api/v1"
SymbolInPath = Annotated[Symbol, Path(description="the symbol as the exchange writes it", examples=["AAPL"])]
DayInPath = Annotated[Day, Path(description="the origin, a session", examples=["2013-03-01"])]


def edition_of(request: Request) -> Edition:
    """The edition that the request is answered from; StorageError (503) where there is none."""
    edition = request.state.edition
    if edition is None:
        raise StorageError(request.state.problem)
    return edition


def api_router() -> APIRouter:
    """The routes that read. Each table once as it is, and the forecasts by symbol and origin."""
    router = APIRouter(prefix=PREFIX)
    for question in QUESTIONS:
        _add(router, question, question.path, question.filters)
    _add(
        router,
        LATEST,
        "/forecasts/{symbol}",
        ("horizon", "forecaster"),
        ("symbol",),
        "The newest served forecast of one symbol",
    )
    _add(
        router, HISTORY, "/forecasts/{symbol}/history",
        ("horizon", "forecaster", "mode", "settled", "since", "until"), ("symbol",),
        "Every forecast of one symbol that was served, with what came true",
    )  # fmt: skip
    _add(
        router, EVERYBODY, "/forecasts/{symbol}/{origin}", ("horizon", "forecaster", "serving"), ("symbol", "origin"),
        "What every forecaster said of one symbol from one origin",
    )  # fmt: skip
    _add(
        router, PRICES, "/prices/{symbol}", ("session_since", "session_until"), ("symbol",),
        "The bars of one symbol as traded, the newest first",
    )  # fmt: skip
    return router


def _add(
    router: APIRouter, question: Question, path: str, filters: tuple[str, ...], in_path: tuple[str, ...] = (), summary: str = ""
) -> None:
    """One route. Its function is made here; FastAPI reads the parameters from the signature that it is given."""
    model = model_for(question, filters)

    def answer(request: Request, asked: Formed, **named: Any) -> Response:
        given = asked.model_dump(include=set(filters))
        if "symbol" in named:
            given["symbol"] = [named["symbol"]]
        if "origin" in named:
            given["since"] = given["until"] = named["origin"]
        edition = edition_of(request)
        table = question.ask(edition, asked.limit + 1, asked.offset, **given)
        if "symbol" in named and not table.rows and not asked.offset:
            return _nothing(
                f"there is nothing of {named['symbol']} that fits; `nextclose forecast {named['symbol']}` says more"
            )
        return _formed(request, edition, table, asked)

    kinds = {"symbol": SymbolInPath, "origin": DayInPath}
    parameters = [inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=Request)]
    parameters += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=kinds[name]) for name in in_path]
    parameters.append(inspect.Parameter("asked", inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[model, Query()]))
    answer.__signature__ = inspect.Signature(parameters)
    answer.__name__ = "_".join(part.strip("{}") for part in path.strip("/").replace("-", "_").split("/"))
    router.add_api_route(
        path, answer, methods=["GET"], summary=summary or question.summary, tags=[question.tag],
        response_class=Response, responses=description_of(question, one=bool(in_path)), operation_id=answer.__name__,
    )  # fmt: skip


def _formed(request: Request, edition: Edition, table: Table, asked: Formed) -> Response:
    form = chosen(asked.format, request.headers.get("accept", ""))
    more = len(table.rows) > asked.limit
    table = Table(table.columns, table.types, table.rows[: asked.limit])
    following = _next(request, asked) if more else None
    envelope = {
        "edition": edition.id, "published_at": edition.published_at, "limit": asked.limit, "offset": asked.offset,
        "count": len(table.rows), "next": following,
    }  # fmt: skip
    headers = {"x-edition": edition.id}
    if following:
        headers["link"] = f'<{following}>; rel="next"'
    if form != "json":
        name = request.url.path.removeprefix(PREFIX).strip("/").replace("/", "-").replace('"', "")
        safe = "".join(c if c.isalnum() or c in "-." else "_" for c in name)
        headers["content-disposition"] = f'attachment; filename="{safe}.{form}"'
    return Response(encoded(table, form, envelope), media_type=MEDIA[form], headers=headers)


def _next(request: Request, asked: Formed) -> str:
    """The address of the rows after these, on this host."""
    query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("offset", "limit")]
    return f"{request.url.path}?{urlencode([*query, ('limit', asked.limit), ('offset', asked.offset + asked.limit)])}"


def _nothing(detail: str) -> Response:
    return problem(404, detail)


def problem(status: int, detail: str, errors: list[Mapping[str, Any]] | None = None) -> Response:
    """An error of the API: one sentence, and for wrong parameters the list of them."""
    body = {"detail": detail} | ({"errors": errors} if errors else {})
    return Response(as_json(body), status, media_type="application/json")
