"""Checks of the server that shows and schedules: is it closed to strangers, does it know the schedules, does a runner work?

They ask the server that ``nextclose serve`` runs for this home, as a client would; where none runs there is nothing to look at.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from app.doctor import Check, Patient, not_looked_at, ok, problem, warning

NOBODY = "no `nextclose serve` runs for this home"
FOREIGN = "http://elsewhere.example"
WORDS = "look at the words of `nextclose serve`"
OTHER_PASSWORD = "set NEXTCLOSE_PASSWORD to the one that it was started with"
LATE = timedelta(hours=1)
_REFUSED = (401, 403)


def check_server_security(patient: Patient) -> Check:
    """Does it refuse a request without password, from a foreign page, under a foreign name, without a CSRF token?"""
    return _asked("server security", patient, _security)


def check_schedules(patient: Patient) -> Check:
    """Is the daily run on the schedule, switched on, and does the server plan runs of it that begin in time?"""
    return _asked("schedules", patient, _schedules)


def _asked(name: str, patient: Patient, work: Callable[[str, Patient, dict[str, Any]], Check]) -> Check:
    """What ``work`` finds out from the server; why nothing can be found out where there is none, or none that answers."""
    import httpx

    served = _served(patient)
    if served is None:
        return not_looked_at(name, NOBODY)
    try:
        return work(name, patient, served)
    except httpx.TransportError as error:
        return problem(
            name, f"the server at {served['url']} does not answer ({type(error).__name__})", f"{WORDS}; start it again"
        )


def _security(name: str, patient: Patient, served: dict[str, Any]) -> Check:
    from app.prefect_api import AskingAgain

    login = _login(patient)
    with AskingAgain(served["api"], direct=True) as client:
        if login is not None and client.get("/admin/version", auth=login).status_code in _REFUSED:
            return problem(name, f"{served['url']} has another password than the one known here", OTHER_PASSWORD)
        tried = {
            "a request without password": client.get("/admin/version"),
            "a page of another origin": client.get("/admin/version", headers={"Origin": FOREIGN}, auth=login),
            "another host name": client.get("/admin/version", headers={"Host": "elsewhere.example"}, auth=login),
        }
        if login is not None:
            tried["a change without CSRF token"] = client.post("/flow_runs/filter", json={"limit": 1}, auth=login)
    open_to = [what for what, answer in tried.items() if answer.status_code not in (400, *_REFUSED)]
    if open_to:
        return problem(name, f"it lets in {', '.join(open_to)}", "stop it and start it with `nextclose serve`")
    return ok(name, f"{served['url']} refuses {', '.join(tried)}")


def _schedules(name: str, patient: Patient, served: dict[str, Any]) -> Check:
    from app.prefect_api import AskingAgain, csrf_headers

    login = _login(patient)
    if login is None:
        return not_looked_at(name, "the password is not known here; set NEXTCLOSE_PASSWORD")
    with AskingAgain(served["api"], login, direct=True) as client:
        found = client.get("/deployments/name/daily/daily")
        if found.status_code in _REFUSED:
            return problem(name, f"{served['url']} has another password than the one known here", OTHER_PASSWORD)
        if found.status_code == 404:
            return problem(name, "the server knows no daily run, since no runner has told it", f"{WORDS}; start it again")
        daily = found.raise_for_status().json()
        if daily["paused"] or not any(schedule["active"] for schedule in daily["schedules"]):
            return problem(name, "the daily run has no schedule that is switched on", "switch it on in the UI, at Deployments")
        wanted = {
            "limit": 1, "sort": "NEXT_SCHEDULED_START_TIME_ASC", "deployments": {"id": {"any_": [daily["id"]]}},
            "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
        }  # fmt: skip
        planned = client.post("/flow_runs/filter", json=wanted, headers=csrf_headers(client)).raise_for_status().json()
    if not planned:
        step = "start it again; if it stays so, type `sh start setup` (SQLAlchemy 2.1 plans nothing)"
        return problem(name, "the server plans no daily run", step)
    if daily["status"] != "READY":
        return warning(name, "no runner asks for work", f"{WORDS}; start it again")
    at = datetime.fromisoformat(planned[0]["next_scheduled_start_time"].replace("Z", "+00:00"))
    if patient.now - at > LATE:
        late = f"the daily run of {at:%Y-%m-%d %H:%M} UTC has not begun"
        return problem(name, late, "cancel in the UI, at Runs, what takes its place, or start `nextclose serve` again")
    return ok(name, f"the next daily run is at {at:%Y-%m-%d %H:%M} UTC")


def _served(patient: Patient) -> dict[str, Any] | None:
    """What the process that serves the home says of itself; None where nobody holds its file."""
    import fcntl

    try:
        with (patient.home.path / ".serving").open("r+", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return None
            except OSError:
                return json.loads(file.read())
    except (OSError, ValueError):
        return None


def _login(patient: Patient) -> tuple[str, str] | None:
    """User and password, from the environment or the home's file."""
    text = patient.environment.get("NEXTCLOSE_PASSWORD")
    if text is not None:
        return "nextclose", text
    try:
        user, _, password = (patient.home.path / "server-password").read_text(encoding="utf-8").strip().partition(":")
        return user, password
    except OSError:
        return None
