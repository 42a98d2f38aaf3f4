"""A forecaster of one's own through the days: judged, put in service, made again, and refused when its file changed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from app.cli import execute
from flows.daily import daily
from flows.parameters import Daily, Promote
from flows.promote import promote
from forecasting.errors import UntrustedModel
from forecasting.rivals.own import load_own_rivals
from storage.database import Database
from storage.home import Home
from storage.model_folders import load_model
from tests.references.own_rivals import NET
from tests.tiny import tiny_home


@pytest.fixture
def home(tmp_path) -> Path:
    folder = tiny_home(tmp_path / "home")
    with (folder / "settings.toml").open("a", encoding="utf-8") as settings:
        settings.write('\n[rivals]\nown = ["small_net.py"]\n')
    (folder / "small_net.py").write_text(NET, encoding="utf-8")
    yield folder
    load_own_rivals({})


def test_days__with_a_forecaster_of_ones_own(home, capsys):
    report = daily(Daily(home=str(home), origin="2021-03-31"))
    model = report["decision"]["model_id"]
    assert load_model(Home(home), model)[1]["own_rivals"] == {"small_net": hashlib.sha256(NET.encode()).hexdigest()}
    with Database(Home(home)).reading() as con:
        issued = con.execute("SELECT count(*) FROM store.forecasts WHERE forecaster = 'small_net'").fetchone()
        judged = con.execute(
            "SELECT count(*) FROM evaluations WHERE (forecaster, metric) = ('small_net', 'pinball')"
        ).fetchone()
        leaks = con.execute("SELECT code FROM audits").fetchall()
    assert issued == (9,) and judged == (3,) and leaks == [("compared",)]

    promote(Promote(home=str(home), model=model[:8], forecaster="small_net", reason="to see it serve"))
    served = daily(Daily(home=str(home), origin="2021-04-01"))["forecasts"]
    assert {f["forecaster"] for f in served} == {"small_net"} and len(served) == 9
    assert execute(["reproduce", "BBB", "2021-04-01", "--json", "--home", str(home)]) == 0
    assert all(one["same_bits"] for one in json.loads(capsys.readouterr().out)["forecasts"])

    (home / "small_net.py").write_text(NET + "\n", encoding="utf-8")
    with pytest.raises(UntrustedModel, match=r"small_net\.py is not the file"):
        daily(Daily(home=str(home), origin="2021-04-05"))
