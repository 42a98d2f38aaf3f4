"""A day with the rival that is fitted only where the settings ask for it: fitted, audited, judged, issued and made again."""

from __future__ import annotations

import json
import math

import pytest

from app.cli import execute
from flows.daily import daily
from flows.parameters import Daily
from forecasting.rivals import RIVALS
from storage.database import Database
from storage.home import Home
from storage.model_folders import load_model
from tests.tiny import SETTINGS

pytest.importorskip("arch")


def test_daily__with_garch_fits_judges_and_issues_it_like_every_other_rival(tmp_path, capsys):
    home = tmp_path / "home"
    home.mkdir()
    long = SETTINGS.replace("sessions = 320", "sessions = 760").replace('"AAA", "BBB", "CCC"', '"AAA", "BBB"')
    (home / "settings.toml").write_text(long + "\n[rivals]\ngarch = true\n", encoding="utf-8")
    report = daily(Daily(home=str(home)))
    with Database(Home(home)).reading() as con:
        issued = con.execute(
            "SELECT symbol, horizon, q05, q50, q95, close FROM store.forecasts WHERE forecaster = 'garch' ORDER BY ALL"
        ).fetchall()
        judged = con.execute(
            "SELECT DISTINCT forecaster FROM evaluations WHERE model_id = ?", [report["decision"]["model_id"]]
        ).fetchall()
        leaks = con.execute("SELECT count(*) FROM audits WHERE code <> 'compared'").fetchone()
    parameters = load_model(Home(home), report["decision"]["model_id"])[0]["garch/parameters"]
    assert parameters.shape == (2, 6) and (parameters[:, 1] > 0).all()  # omega: both symbols had a fit of their own
    assert [row[:2] for row in issued] == [(symbol, h) for symbol in ("AAA", "BBB") for h in (1, 5, 20)]
    assert all(0 < q05 < q50 < q95 < math.inf and 0.8 < q50 / close < 1.25 for _, _, q05, q50, q95, close in issued)
    assert {name for (name,) in judged} == {"lstm", *RIVALS, "garch"} and leaks == (0,)
    assert execute(["reproduce", "AAA", report["origin"], "5", "garch", "--json", "--home", str(home)]) == 0
    assert json.loads(capsys.readouterr().out)["forecasts"][0]["same_bits"]
