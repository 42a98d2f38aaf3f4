"""The parts of the API that are one thing and no table: health, a model's card, a run."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response

from app.web.api import PREFIX, edition_of, problem
from app.web.calendars import Calendars
from app.web.described import problem_schema, row_schema
from app.web.formats import as_json
from app.web.health import verdict
from app.web.models import decisions, find_model, score_table
from app.web.parameters import Hex
from app.web.queries import card, stages, steps
from app.web.questions import MODELS, RUNS
from storage.editions import Editions

_NOT_THERE = problem_schema("there is none, or several, of that name")
_NO_SNAPSHOT = problem_schema("no snapshot is published")


def _object(description: str, **parts: Any) -> dict[int | str, dict[str, Any]]:
    schema = {"type": "object", "required": list(parts), "properties": parts}
    answers = {200: {"description": description, "content": {"application/json": {"schema": schema}}}, 503: _NO_SNAPSHOT}
    return answers | {422: problem_schema("a parameter that is mistyped or out of its bounds")}


def single_router(calendars: Calendars, editions: Editions) -> APIRouter:
    router = APIRouter(prefix=PREFIX)
    table, anything, text = {"type": "array", "items": {"type": "object"}}, {"type": "object"}, {"type": "string"}

    @router.get(
        "/health", tags=["health"], operation_id="health", summary="Whether there are forecasts, and how fresh they are",
        response_class=Response,
        responses=_object(
            "ok, stale (two sessions or more have closed that are not in the snapshot) or empty",
            status={"type": "string", "enum": ["ok", "stale", "empty"]}, edition=text,
            sessions_behind={"type": "integer"}, calendars=table,
        ),
    )  # fmt: skip
    def health(request: Request) -> Response:
        edition = edition_of(request)
        calendars.epoch(edition)
        said = verdict(edition, calendars.lags(edition)) | {"problem": editions.problem or None}
        return Response(as_json(said), media_type="application/json")

    @router.get(
        "/models/{model}", tags=["models"], operation_id="model", summary="A model's row, card, decisions and scores",
        response_class=Response,
        responses=_object("the model", edition=text, model=row_schema(MODELS), card=anything, decisions=table, scores=table)
        | {404: _NOT_THERE},
    )  # fmt: skip
    def model(request: Request, model: Annotated[Hex, Path(description="first digits of its id, four or more")]) -> Response:
        edition = edition_of(request)
        found = find_model(edition, model)
        if found is None:
            return problem(404, f"no model, or several, begin with {model}; /api/v1/models lists them")
        told = {
            "edition": edition.id, "model": found, "card": card(edition, found["model_id"]),
            "decisions": decisions(edition, found["model_id"]), "scores": score_table(edition, found["model_id"]),
        }  # fmt: skip
        return Response(as_json(told), media_type="application/json")

    @router.get(
        "/runs/{run}",
        tags=["runs"],
        operation_id="run",
        summary="A run with its stages and steps",
        response_class=Response,
        responses=_object("the run", edition=text, run=row_schema(RUNS), stages=table, steps=table) | {404: _NOT_THERE},
    )
    def run(request: Request, run: Annotated[Hex, Path(description="the run's id")]) -> Response:
        edition = edition_of(request)
        found = RUNS.rows(edition, run=run, limit=1)
        if not found:
            return problem(404, f"there is no run {run}; /api/v1/runs lists them")
        told = {"edition": edition.id, "run": found[0], "stages": stages(edition, run), "steps": steps(edition, run)}
        return Response(as_json(told), media_type="application/json")

    return router
