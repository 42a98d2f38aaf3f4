"""The leak audit of a training run: stored before the scores are looked at, read again after a kill, and the end of a leak."""

from __future__ import annotations

import pytest

import flows.challenge
from flows.daily import daily
from flows.parameters import Daily
from forecasting.errors import LeakFound
from storage.database import Database
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tests.tiny import tiny_home

LEAK = '''
import numpy as np

def tomorrow(bars):
    """The next session's return."""
    return np.append(bars.returns[1:], np.nan)

tomorrow.warm_up = 0
'''


def stored(home, sql: str) -> list[tuple]:
    with Database(Home(home)).reading() as con:
        return con.execute(sql).fetchall()


def test_audit__is_stored_with_what_it_compared(finished):
    home, _ = finished
    with open_snapshot(Home(home)) as con:
        found = ask(con, "SELECT a.code, a.what, a.cells > 10000, a.model_id = m.model_id FROM audits AS a, models AS m").rows
    assert found == [("compared", "values", True, True)]


def test_audit__survives_a_kill_between_audit_and_gate(tmp_path, monkeypatch):
    home = tiny_home(tmp_path / "home")
    request = Daily(home=str(home), origin="2021-03-31")

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(flows.challenge, "gate", killed)
        with pytest.raises(KeyboardInterrupt):
            daily(request)
    assert stored(home, "SELECT code FROM store.audits") == [("compared",)]
    monkeypatch.setattr("forecasting.audit.training.audit_training", killed)  # what was found is read, not looked for again
    report = daily(request)
    checks = {check["code"]: check["verdict"] for check in report["decision"]["checks"]}
    assert checks["G09"] == "pass"


def test_audit__ends_the_run_at_a_leak_before_the_gate_and_names_the_feature(tmp_path):
    home = tiny_home(tmp_path / "home")
    (home / "mine.py").write_text(LEAK)
    settings = (home / "settings.toml").read_text().replace('["ret", "range"]', '["ret", "tomorrow"]')
    (home / "settings.toml").write_text(settings + '\n[features]\nfile = "mine.py"\n')
    request = Daily(home=str(home), origin="2021-03-31")
    for _ in range(2):  # a second try finds the same, without another training
        with pytest.raises(LeakFound, match="^tomorrow has seen the future: K1 at .*not offered to the gate") as caught:
            daily(request)
        assert caught.value.what == "tomorrow" and caught.value.exit_code == 7
    assert stored(home, "SELECT count(*) FROM store.models") == [(1,)]
    assert stored(home, "SELECT count(*) FROM store.decisions") == [(0,)]
    assert {code for (code,) in stored(home, "SELECT code FROM store.audits")} > {"compared", "K1"}
