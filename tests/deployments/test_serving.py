"""`nextclose serve` end to end: a password, a scheduled run, a run by hand, a killed run, a stop, a start, all in place."""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from storage.verify import verify
from tasks.prefect_again import MOST
from tests.deployments.conftest import wait_for


def forecast_days(served) -> list[str]:
    with open_snapshot(Home(served.home)) as con:
        return [day for (day,) in ask(con, "SELECT DISTINCT origin::VARCHAR FROM store.forecasts ORDER BY 1").rows]


def flow_processes(served) -> list[int]:
    return [pid for pid, command in served.children().items() if "prefect.engine" in command or "flow_engine" in command]


def test_first_start__makes_a_password_that_only_its_owner_can_read(served):
    file = served.home / "server-password"
    assert file.stat().st_mode & 0o777 == 0o600
    user, password = served.login
    assert user == "nextclose" and len(password) >= 32
    assert f"the password that was just made; read it with `cat {file}`" in served.log
    assert password not in served.log
    assert (served.home / "prefect").stat().st_mode & 0o777 == 0o700


def test_first_start__plans_daily_runs_on_the_exchanges_evenings(served):
    from datetime import datetime

    new_york = ZoneInfo("America/New_York")
    at = [
        datetime.fromisoformat(run["expected_start_time"].replace("Z", "+00:00")).astimezone(new_york) for run in served.planned
    ]
    assert {(t.hour, t.minute) for t in at} == {(18, 30), (20, 30), (22, 30)}
    assert {(t.hour, t.minute) for t in at if t.isoweekday() > 5} <= {(18, 30)}  # once, to catch up


def test_second_start__on_the_same_home_is_refused_and_names_the_first(served):
    from deployments.serve import main

    assert main([f"--home={served.home}", "--port=4999"]) == 6


def test_serve__day_by_hand_killed_once_is_begun_again_and_leaves_what_an_undisturbed_one_leaves(served, first_day, copied):
    """The button of the UI; the process of the run is killed with -9 when it has just begun to write."""
    from flows.daily import daily
    from flows.parameters import Daily

    pressed = served.trigger("daily/daily", {"origin": "2021-04-01"})
    wait_for(lambda: served.flow_run(pressed)["name"] == "daily-2021-04-01", f"its session in its name\n{served.log[-2000:]}")
    wait_for(lambda: [os.kill(pid, signal.SIGKILL) or pid for pid in flow_processes(served)], "a process to kill")
    run = served.ended(pressed)
    assert run["state"]["name"] == "Completed" and run["run_count"] == 2
    assert run["created_by"] is None or run["parameters"] == {"request": {"origin": "2021-04-01"}}
    told = [state["name"] for state in served.ask("GET", "/flow_run_states/", params={"flow_run_id": pressed})]
    assert told[told.index("Crashed") : told.index("Crashed") + 2] == ["Crashed", "AwaitingRetry"]
    assert forecast_days(served) == ["2021-03-31", "2021-04-01"]
    undisturbed = daily(Daily(home=str(copied), origin="2021-04-01"))
    with open_snapshot(Home(served.home)) as con:
        assert ask(con, "SELECT digest FROM store.publication").rows == [(undisturbed["digest"],)]


def test_serve__stopped_in_the_middle_leaves_no_process_and_goes_on_after_the_next_start(served):
    served.ask(
        "PATCH",
        f"/deployments/{_id(served, 'weekly-retrain', 'retrain')}/schedules/{_schedule(served)}",
        json={"active": False},
    )
    deployments = {d["name"]: d["id"] for d in served.ask("POST", "/deployments/filter", json={})}
    automations = {a["name"]: a["id"] for a in served.ask("POST", "/automations/filter", json={})}
    password = served.login

    pressed = served.trigger("daily/daily", {"origin": "2021-04-06"})  # 5 April was missed and comes first
    wait_for(lambda: served.flow_run(pressed)["state"]["type"] == "RUNNING", "the run")
    children = served.children()
    assert len(children) >= 3
    began = time.monotonic()
    assert served.stop(signal.SIGTERM) == 0
    print(f"stopped in {time.monotonic() - began:.1f} s")
    assert [pid for pid in children if _alive(pid)] == []

    served.start()
    assert served.ended(pressed)["state"]["name"] == "Completed"
    assert forecast_days(served) == ["2021-03-31", "2021-04-01", "2021-04-05", "2021-04-06"]
    assert verify(Home(served.home)) == []
    assert {d["name"]: d["id"] for d in served.ask("POST", "/deployments/filter", json={})} == deployments
    assert {a["name"]: a["id"] for a in served.ask("POST", "/automations/filter", json={})} == automations
    assert served.login == password
    retrain = served.ask("GET", "/deployments/name/retrain/weekly-retrain")
    assert [schedule["active"] for schedule in retrain["schedules"]] == [False]  # as a person left it


@pytest.mark.slow(40)
def test_server__killed_in_mid_run_comes_back_and_the_run_leaves_what_an_undisturbed_one_leaves(served, first_day, copied):
    """With -9, while the flow speaks to it: the supervisor starts it again, and the run goes on or is begun again."""
    import httpx

    from flows.daily import daily
    from flows.parameters import Daily

    pressed = served.trigger("daily/daily", {"origin": "2021-04-01"})
    wait_for(lambda: flow_processes(served), f"the process of the run\n{served.log[-2000:]}")
    [server] = [pid for pid, command in served.children().items() if "deployments.server" in command]
    os.kill(server, signal.SIGKILL)
    wait_for(lambda: "the server ended with code -9; it is started again" in served.log, "the supervisor's word")

    def state() -> str | None:
        try:
            return served.flow_run(pressed)["state"]["name"]
        except httpx.TransportError:  # not there yet
            return None

    wait_for(lambda: state() == "Completed", f"the end of the run\n{served.log[-3000:]}")
    undisturbed = daily(Daily(home=str(copied), origin="2021-04-01"))
    with open_snapshot(Home(served.home)) as con:
        assert ask(con, "SELECT digest FROM store.publication").rows == [(undisturbed["digest"],)]
    assert verify(Home(served.home)) == []


def test_serve__second_run_of_a_deployment_is_cancelled_not_queued(served):
    first = served.trigger("nightly/nightly", {})
    second = served.trigger("nightly/nightly", {})
    ends = sorted(served.ended(run)["state"]["type"] for run in (first, second))
    assert ends == ["CANCELLED", "COMPLETED"]
    [kept] = (served.home / "backups").glob("nextclose-*")
    assert (kept / "backup.json").exists()


def test_serve__run_that_meets_another_one_at_work_comes_again(served):
    """A weekly retraining begins while somebody's run of a few symbols is at work in the same home."""
    from storage.database import Database
    from storage.lease import hold_lease

    with hold_lease(Home(served.home), Database(Home(served.home)), "daily of 2021-04-05"):
        ended = served.ended(served.trigger("retrain/weekly-retrain", {"force": False}))
        retrain = served.ask("GET", "/deployments/name/retrain/weekly-retrain")["id"]
        often = {"parameters": {"request": {"force": False}}, "tags": [f"again-{MOST}"]}
        given_up = served.ended(served.ask("POST", f"/deployments/{retrain}/create_flow_run", json=often)["id"])
        word = served.ended(served.trigger("rollback/rollback", {"reason": "it went wrong"}))
    assert given_up["state"]["name"] == "Failed" and given_up["state"]["message"].endswith("given up after 3 hours")
    assert word["state"]["type"] == "CANCELLED" and word["state"]["message"].endswith("nothing was done, say it again then")
    assert served.ask("POST", "/flow_runs/filter", json={"flow_runs": {"tags": {"all_": [f"again-{MOST + 1}"]}}}) == []
    assert (ended["state"]["type"], ended["state"]["name"]) == ("CANCELLED", "Already running")
    wanted = {"flow_runs": {"tags": {"all_": ["again-1"]}}}
    [again] = served.ask("POST", "/flow_runs/filter", json=wanted)
    served.ask("DELETE", f"/flow_runs/{again['id']}")
    assert again["state"]["type"] == "SCHEDULED" and again["parameters"] == ended["parameters"]
    apart = datetime.fromisoformat(again["expected_start_time"]) - datetime.fromisoformat(ended["end_time"])
    assert timedelta(minutes=9) < apart < timedelta(minutes=11)
    assert f"comes again at {again['expected_start_time'][11:16]} UTC" in ended["state"]["message"]


@pytest.mark.parametrize("name", ["daily/daily", "nightly/nightly", "promote/promote", "tune/tune", "backtest/backtest"])
def test_form__explains_every_field(served, name):
    schema = served.ask("GET", f"/deployments/name/{name}")["parameter_openapi_schema"]
    [model] = [d for d in schema["definitions"].values() if "properties" in d]
    assert all(field.get("description") for field in model["properties"].values())
    assert model["description"]


def test_prefect_database__is_in_the_home_and_has_its_records(served):
    with sqlite3.connect(f"file:{served.home}/prefect/prefect.db?mode=ro", uri=True) as con:
        assert con.execute("SELECT count(*) FROM deployment WHERE name NOT LIKE 'pool-%'").fetchone() == (10,)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _id(served, name: str, flow: str) -> str:
    return served.ask("GET", f"/deployments/name/{flow}/{name}")["id"]


def _schedule(served) -> str:
    [schedule] = served.ask("GET", "/deployments/name/retrain/weekly-retrain")["schedules"]
    return schedule["id"]


def test_doctor__finds_the_server_closed_and_the_daily_run_planned(served):
    from app.doctor import Patient, look_over
    from tasks.clock import now_utc

    checks = look_over(Patient(Home(served.home), {}, now_utc()), ("server_security", "schedules"))
    assert [check.verdict for check in checks] == ["ok", "ok"], checks
    assert "a page of another origin" in checks[0].sentence and "the next daily run is at" in checks[1].sentence


def test_doctor__tells_another_password_and_a_run_that_does_not_begin(served):
    from app.doctor import Patient, look_over
    from tasks.clock import now_utc

    other = Patient(Home(served.home), {"NEXTCLOSE_PASSWORD": "not-the-one-of-this"}, now_utc())
    checks = look_over(other, ("server_security", "schedules"))
    assert ["another password" in check.sentence for check in checks] == [True, True], checks
    [check] = look_over(Patient(Home(served.home), {}, now_utc() + timedelta(days=7)), ("schedules",))
    assert check.verdict == "problem" and check.sentence.endswith("has not begun")


def test_doctor__tells_a_daily_run_that_was_switched_off(served):
    from app.doctor import Patient, look_over
    from tasks.clock import now_utc

    daily = served.ask("GET", "/deployments/name/daily/daily")
    off = {schedule["id"]: schedule["active"] for schedule in daily["schedules"]}
    for schedule in off:
        served.ask("PATCH", f"/deployments/{daily['id']}/schedules/{schedule}", json={"active": False})
    try:
        [check] = look_over(Patient(Home(served.home), {}, now_utc()), ("schedules",))
        assert check.verdict == "problem" and "switched on" in check.sentence
    finally:
        for schedule, active in off.items():
            served.ask("PATCH", f"/deployments/{daily['id']}/schedules/{schedule}", json={"active": active})
