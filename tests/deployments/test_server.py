"""Through a real Prefect server: the run with its tasks, a retried failure, artifacts, forms, and a schedule that schedules."""

from __future__ import annotations

import json
import time
from zoneinfo import ZoneInfo

import pytest

from flows.parameters import Daily
from forecasting.errors import SourceDown
from tasks import ingest
from tasks.engine import Step
from tests.tiny import SYMBOLS


@pytest.fixture
def client(prefect_server):
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture(scope="module")
def shown(prefect_server, finished, tmp_path_factory) -> dict:
    """One day run as a Prefect flow run, whose source fails once before it answers."""
    import dataclasses
    import shutil

    from deployments.prefect_flows import daily

    home = shutil.copytree(finished[0], tmp_path_factory.mktemp("served") / "home")
    settings = home / "settings.toml"
    settings.write_text(settings.read_text().replace("plots = false", "plots = true"))
    step = ingest.fetch_prices
    flaky, calls = dataclasses.replace(step.policy, first_delay=0.1), []

    def fails_once(run, symbols, start=None):
        calls.append(symbols)
        if len(calls) == 1:
            raise SourceDown("synthetic", symbols[0], "no answer", "try again")
        return original(run, symbols, start)

    original = step.fn
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step, "fn", fails_once)
        patch.setattr(step, "policy", flaky)
        step.__dict__.pop("as_prefect_task", None)
        state = daily(Daily(home=str(home), origin="2021-04-01", retrain=True), return_state=True)
    step.__dict__.pop("as_prefect_task", None)
    return {"state": state, "home": home, "calls": calls}


def test_flow_run__completed_with_the_report_of_the_run(shown):
    assert shown["state"].is_completed(), shown["state"]
    report = shown["state"].result()
    assert report["origin"] == "2021-04-01" and report["status"] == "completed"
    assert {f["symbol"] for f in report["forecasts"]} == set(SYMBOLS)


def test_flow_run__content_is_that_of_a_run_without_prefect(shown, copied):
    from flows.daily import daily

    assert shown["state"].result()["digest"] == daily(Daily(home=str(copied), origin="2021-04-01", retrain=True))["digest"]


def test_flow_run__shows_each_step_as_a_task_run(shown, client):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    flow_run = shown["state"].state_details.flow_run_id
    only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run]))
    wanted = {"fetch_prices", "store_prices", "train", "evaluate", "gate", "store_features", "forecast", "score"}
    wanted |= {"complete", "publish", "settle_universe", "draw", "audit", "rank", "watch"}
    for _ in range(60):  # the server digests task events in its own time
        tasks = client.read_task_runs(flow_run_filter=only)
        names = {task.name.rsplit("-", 1)[0] for task in tasks}
        if names == wanted and all(task.state and task.state.is_final() for task in tasks):
            break
        time.sleep(0.5)
    assert names == wanted
    assert all(task.state.is_completed() for task in tasks)
    tried = {task.name.rsplit("-", 1)[0]: task.run_count for task in tasks}
    assert max(task.run_count for task in tasks if task.name.startswith("fetch_prices")) == 2, tried


def test_flow_run__retried_failure_is_told_with_its_reason(shown, client):
    from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId

    of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[shown["state"].state_details.flow_run_id]))
    for _ in range(60):
        said = [entry.message for entry in client.read_logs(log_filter=of_run)]
        retried = [message for message in said if "Retry 1/" in message]
        if retried and any("forecasts" in message for message in said):
            break
        time.sleep(0.5)
    assert len(retried) == 1
    assert any("synthetic AAA: no answer; try again" in message for message in said)
    assert len(shown["calls"]) == 3  # two chunks, the first of them twice


def test_artifacts__forecast_table_gate_verdict_and_data_quality(shown, client):
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    of_run = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[shown["state"].state_details.flow_run_id]))
    found = {artifact.key: artifact for artifact in client.read_artifacts(artifact_filter=of_run)}
    pictures = {"plot-forecasts", "plot-calibration", "plot-skill", "plot-loss"}
    assert set(found) == {"forecasts", "gate-verdict", "data-quality", "plots", *pictures}
    assert all(found[key].data.startswith("data:image/png;base64,iVBOR") for key in pictures)  # the picture, not a path to it
    assert "evaluation.html](file:///" in found["plots"].data
    table = json.loads(found["forecasts"].data)
    assert len(table) == 9 and table[0]["symbol"] == "AAA" and table[0]["q10"] < table[0]["q50"] < table[0]["q90"]
    assert "| G03 rivals |" in found["gate-verdict"].data
    assert "3 of 3 symbols up to 2021-04-01" in found["data-quality"].data


def test_flow_run__that_refuses_a_symbol_is_called_degraded(shown, client):
    from deployments.prefect_flows import daily

    state = daily(Daily(home=str(shown["home"]), origin="2021-04-01", symbols=["AAA", "ZZZZ"]), return_state=True)
    assert state.is_completed() and state.name == "Degraded"
    assert "ZZZZ" in state.message


def test_flow_run__that_cannot_be_done_fails_with_our_sentence(shown):
    from deployments.prefect_flows import daily

    state = daily(Daily(home=str(shown["home"]), origin="2021-04-02"), return_state=True)
    assert state.is_failed()
    assert "origin is '2021-04-02'" in state.message


def test_cron_schedule__produces_scheduled_runs(client, prefect_server):
    """With SQLAlchemy 2.1 the server starts, the UI works, and no run ever appears."""
    from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
    from prefect.states import StateType

    from deployments.serve import deployments

    made = {d.name: d.apply() for d in deployments("/tmp/never-used")}
    assert set(made) == {
        "daily", "weekly-retrain", "weekly-controls", "ingest", "backfill", "backtest", "tune", "promote", "rollback",
    }  # fmt: skip
    of_daily = DeploymentFilter(id=DeploymentFilterId(any_=[made["daily"]]))
    give_up = time.monotonic() + 120
    while time.monotonic() < give_up:
        planned = client.read_flow_runs(deployment_filter=of_daily)
        if planned:
            break
        time.sleep(1)
    assert planned, "no scheduled run within two minutes"
    assert {run.state.type for run in planned} == {StateType.SCHEDULED}
    in_new_york = [run.expected_start_time.astimezone(ZoneInfo("America/New_York")) for run in planned]
    assert {(t.hour, t.minute) for t in in_new_york} == {(18, 30), (20, 30), (22, 30)}
    assert {t.isoweekday() for t in in_new_york} <= {1, 2, 3, 4, 5}


def test_deployments__allow_one_run_at_a_time_and_have_a_form(client, prefect_server):
    from deployments.serve import deployments
    from sources.registry import source_names

    [identity] = [d.apply() for d in deployments() if d.name == "daily"]
    daily = client.read_deployment(identity)
    assert daily.concurrency_options.collision_strategy == "CANCEL_NEW"
    assert daily.global_concurrency_limit.limit == 1
    assert daily.entrypoint == "deployments.prefect_flows.daily"
    form = daily.parameter_openapi_schema["definitions"]["Daily"]["properties"]
    assert form["source"]["anyOf"][0]["enum"] == list(source_names())
    assert form["replay"]["minimum"] == 0 and form["origin"]["anyOf"][0]["format"] == "date"
    assert all(field["description"] for field in form.values())


def test_deployment__refuses_wrong_parameters_with_the_field_and_the_reason(client, prefect_server):
    from prefect.exceptions import PrefectHTTPStatusError

    from deployments.serve import deployments

    [identity] = [d.apply() for d in deployments() if d.name == "daily"]
    with pytest.raises(PrefectHTTPStatusError) as caught:
        client.create_flow_run_from_deployment(identity, parameters={"request": {"replay": -3}})
    assert caught.value.response.status_code in (409, 422)
    assert "minimum" in caught.value.response.text or "less than" in caught.value.response.text


def test_steps__are_all_the_same_function_either_way():
    """No step exists only for Prefect: what a task run calls is what the command line calls."""
    from tasks import auditing, backtesting, gating, judging, learning, ledger, publishing, storing

    for module in (ingest, storing, learning, auditing, judging, gating, ledger, publishing, backtesting):
        for name, thing in vars(module).items():
            if isinstance(thing, Step):
                assert thing.as_prefect_task.fn.__wrapped__ is thing.fn, name


def test_serve__takes_a_run_that_was_triggered_by_hand(client, prefect_server, copied, tmp_path):
    """As an operator does it: one process serves, somebody presses the button for an ingest, the home has the prices."""
    import os
    import signal
    import subprocess
    import sys

    from storage.home import Home
    from storage.reading import ask
    from storage.snapshot import open_snapshot
    from tests.deployments.conftest import QUIET, ROOT

    environment = {
        **os.environ, **QUIET, "PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(tmp_path), "NEXTCLOSE_HOME": str(copied),
        "PREFECT_RUNNER_POLL_FREQUENCY": "2",
    }  # fmt: skip
    log = (tmp_path / "serve.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "deployments.serve"], cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT,
        start_new_session=True,
    )  # fmt: skip
    try:
        give_up, deployment = time.monotonic() + 60, None
        while deployment is None and time.monotonic() < give_up:
            made = [d for d in client.read_deployments() if d.name == "ingest" and d.status == "READY" and not d.work_pool_name]
            deployment = made[0] if made else None
            time.sleep(0.5)
        assert deployment is not None, (tmp_path / "serve.log").read_text()[-2000:]
        request = {"home": str(copied), "end": "2021-04-09"}
        pressed = client.create_flow_run_from_deployment(deployment.id, parameters={"request": request})
        give_up = time.monotonic() + 120
        while time.monotonic() < give_up:
            state = client.read_flow_run(pressed.id).state
            if state.is_final():
                break
            time.sleep(1)
        assert state.is_completed(), f"{state}\n{(tmp_path / 'serve.log').read_text()[-3000:]}"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)
        log.close()
    with open_snapshot(Home(copied)) as con:
        assert ask(con, "SELECT max(session)::VARCHAR FROM store.bars").rows == [("2021-04-09",)]


def typed(home, url: str, *arguments: str):
    """The day of 2021-03-31 by the command line, in a process of its own, as a person's shell would start it."""
    import os
    import subprocess
    import sys

    from tests.deployments.conftest import QUIET, ROOT

    command = [sys.executable, "-m", "app.cli", "run", "--home", str(home), "--origin", "2021-03-31", "--json", *arguments]
    environment = {**os.environ, **QUIET, "PREFECT_API_URL": url, "PREFECT_HOME": str(home.parent / "prefect")}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_command_line__with_prefect_is_a_flow_run_and_without_it_is_none(client, prefect_server, copied):
    def daily_runs() -> int:
        return len([run for run in client.read_flow_runs(limit=200) if run.name == "daily-2021-03-31"])

    before = daily_runs()
    plain = typed(copied, prefect_server)
    assert plain.returncode == 0 and daily_runs() == before
    shown = typed(copied, prefect_server, "--prefect")
    assert shown.returncode == 0 and daily_runs() == before + 1
    assert shown.stdout == plain.stdout  # one line of JSON, the same


def test_command_line__with_prefect_and_no_server_says_so(copied):
    done = typed(copied, "http://127.0.0.1:9/api", "--prefect")
    assert done.returncode == 2
    assert "nextclose: the Prefect server at http://127.0.0.1:9/api does not answer" in done.stderr


def test_prefect_yaml__deploys_what_serve_serves(client, prefect_server, tmp_path):
    """The file and the script describe the same deployments, and the real command takes the file.

    The last test of the file: a deployment that was given a work pool is not served by ``serve`` any more.
    """
    import os
    import subprocess
    import sys

    from deployments.serve import deployments
    from tests.deployments.conftest import QUIET, ROOT

    environment = {**os.environ, **QUIET, "PREFECT_API_URL": prefect_server, "PREFECT_HOME": str(tmp_path), "NO_COLOR": "1"}
    prefect = [sys.executable, "-m", "prefect", "--no-prompt"]
    for arguments in (
        ["work-pool", "create", "nextclose", "--type", "process"],
        ["deploy", "--all", "--prefect-file", "deployments/prefect.yaml"],
    ):
        done = subprocess.run(
            [*prefect, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stdout[-1500:] + done.stderr[-1500:]
    filed = {d.name: d for d in client.read_deployments() if d.work_pool_name == "nextclose"}
    served = {d.name: d for d in deployments()}
    assert set(filed) == set(served)
    for name, one in served.items():
        assert filed[name].entrypoint == one.entrypoint, name
        assert [(s.schedule.cron, s.schedule.timezone) for s in filed[name].schedules] == [
            (s.schedule.cron, s.schedule.timezone) for s in one.schedules or []
        ], name
        assert filed[name].concurrency_options.collision_strategy == "CANCEL_NEW"
