"""The same tickers as they were downloaded in 2014, 2018, 2021 and 2023: restated by splits, kept as they were known."""

from __future__ import annotations

from datetime import UTC, date, datetime

import numpy as np
import pytest

from forecasting.features import compute_features
from forecasting.panel import Panel
from forecasting.sessions import sessions_between
from storage.bars import read_actions, read_bars
from storage.database import Database
from storage.home import Home
from tests.flows.replaying import answer, ingest_at, known

VINTAGES = ("2014-12-31", "2018-01-20", "2021-01-27", "2023-04-14")
FEATURES = ("ret", "range", "return_5", "vol_level", "rsi_14", "macd")


def evening(vintage: str) -> datetime:
    return datetime.fromisoformat(f"{vintage}T23:30:00").replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def loaded(shared_data, tmp_path_factory):
    """(home, what was known after each vintage)."""
    home = tmp_path_factory.mktemp("vintages") / "home"
    path = shared_data / "vintages" / "yahoo_vintages.parquet"
    after = {}
    for vintage in VINTAGES:
        ingest_at(home, evening(vintage), path, where={"vintage": vintage})
        after[vintage] = known(home)
    return home, after


def test_vintages__a_split_in_between_restates_the_history_as_revisions(loaded):
    home, _ = loaded
    revised = dict(answer(home, "SELECT symbol, sum(revised)::INT FROM quality WHERE origin = '2021-01-27' GROUP BY symbol"))
    assert revised["AAPL"] == 3_379 and revised["AMZN"] == 0  # 4:1 in August 2020; AMZN is new there
    amzn = answer(home, "SELECT revision, close FROM store.bars WHERE symbol = 'AMZN' AND session = '2020-03-02' ORDER BY 1")
    assert [revision for revision, _ in amzn] == [0, 1]
    assert amzn[0][1] / amzn[1][1] == pytest.approx(20.0, abs=1e-4)  # 20:1 in June 2022
    told = answer(home, "SELECT symbol FROM quality_findings WHERE rule = 'restated' AND origin = '2023-04-14' ORDER BY 1")
    assert ("AMZN",) in told and ("NVDA",) in told and ("CVX",) not in told


def test_vintages__each_can_be_read_as_it_was(loaded):
    home, after = loaded
    for vintage in VINTAGES:
        assert known(home, as_of=evening(vintage)) == after[vintage], vintage
    closes = "SELECT close FROM prices_as_of($then) WHERE symbol = 'AAPL' AND session = '2015-06-15'"
    then, now = (answer(home, closes, {"then": evening(v)})[0][0] for v in ("2018-01-20", "2021-01-27"))
    assert then == pytest.approx(126.92, abs=0.01) and now == pytest.approx(31.73, abs=0.01)


def test_vintages__features_of_an_old_date_do_not_change_by_a_bit_when_a_later_vintage_arrives(shared_data, loaded, tmp_path):
    """The store with two vintages and the one with all four answer the same for 2018."""
    home, _ = loaded
    early = tmp_path / "early"
    for vintage in VINTAGES[:2]:
        ingest_at(early, evening(vintage), shared_data / "vintages" / "yahoo_vintages.parquet", where={"vintage": vintage})
    then, now = _features(early, None), _features(home, evening(VINTAGES[1]))
    assert then.shape == now.shape and then.shape[0] > 10_000
    assert np.array_equal(then.view(np.uint8), now.view(np.uint8))
    assert not np.array_equal(_features(home, None)[: len(then)], then)  # what is known today is something else


def _features(home, as_of) -> np.ndarray:
    until = date(2018, 1, 19)
    with Database(Home(home)).reading() as con:
        bars, actions = read_bars(con, until=until, as_of=as_of), read_actions(con, until=until, as_of=as_of)
    sessions = sessions_between("XNYS", bars["session"].min().date(), until)
    return compute_features(Panel.from_frames(bars.drop(columns="basis"), actions, sessions), FEATURES).values
