"""Secrets stay where they were put: planted in every place that takes one, they are found in nothing that is written."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.deployments.conftest import wait_for
from tests.tiny import LAST

CANARY = "canary-4f1c-do-not-print"


def holders(folder: Path, word: str) -> list[str]:
    return [
        str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and word.encode() in path.read_bytes()
    ]


def test_password__is_in_its_file_and_nowhere_else(served, finished):
    """Not in the log, the Prefect database, the snapshot, a backup or an artifact; the server has run flows by now."""
    home = shutil.copytree(finished[0], served.folder / "home-of-password")
    run = served.ended(served.trigger("ingest/ingest", {"end": LAST, "home": str(home)}))
    assert run["state"]["type"] == "COMPLETED"
    wait_for(lambda: served.ask("POST", "/logs/filter", json={"limit": 5}), "logs")
    secret = served.login[1]
    assert holders(served.folder, secret) == ["home/server-password"]
    assert secret not in served.log


def test_password__is_shown_by_no_settings_page(served):
    import json

    told = json.dumps(served.ask("GET", "/admin/settings"))
    assert served.login[1] not in told


def test_command_lines__carry_no_secret(served):
    assert [command for command in served.children().values() if served.login[1] in command] == []


def test_secret_of_a_setting__is_not_in_the_sentence_about_it(tmp_path):
    import pytest

    from forecasting.errors import SettingError
    from tasks.settings import read_settings

    for name in ("NEXTCLOSE_NOTIFY__WEBHOOK", "NEXTCLOSE_SERVE__DATABASE"):
        with pytest.raises(SettingError) as caught:
            read_settings(tmp_path / "none.toml", {name: f"gopher://{CANARY}"})
        assert CANARY not in str(caught.value)
    settings = read_settings(tmp_path / "none.toml", {"NEXTCLOSE_NOTIFY__WEBHOOK": f"https://hooks.example.org/{CANARY}"})
    assert CANARY not in repr(settings) and CANARY not in settings.model_dump_json()


def test_wrong_password__is_not_in_the_sentence_about_it(tmp_path):
    import pytest

    from deployments.password import password_for
    from forecasting.errors import SettingError

    with pytest.raises(SettingError) as caught:
        password_for(tmp_path, {"NEXTCLOSE_PASSWORD": f"{CANARY} with a space"})
    assert CANARY not in str(caught.value)
    assert CANARY not in repr(password_for(tmp_path, {"NEXTCLOSE_PASSWORD": CANARY}))


def test_password_of_a_source__in_an_error_of_its_driver_reaches_no_log_and_no_record(served, prefect_server, monkeypatch):
    """A driver that puts the password into its own error, as real ones have done; the run fails and is shown as failed."""
    import json

    from sqlalchemy.dialects import registry

    from deployments.prefect_flows import daily
    from flows.parameters import Daily

    registry.register("canary", "tests.sources.canary", "CanaryDialect")
    monkeypatch.setenv("PRICES_PASSWORD", CANARY)
    options = {"url": "canary://me@host/prices", "query": "SELECT * FROM prices", "password_env": "PRICES_PASSWORD"}
    home = served.folder / "home-of-canary"
    home.mkdir()
    state = daily(Daily(home=str(home), symbols=["AAPL"], source="database", source_options=options), return_state=True)
    assert state.is_failed() and CANARY not in (state.message or "")
    run = str(state.state_details.flow_run_id)
    wanted = {"logs": {"flow_run_id": {"any_": [run]}}, "limit": 200}
    said = wait_for(
        lambda: [e["message"] for e in served.ask("POST", "/logs/filter", json=wanted) if "Failed" in e["message"]], "its log"
    )
    assert said and CANARY not in json.dumps(served.ask("POST", "/logs/filter", json=wanted))
    assert CANARY not in json.dumps(served.flow_run(run))
    assert holders(served.folder, CANARY) == []


def test_password_in_the_address_of_a_source__stays_in_the_settings(served, prefect_server):
    """The settings file may hold it; a run whose driver repeats it in its error writes it nowhere else."""
    import json

    from sqlalchemy.dialects import registry

    from deployments.prefect_flows import daily
    from flows.parameters import Daily

    registry.register("canary", "tests.sources.canary", "CanaryDialect")
    home = served.folder / "home-of-address"
    home.mkdir()
    settings = (
        '[source]\nname = "database"\n[source.options]\nurl = "canary://me:%s@host/prices"\nquery = "SELECT * FROM prices"\n'
    )
    (home / "settings.toml").write_text(settings % CANARY, encoding="utf-8")
    state = daily(Daily(home=str(home), symbols=["AAPL"]), return_state=True)
    assert state.is_failed() and CANARY not in (state.message or "")
    wanted = {"logs": {"flow_run_id": {"any_": [str(state.state_details.flow_run_id)]}}, "limit": 200}
    said = wait_for(
        lambda: [e for e in served.ask("POST", "/logs/filter", json=wanted) if "Failed" in e["message"]] and wanted, "its log"
    )
    assert CANARY not in json.dumps(served.ask("POST", "/logs/filter", json=said))
    assert holders(served.folder, CANARY) == ["home-of-address/settings.toml"]
    (home / "settings.toml").unlink()


def test_addresses_and_passwords_of_notices__are_not_readable_in_the_prefect_database(served, prefect_server):
    """Prefect keeps them in blocks, which its API shows obscured and its database holds encrypted."""
    import json

    from deployments.automations import put_in_place
    from tasks.settings_serving import Notify

    put_in_place(
        Notify(webhook=f"https://hooks.example.org/{CANARY}", email=("desk@example.org",), smtp_user="me", smtp_password=CANARY)
    )
    try:
        shown = json.dumps(served.ask("POST", "/block_documents/filter", json={"include_secrets": False}))
        assert "nextclose-notices" in shown and CANARY not in shown
        assert holders(served.folder, CANARY) == []
    finally:
        put_in_place(Notify())
