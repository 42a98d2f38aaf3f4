"""Checks of the server that shows and schedules: is it closed to strangers, does it know the schedules, does a runner work?

They ask the server that ``nextclose serve`` runs for this home, as a client would; where none runs there is nothing to look at.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from app.doctor import Check, Patient, not_looked_at, ok, problem, warning

NOBODY = "no `nextclose serve` runs for this home"
FOREIGN = "http://elsewhere.example"


def check_server_security(patient: Patient) -> Check:
    """Does it refuse a request without password, from a foreign page, under a foreign name, without a CSRF token?"""
    from app.prefect_api import AskingAgain

    served = _served(patient)
    if served is None:
        return not_looked_at("server security", NOBODY)
    login = _login(patient)
    with AskingAgain(served["api"]) as client:
        tried = {
            "a request without password": client.get("/admin/version"),
            "a page of another origin": client.get("/admin/version", headers={"Origin": FOREIGN}, auth=login),
            "another host name": client.get("/admin/version", headers={"Host": "elsewhere.example"}, auth=login),
        }
        if login is not None:
            tried["a change without CSRF token"] = client.post("/flow_runs/filter", json={"limit": 1}, auth=login)
    open_to = [what for what, answer in tried.items() if answer.status_code not in (400, 401, 403)]
    if open_to:
        return problem("server security", f"it lets in {', '.join(open_to)}", "stop it and start it with `nextclose serve`")
    return ok("server security", f"{served['url']} refuses {', '.join(tried)}")


def check_schedules(patient: Patient) -> Check:
    """Is the daily run on the schedule, switched on, and does the server plan runs of it?"""
    served, login = _served(patient), _login(patient)
    if served is None:
        return not_looked_at("schedules", NOBODY)
    if login is None:
        return not_looked_at("schedules", "the password is not known here; set NEXTCLOSE_PASSWORD")
    daily = _ask(served, login, "GET", "/deployments/name/daily/daily")
    if daily is None or daily["paused"] or not any(schedule["active"] for schedule in daily["schedules"]):
        return problem(
            "schedules", "the daily run has no schedule that is switched on", "switch it on in the UI, at Deployments"
        )
    wanted = {
        "limit": 1, "sort": "EXPECTED_START_TIME_ASC", "deployments": {"id": {"any_": [daily["id"]]}},
        "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}},
    }  # fmt: skip
    planned = _ask(served, login, "POST", "/flow_runs/filter", wanted)
    if not planned:
        step = "start it again; if it stays so, type `sh start setup` (SQLAlchemy 2.1 plans nothing)"
        return problem("schedules", "the server plans no daily run", step)
    if daily["status"] != "READY":
        return warning("schedules", "no runner asks for work", "look at the words of `nextclose serve`; start it again")
    at = datetime.fromisoformat(planned[0]["expected_start_time"].replace("Z", "+00:00"))
    return ok("schedules", f"the next daily run is at {at:%Y-%m-%d %H:%M} UTC")


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


def _ask(served: dict[str, Any], login: tuple[str, str], method: str, path: str, body: Any = None) -> Any:
    """The server's answer as plain values; None where it has none."""
    from app.prefect_api import AskingAgain, csrf_headers

    with AskingAgain(served["api"], login) as client:
        answer = client.request(method, path, json=body, headers={} if method == "GET" else csrf_headers(client))
        return answer.json() if answer.is_success else None
