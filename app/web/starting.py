"""``POST /api/v1/runs``: start a run through Prefect's REST API, for whoever knows the token. httpx is only loaded here.

What starts is the deployment of the settings (daily/daily). Prefect's own limit lets one run at a time; this door lets one
start at a time, and answers 409 with the run in progress to all others.
"""

from __future__ import annotations

import logging
import secrets
import threading
import uuid
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from app.web.api import PREFIX, problem
from app.web.described import problem_schema
from app.web.formats import as_json
from app.web.parameters import Day, Symbol
from tasks.web_settings import WebSettings

if TYPE_CHECKING:
    import httpx

log = logging.getLogger("nextclose.web")

MOST_SYMBOLS = 200
DONE = frozenset({"COMPLETED", "FAILED", "CANCELLED", "CRASHED"})


class Wanted(BaseModel):
    """What to run: the symbols (empty: those of the settings), and the session to stand at (empty: the last final one)."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"symbols": ["TSLA"]}]})

    symbols: list[Symbol] | None = Field(None, min_length=1, max_length=MOST_SYMBOLS)
    origin: Day | None = None


class Started(BaseModel):
    """A run that was started: Prefect's id of it, what it is called there, and how it stands."""

    id: str
    name: str
    state: str
    message: str | None = None
    url: str | None = None


class Prefect:
    """The few calls to Prefect's API. ``password``: user:password of its server, where it has one."""

    def __init__(self, settings: WebSettings, home: str, password: str | None) -> None:
        self.settings, self.home, self.password = settings, home, password

    def start(self, wanted: Wanted) -> Started:
        from app.prefect_api import csrf_headers

        request: dict[str, Any] = {"home": self.home}
        if wanted.symbols:
            request["symbols"] = wanted.symbols
        if wanted.origin:
            request["origin"] = str(wanted.origin)
        with self._client() as client:
            found = client.get(f"/deployments/name/{self.settings.deployment}")
            found.raise_for_status()
            path = f"/deployments/{found.json()['id']}/create_flow_run"
            # A key of its own: where the server is asked again, it starts one run.
            wish = {"parameters": {"request": request}, "idempotency_key": uuid.uuid4().hex}
            made = client.post(path, json=wish, headers=csrf_headers(client))
            made.raise_for_status()
            return self._told(made.json())

    def look(self, run: str) -> Started:
        with self._client() as client:
            found = client.get(f"/flow_runs/{run}")
            found.raise_for_status()
            return self._told(found.json())

    def page_of(self, flow: str, started_at: datetime) -> str | None:
        """The address in Prefect's UI of the flow run in which our run began; None where it knows of none."""
        from app.prefect_api import csrf_headers

        begun = {
            "after_": (started_at - timedelta(minutes=10)).isoformat(),
            "before_": (started_at + timedelta(seconds=5)).isoformat(),
        }
        wanted = {
            "sort": "START_TIME_DESC",
            "limit": 1,
            "flows": {"name": {"any_": [flow]}},
            "flow_runs": {"start_time": begun},
        }
        with self._client() as client:
            found = client.post("/flow_runs/filter", json=wanted, headers=csrf_headers(client))
            found.raise_for_status()
            rows = found.json()
        return self._told(rows[0]).url if rows else None

    def _client(self) -> httpx.Client:
        from app.prefect_api import AskingAgain

        user, _, password = (self.password or "").partition(":")
        return AskingAgain(self.settings.prefect_api, (user, password) if password else None)

    def _told(self, run: Mapping[str, Any]) -> Started:
        state = run.get("state") or {}
        page = self.settings.prefect_api.rstrip("/").removesuffix("/api")
        return Started(
            id=run["id"], name=run.get("name") or "", state=state.get("type") or "PENDING", message=state.get("message"),
            url=f"{page}/runs/flow-run/{run['id']}",
        )  # fmt: skip


class Door:
    """Who may start, and that one run is started at a time."""

    def __init__(self, token: str, prefect: Prefect) -> None:
        self._token, self.prefect = token.encode(), prefect
        self._lock, self._last = threading.Lock(), None

    def allows(self, request: Request) -> bool:
        """Whether the request carries the token; compared in constant time."""
        scheme, _, word = request.headers.get("authorization", "").partition(" ")
        return secrets.compare_digest(word.strip().encode(), self._token) and scheme.lower() == "bearer"

    def start(self, wanted: Wanted) -> tuple[int, Started]:
        """(202, the run) or (409, the run in progress)."""
        with self._lock:
            if self._last is not None:
                seen = self._seen(self._last)
                if seen is not None and seen.state not in DONE:
                    return 409, seen
            made = self.prefect.start(wanted)
            self._last = made.id
            return 202, made

    def _seen(self, run: str) -> Started | None:
        """How it stands; None where the server no longer knows it (deleted, or older than its records are kept)."""
        import httpx

        try:
            return self.prefect.look(run)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return None
            raise


def starting_router(door: Door) -> APIRouter:
    """The routes that exist only where a token is set."""
    router = APIRouter(prefix=PREFIX, tags=["runs"])
    answers = {
        401: problem_schema("no token, or a wrong one"),
        403: problem_schema("asked by a page of another site"),
        409: {"model": Started, "description": "a run is in progress"},
        422: problem_schema("what was asked for is mistyped or out of its bounds"),
        502: problem_schema("Prefect did not answer"),
    }

    @router.post(
        "/runs", status_code=202, response_model=Started, responses=answers, operation_id="start_run",
        openapi_extra={"security": [{"token": []}]}, summary="Start a run",
    )  # fmt: skip
    def start(request: Request, wanted: Wanted) -> Response:
        if (answer := _refusal(request, door)) is not None:
            return answer
        try:
            status, run = door.start(wanted)
        except Exception as error:
            return _no_prefect(door, error)
        log.info("a run was asked for: %s %s", run.name, run.state)
        return Response(as_json(run), status, media_type="application/json")

    @router.get(
        "/runs/started/{run}", response_model=Started, responses=answers, operation_id="look_at_run",
        openapi_extra={"security": [{"token": []}]}, summary="How a started run stands",
    )  # fmt: skip
    def look(
        request: Request, run: Annotated[uuid.UUID, Path(description="the id that starting it answered with")]
    ) -> Response:
        if (answer := _refusal(request, door)) is not None:
            return answer
        try:
            return Response(as_json(door.prefect.look(str(run))), media_type="application/json")
        except Exception as error:
            return _no_prefect(door, error)

    return router


def _refusal(request: Request, door: Door) -> Response | None:
    origin = request.headers.get("origin")
    if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
        log.warning("refused to start a run for a page of another site: %.100r", origin)
        return problem(403, "a page of another site may not start runs")
    if not door.allows(request):
        log.warning(
            "refused to start a run: %s token, from %s", "wrong" if "authorization" in request.headers else "no", _who(request)
        )
        answer = problem(401, "starting a run needs the header `Authorization: Bearer TOKEN`")
        answer.headers["www-authenticate"] = "Bearer"
        return answer
    return None


def _who(request: Request) -> str:
    return request.client.host if request.client else "?"


def _no_prefect(door: Door, error: Exception) -> Response:
    """What went wrong between us and Prefect, without what it was asked with."""
    api = door.prefect.settings.prefect_api
    status = getattr(getattr(error, "response", None), "status_code", None)
    log.warning("Prefect at %s did not start or show a run: %s %s", api, type(error).__name__, status or "")
    said = f"it answered {status}" if status else f"no answer ({type(error).__name__})"
    return problem(502, f"Prefect at {api}: {said}; start it with `nextclose serve`, or type `nextclose run`")
