"""The pages: HTML that reads without a script; each route asks its module for what to show and hands it to a template."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from fastapi import Path as InPath
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.common import DEFAULT_HOME
from app.web import contributions, health, models, runs, scores, symbol, today
from app.web.api import edition_of
from app.web.calendars import Calendars
from app.web.charts import Chart
from app.web.formats import as_json
from app.web.parameters import Hex, Horizon, Symbol, Word, symbol_of
from app.web.questions import QUESTIONS
from app.web.starting import Door, Prefect
from app.web.static_files import address
from app.web.words import FILTERS, Markup
from storage.editions import Busy, Edition
from storage.home import Home
from tasks.web_settings import WebSettings

TEMPLATES = Path(__file__).parent / "templates"
Span = Literal["3m", "1y", "3y", "all"]
Mode = Literal["live", "backfill"]
Asked = Annotated[Horizon | None, Query()]
Named = Annotated[Word | None, Query()]
ChartKey = Annotated[str, InPath(pattern=r"^[a-z-]{1,30}$")]
_WAITS = 4.0  # seconds that a page waits for what is being counted
_DRAWING = threading.Lock()  # Matplotlib's fonts are shared by all threads


def environment() -> Environment:
    """Templates with everything escaped, and an error for a name that is not there."""
    env = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.filters.update(FILTERS)
    env.globals["address"] = address
    env.filters["chart_json"] = chart_json
    return env


def chart_json(chart: Chart) -> Any:
    """The chart for a data block in the page: as it stands in a script element, nothing in it can end that element."""
    text = as_json(chart.plain()).decode()
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


class Pages:
    """The routes of the pages, and the pages that say why there is nothing to see."""

    def __init__(
        self, home: Home, settings: WebSettings, calendars: Calendars, prefect: Prefect, door: Door | None,
        now: Callable[[], datetime]
    ) -> None:  # fmt: skip
        self.home, self.settings, self.calendars, self.prefect, self.door, self.now = (
            home,
            settings,
            calendars,
            prefect,
            door,
            now,
        )
        self.env = environment()
        self.asker = contributions.Asker(home)
        # What is typed without it goes into ./nextclose-home; those who look from elsewhere are not told of folders here.
        self.home_option = "" if home.path.name == DEFAULT_HOME or settings.hosts else f" --home {quote(str(home.path))}"

    def shown(self, request: Request, name: str, code: int = 200, /, **values: Any) -> Response:
        """The template with what every page says: which edition, how fresh."""
        edition: Edition | None = request.state.edition
        banner = None
        if edition is not None:
            self.calendars.epoch(edition)
            banner = today.banner(self.calendars.lags(edition), True)
        text = self.env.get_template(name).render(
            edition=edition,
            banner=banner,
            path=request.url.path,
            door=self.door is not None,
            explains=self.settings.explain,
            home_option=self.home_option,
            **values,
        )
        return Response(text, code, media_type="text/html; charset=utf-8")

    def refusal(self, request: Request, status: int, detail: str) -> Response:
        titles = {404: "There is no such page", 405: "Not here", 422: "That cannot be shown", 400: "That cannot be answered"}
        return self.shown(request, "refusal.html", status, title=titles.get(status, "Something went wrong"), detail=detail)

    def busy(self, request: Request, error: Busy) -> Response:
        """A page that asks nothing, and loads again by itself."""
        request.state.edition = None
        return self.shown(request, "busy.html", 503, detail=str(error), seconds=error.seconds)

    def nothing_published(self, request: Request, detail: str) -> Response:
        request.state.edition = None
        return self.shown(request, "empty.html", 503, title="Nothing is published yet", detail=detail, home=str(self.home.path))

    def row_html(self, edition: Edition) -> dict[str, Any]:
        """Symbol -> its row of Today: the same however the table is sorted, so made once for the edition."""

        def make() -> dict[str, Any]:
            rows = today.everything(edition)
            if not rows:
                return {}
            horizons = sorted({h for row in rows for h in row.horizons})
            newest, template = max(row.origin for row in rows), self.env.get_template("today_row.html")
            return {row.symbol: Markup(template.render(r=row, horizons=horizons, newest=newest)) for row in rows}

        return edition.kept("rows of today", make)

    def png(self, charts: Sequence[Chart], key: str) -> Response:
        from app.web.chart_png import png

        chart = next((chart for chart in charts if chart.key == key), None)
        if chart is None:
            raise HTTPException(404, f"there is no chart {key}; there are {', '.join(c.key for c in charts)}")
        with _DRAWING:
            return Response(png(chart), media_type="image/png")

    def router(self) -> APIRouter:
        router = APIRouter(include_in_schema=False)
        for add in (self._today, self._symbol, self._scores, self._models, self._data, self._runs):
            add(router)
        return router

    def _today(self, router: APIRouter) -> None:
        @router.get("/")
        def page(
            request: Request, q: Annotated[str, Query(max_length=30)] = "", sort: Annotated[str,
            Query(pattern=r"^[a-z0-9]{1,20}$")] = "symbol",
            dir: Literal["up", "down"] = "up", who: Annotated[str, Query(max_length=60)] = "",
            only: Literal["", "late", "stale", "fallback", "backfill"] = "", page: Annotated[int, Query(ge=1, le=100_000)] = 1,
        ) -> Response:  # fmt: skip
            edition = edition_of(request)
            shown = today.chosen(edition, q=q.strip(), sort=sort, down=dir == "down", who=who, only=only, page=page)
            if not shown.total:
                return self.shown(
                    request, "empty.html", title="No forecasts yet", detail="the store is empty", home=str(self.home.path)
                )
            serves, rows_html = models.queries.champions(edition), self.row_html(edition)
            return self.shown(
                request, "today.html", today=shown, rows_html=rows_html, q=q, sort=sort, dir=dir, who=who, only=only,
                ranked=today.ranked(shown), links=today.sort_links(shown), champion=serves[0] if serves else None,
            )  # fmt: skip

    def _symbol(self, router: APIRouter) -> None:
        @router.get("/ask")
        def ask(request: Request, symbol: Annotated[str, Query(max_length=60)] = "") -> Response:
            from urllib.parse import quote

            try:
                name = symbol_of(symbol)
            except ValueError as error:
                return self.refusal(request, 422, str(error))
            return Response(status_code=303, headers={"location": f"/symbols/{quote(name, safe='')}"})

        @router.get("/symbols/{name}")
        def page(
            request: Request, name: Symbol, horizon: Asked = None, span: Span = "1y", mode: Mode | None = None
        ) -> Response:
            edition = edition_of(request)
            found = symbol.symbol_page(edition, name, horizon, span, mode)
            if found is None:
                near = symbol.nearest(edition, name)
                return self.shown(request, "unknown.html", 404, symbol=name, near=near, deployment=self.settings.deployment)
            return self.shown(request, "symbol.html", s=found, spans=list(symbol.SPANS))

        @router.get("/symbols/{name}/contributions")
        def features(request: Request, name: Symbol, horizon: Asked = None) -> Response:
            edition = edition_of(request)
            found = symbol.symbol_page(edition, name, horizon, "3m", None)
            if found is None or not self.settings.explain:
                raise HTTPException(404, f"nothing can be said of the features of {name}")
            told = self.asker.ask(edition, name, found.origin, found.horizon)
            charts = [contributions.chart(told)] if told.parts else []
            return self.shown(request, "contributions.html", s=found, told=told, charts=charts)

        @router.get("/symbols/{name}/{key}.png")
        def chart(
            request: Request, name: Symbol, key: ChartKey, horizon: Asked = None, span: Span = "1y", mode: Mode | None = None
        ) -> Response:
            found = symbol.symbol_page(edition_of(request), name, horizon, span, mode)
            return self.png(found.charts if found else [], key)

    def _scores(self, router: APIRouter) -> None:
        @router.get("/scoreboard")
        def page(
            request: Request, mode: Mode | None = None, span: Span = "1y", horizon: Annotated[Horizon | None, Query()] = None
        ) -> Response:
            edition = edition_of(request)
            if not edition.soon(("counted", span), lambda: scores.count(edition, span), _WAITS):
                return self.shown(request, "counting.html", 202, span=span)  # is not kept, and asks again by itself
            found = scores.scores(edition, mode, span, horizon)
            return self.shown(request, "scoreboard.html", s=found, spans=list(scores.SPANS), cost=scores.COST_BPS)

        @router.get("/scoreboard/{key}.png")
        def chart(
            request: Request, key: ChartKey, mode: Mode | None = None, span: Span = "1y", horizon: Annotated[Horizon | None,
            Query()] = None
        ) -> Response:  # fmt: skip
            edition = edition_of(request)
            if not edition.soon(("counted", span), lambda: scores.count(edition, span), _WAITS):
                raise Busy("the scores of this reach are being counted, once after a publish; ask again in a moment", 5)
            found = scores.scores(edition, mode, span, horizon)
            return self.png(found.charts if found else [], key)

    def _models(self, router: APIRouter) -> None:
        def wanted(edition: Edition, digits: str) -> dict[str, Any]:
            found = models.find_model(edition, digits)
            if found is None:
                raise HTTPException(404, f"no model, or several, begin with {digits}; the page Models lists them")
            return found

        @router.get("/models")
        def page(request: Request) -> Response:
            return self.shown(request, "models.html", **models.lineage(edition_of(request)))

        @router.get("/models/compare")
        def compare(request: Request, a: Annotated[Hex, Query()], b: Annotated[Hex, Query()]) -> Response:
            edition = edition_of(request)
            found = models.comparison(edition, wanted(edition, a), wanted(edition, b))
            return self.shown(request, "compare.html", **found)

        @router.get("/models/{model}")
        def one(request: Request, model: Hex) -> Response:
            edition = edition_of(request)
            return self.shown(request, "model.html", **models.model_page(edition, wanted(edition, model)))

        @router.get("/models/{model}/{key}.png")
        def chart(request: Request, model: Hex, key: ChartKey) -> Response:
            edition = edition_of(request)
            return self.png(models.model_page(edition, wanted(edition, model))["charts"], key)

    def _data(self, router: APIRouter) -> None:
        @router.get("/data")
        def page(request: Request) -> Response:
            edition = edition_of(request)
            return self.shown(request, "data.html", **health.health(edition, self.calendars.lags(edition), self.now()))

        @router.get("/api")
        def api(request: Request) -> Response:
            return self.shown(request, "api.html", questions=QUESTIONS)

    def _runs(self, router: APIRouter) -> None:
        @router.get("/runs")
        def page(
            request: Request, flow: Named = None, status: Named = None, page: Annotated[int, Query(ge=1, le=100_000)] = 1
        ) -> Response:
            found = runs.runs(edition_of(request), flow, status, page)
            return self.shown(request, "runs.html", flow=flow, status=status, **found)

        @router.get("/runs/{key}.png")
        def chart(request: Request, key: ChartKey, flow: Named = None, status: Named = None) -> Response:
            return self.png(runs.runs(edition_of(request), flow, status, 1)["charts"], key)

        @router.get("/runs/{run}")
        def one(request: Request, run: Hex) -> Response:
            found = runs.run_page(edition_of(request), run)
            if found is None:
                raise HTTPException(404, f"there is no run {run}; the page Runs lists them")
            return self.shown(request, "run.html", **found)

        @router.get("/runs/{run}/prefect")
        def prefect(request: Request, run: Hex) -> Response:
            """To the run's page in Prefect's UI, where its server knows the run."""
            known = runs.RUNS.rows(edition_of(request), run=run, limit=1)
            if not known or known[0]["started_at"] is None:
                raise HTTPException(404, f"there is no run {run}; the page Runs lists them")
            try:
                page = self.prefect.page_of(known[0]["flow"], known[0]["started_at"])
            except Exception as error:  # it may be down, or want another password; our ledger needs neither
                api = self.settings.prefect_api
                raise HTTPException(
                    502, f"Prefect at {api} does not answer ({type(error).__name__}); `nextclose serve` starts it"
                ) from None
            if page is None:
                raise HTTPException(
                    404, f"Prefect knows of no run {run}: it was made from the command line, or its record is gone"
                )
            return Response(status_code=303, headers={"location": page})
