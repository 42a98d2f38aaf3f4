"""Through a real Prefect server: the run with its tasks, a retried failure, artifacts, forms, and a schedule that schedules."""

from __future__ import annotations

import json
import time

import pytest

from flows.parameters import Daily
from forecasting.errors import SourceDown
from tasks import ingest
from tasks.engine import Step
from tests.tiny import SYMBOLS


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
        names = {task.name.split(" ")[0] for task in tasks}
        if names == wanted and all(task.state and task.state.is_final() for task in tasks):
            break
        time.sleep(0.5)
    assert names == wanted
    assert all(task.state.is_completed() for task in tasks)
    tried = {task.name: task.run_count for task in tasks}
    assert tried["fetch_prices AAA, BBB"] == 2 and tried["fetch_prices CCC"] == 1  # a stage and its chunk of symbols


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
    found = {key: one for key, one in found.items() if not key.startswith("progress-")}  # where a step took long
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


def test_flow_run__of_a_search_keeps_its_trials_and_hands_back_the_table(shown, client, tmp_path):
    import shutil

    from deployments.prefect_flows import tune
    from flows.parameters import Tune

    home = shutil.copytree(shown["home"], tmp_path / "home")
    with (home / "settings.toml").open("a", encoding="utf-8") as settings:
        settings.write("\n[tuning]\nfolds = 1\nparallel = 1\n[tuning.space]\nlearning_rate = [0.001, 0.01]\n")
    state = tune(Tune(home=str(home), trials=1, sampler="grid", origin="2021-04-01"), return_state=True)
    assert state.is_completed(), state
    report = state.result()
    assert sorted(trial["number"] for trial in report["trials"]) == [0, 1] and report["best"]["state"] == "complete"
    from storage.database import Database
    from storage.home import Home

    with Database(Home(home)).reading() as con:
        assert con.execute("SELECT count(*) FROM store.trials WHERE study = ?", [report["study"]]).fetchone() == (2,)


def test_flow_run__is_named_after_its_session(shown, client):
    assert client.read_flow_run(shown["state"].state_details.flow_run_id).name == "daily-2021-04-01"


def test_flow_run__that_finds_its_day_done_says_that_there_is_nothing_to_do(shown):
    from deployments.prefect_flows import daily

    state = daily(Daily(home=str(shown["home"]), origin="2021-04-01", retrain=True), return_state=True)
    assert state.is_completed() and state.name == "Nothing to do"
    assert state.message == "the session of 2021-04-01 was done before"


def test_flow_run__beside_another_one_is_cancelled_and_names_it(shown):
    from deployments.prefect_flows import daily
    from storage.database import Database
    from storage.home import Home
    from storage.lease import hold_lease

    home = Home(shown["home"])
    with hold_lease(home, Database(home), "daily of 2021-04-05"):
        state = daily(Daily(home=str(home.path), origin="2021-04-05"), return_state=True)
    assert state.is_cancelled() and state.name == "Already running"
    assert "already running: daily of 2021-04-05" in state.message


def test_deployment__refuses_wrong_parameters_with_the_field_and_the_reason(client, prefect_server):
    from prefect.exceptions import PrefectHTTPStatusError

    daily = client.read_deployment_by_name("daily/daily")
    with pytest.raises(PrefectHTTPStatusError) as caught:
        client.create_flow_run_from_deployment(daily.id, parameters={"request": {"replay": -3}})
    assert caught.value.response.status_code in (409, 422)
    assert "minimum" in caught.value.response.text or "less than" in caught.value.response.text


def test_steps__are_all_the_same_function_either_way():
    """No step exists only for Prefect: what a task run calls is what the command line calls."""
    from tasks import auditing, backtesting, gating, judging, learning, ledger, publishing, storing

    for module in (ingest, storing, learning, auditing, judging, gating, ledger, publishing, backtesting):
        for name, thing in vars(module).items():
            if isinstance(thing, Step):
                assert thing.as_prefect_task.fn.__wrapped__ is thing.fn, name


def typed(home, url: str, *arguments: str, **login: str):
    """The day of 2021-03-31 by the command line, in a process of its own, as a person's shell would start it."""
    import os
    import subprocess
    import sys

    from tests.deployments.conftest import ROOT

    command = [sys.executable, "-m", "app.cli", "run", "--home", str(home), "--origin", "2021-03-31", "--json", *arguments]
    environment = {**os.environ, "PREFECT_API_URL": url, "PREFECT_HOME": str(home.parent / "prefect"), **login}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_command_line__with_prefect_is_a_flow_run_and_without_it_is_none(client, served, prefect_server, copied):
    def daily_runs() -> int:
        return len([run for run in client.read_flow_runs(limit=200) if run.name == "daily-2021-03-31"])

    before = daily_runs()
    plain = typed(copied, prefect_server)
    assert plain.returncode == 0 and daily_runs() == before
    proxy = {"http_proxy": "http://127.0.0.1:9", "no_proxy": "", "NO_PROXY": ""}  # knows nothing of this machine
    shown = typed(copied, prefect_server, "--prefect", PREFECT_API_AUTH_STRING=":".join(served.login), **proxy)
    assert shown.returncode == 0 and daily_runs() == before + 1
    assert shown.stdout == plain.stdout  # one line of JSON, the same


def test_command_line__with_prefect_and_no_server_says_so(copied):
    done = typed(copied, "http://127.0.0.1:9/api", "--prefect")
    assert done.returncode == 2
    assert "nextclose: the Prefect server at http://127.0.0.1:9/api does not answer" in done.stderr
