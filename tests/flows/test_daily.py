"""The day: what it leaves, that doing it twice changes nothing, what it does about missed days and bad symbols."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import pytest

import flows.entry
from flows.daily import daily
from flows.parameters import Daily
from forecasting.errors import AlreadyRunning, InputError, NoSession, NotEnoughHistory, SettingError, UnknownSymbol
from forecasting.sessions import is_session
from storage.apart import TRIED
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.own_folder import own_folder
from storage.reading import ask
from storage.snapshot import open_snapshot
from storage.verify import verify
from tests.tiny import SYMBOLS, prices_file, tiny_bars, tiny_home

ONE, TWO, FIVE = 1, 5, 20


def rows(home, sql: str) -> list[tuple]:
    with open_snapshot(Home(home)) as con:
        return ask(con, sql).rows


def test_daily__leaves_forecasts_features_a_model_a_decision_and_a_snapshot(finished):
    home, report = finished
    assert report["status"] == "completed" and report["origin"] == "2021-03-31"
    assert [(f["symbol"], f["horizon"]) for f in report["forecasts"]] == [(s, h) for s in SYMBOLS for h in (1, 5, 20)]
    first = report["forecasts"][0]
    assert first["q05"] <= first["q10"] <= first["q25"] <= first["q50"] <= first["q75"] <= first["q90"] <= first["q95"]
    assert 0 < first["p_up"] < 1 and first["target_session"] == "2021-04-01"
    targets = [f["target_session"] for f in report["forecasts"][:3]]
    assert targets == ["2021-04-01", "2021-04-08", "2021-04-29"]  # Good Friday is no session
    # nine forecasters, three symbols, three horizons; one of the nine serves
    assert rows(home, "SELECT count(*), count(*) FILTER (WHERE serving) FROM store.forecasts") == [(81, 9)]
    assert rows(home, "SELECT count(*) FROM store.features") == [(6,)]  # two features of three symbols
    assert rows(home, "SELECT count(*), any_value(verdict) FROM store.decisions")[0][0] == 1
    assert rows(home, "SELECT max(session)::VARCHAR FROM store.bars") == [("2021-03-31",)]
    run = rows(home, "SELECT flow, status, mode, source, symbols FROM runs")
    assert run == [("daily", "completed", "backfill", "synthetic", "AAA,BBB,CCC")]
    assert verify(Home(home)) == []


def test_daily__every_stage_has_its_time_and_memory(finished):
    home, _ = finished
    stages = dict(rows(home, "SELECT stage, min(peak_mb) FROM store.stage_times GROUP BY stage"))
    assert {"fetch_prices", "store_prices", "train", "evaluate", "gate", "store_features", "forecast", "score"} <= set(stages)
    assert min(stages.values()) > 50


def test_daily__done_twice_changes_nothing(copied, finished):
    again = daily(Daily(home=str(copied), origin="2021-03-31"))
    assert again["already_done"]
    for key in ("run_id", "digest", "status", "forecasts", "serving", "decision"):
        assert again[key] == finished[1][key]
    assert rows(copied, "SELECT count(*) FROM store.steps") == rows(finished[0], "SELECT count(*) FROM store.steps")


@pytest.mark.parametrize("what", ["snapshot.duckdb", "manifest.json"])
@pytest.mark.parametrize("how", ["changed", "gone"])
def test_daily__done_before_publishes_again_what_readers_no_longer_have(copied, finished, what, how):
    """And clears away what died while it published or looked; what a living process looks at stays."""
    (copied / what).chmod(0o644)
    if how == "gone":
        (copied / what).unlink()
    else:
        data = bytearray((copied / what).read_bytes())
        data[len(data) // 2] ^= 1
        (copied / what).write_bytes(data)
    assert verify(Home(copied)) != []
    (copied / ".snapshot-0123456789ab.duckdb").write_bytes(b"half")
    (copied / ".try-dead").mkdir()
    with own_folder(copied, TRIED) as folder:
        again = daily(Daily(home=str(copied), origin="2021-03-31"))
        assert again["already_done"] and again["digest"] == finished[1]["digest"] and verify(Home(copied)) == []
        assert [path for path in copied.glob(".*") if path.name.startswith((".snapshot", ".try"))] == [folder]


def test_daily__in_a_fresh_home_ends_in_the_same_digest(finished, tmp_path):
    """Nothing of the clock, the machine or the folder is in the content."""
    report = daily(Daily(home=str(tiny_home(tmp_path / "other place")), origin="2021-03-31"))
    assert report["digest"] == finished[1]["digest"]


def test_daily__catches_up_missed_sessions_oldest_first(copied):
    """Done on Wednesday 31 March, then not until Friday 9 April: 1, 5, 6, 7, 8 April are done first (2 April is a holiday)."""
    report = daily(Daily(home=str(copied), origin="2021-04-09"))
    done = rows(copied, "SELECT DISTINCT origin::VARCHAR FROM store.forecasts ORDER BY 1")
    assert [d for (d,) in done] == [
        "2021-03-31", "2021-04-01", "2021-04-05", "2021-04-06", "2021-04-07", "2021-04-08", "2021-04-09",
    ]  # fmt: skip
    assert rows(copied, "SELECT count(*) FROM store.models") == [(1,)]  # the model is young
    assert {f["mode"] for f in report["forecasts"]} == {"backfill"}
    # 1 session ahead: all but the last origin settled; 5 ahead: 31 March and 1 April did
    settled = rows(copied, "SELECT horizon, count(DISTINCT origin) FROM store.scores GROUP BY horizon ORDER BY horizon")
    assert settled == [(1, 6), (5, 2)]


def test_daily__catches_up_what_a_run_of_one_symbol_left_out(copied):
    """All were done on Wednesday 31 March; on Tuesday 6 April somebody runs AAA alone; on Wednesday all are wanted again. The
    others have missed 1, 5 and 6 April; what AAA has stays as it was issued. The day after has one session to do."""
    alone = daily(Daily(home=str(copied), origin="2021-04-06", symbols=["AAA"]))
    own = "SELECT * FROM store.forecasts WHERE symbol = 'AAA' AND origin BETWEEN '2021-04-01' AND '2021-04-06' ORDER BY ALL"
    issued = rows(copied, own)
    assert issued and [check.verdict for check in freshness(copied)] == ["warning"]
    daily(Daily(home=str(copied), origin="2021-04-07"))
    done = "SELECT symbol, string_agg(DISTINCT day(origin)::VARCHAR, ' ' ORDER BY day(origin)::VARCHAR) FROM store.forecasts "
    assert rows(copied, done + "GROUP BY symbol ORDER BY symbol") == [(symbol, "1 31 5 6 7") for symbol in SYMBOLS]
    assert rows(copied, own) == issued
    after = daily(Daily(home=str(copied), origin="2021-04-08"))
    steps = "SELECT step FROM store.steps WHERE run_id = '{}' AND step LIKE 'forecast/%' ORDER BY step"
    assert rows(copied, steps.format(after["run_id"])) == [("forecast/2021-04-08..2021-04-08",)]
    assert rows(copied, steps.format(alone["run_id"])) == [("forecast/2021-04-01..2021-04-06",)]


def freshness(home) -> list:
    from app.doctor import Patient, look_over

    return look_over(Patient(Home(home), {}, datetime(2021, 4, 7, 12, tzinfo=UTC)), ("freshness",))


def test_daily__symbol_that_was_left_out_or_is_new_has_missed_nothing(copied):
    """ZZZZ, unknown to the source, was wanted on 1 April; on 5 April it is wanted again, and BBB for the first time since."""
    daily(Daily(home=str(copied), origin="2021-04-01", symbols=["AAA", "ZZZZ"]))
    again = daily(Daily(home=str(copied), origin="2021-04-05", symbols=["AAA", "ZZZZ", "YYYY"]))
    steps = f"SELECT step FROM store.steps WHERE run_id = '{again['run_id']}' AND step LIKE 'forecast/%'"
    assert rows(copied, steps) == [("forecast/2021-04-05..2021-04-05",)]


def test_daily__symbol_whose_exchange_is_closed_stops_nobody_and_is_no_failure(tmp_path):
    """6 April 2021: Hong Kong is closed since Good Friday. The others go on; 0700.HK is left out with that reason."""
    home, closed = tiny_home(tmp_path / "home"), ("2021-04-05", "2021-04-06")
    bars = tiny_bars(sessions=317)  # up to 6 April
    hong_kong = bars[(bars["symbol"] == "CCC") & ~bars["session"].isin(closed)]
    hong_kong = hong_kong[[is_session("XHKG", day) for day in hong_kong["session"]]].assign(symbol="0700.HK")
    path = prices_file(tmp_path / "prices.csv", pd.concat([bars, hong_kong]))
    asked = {"source": "files", "source_options": {"path": str(path)}, "symbols": [*SYMBOLS, "0700.HK"]}
    report = daily(Daily(home=str(home), **asked))
    assert (report["origin"], report["status"]) == ("2021-04-06", "completed")
    assert {f["symbol"] for f in report["forecasts"]} == set(SYMBOLS)
    assert [(r["symbol"], r["reason"]) for r in report["refused"]] == [("0700.HK", "exchange_closed")]


def test_daily__on_the_day_itself_is_live_and_later_is_backfill(tmp_path, monkeypatch):
    """The same run at 18:30 in New York on the day, when the next close is still to come."""
    home = tiny_home(tmp_path / "home")
    monkeypatch.setattr(flows.entry, "now_utc", lambda: datetime(2021, 3, 31, 22, 30, tzinfo=UTC))
    report = daily(Daily(home=str(home)))
    assert report["origin"] == "2021-03-31"
    assert {f["mode"] for f in report["forecasts"]} == {"live"}
    monkeypatch.setattr(flows.entry, "now_utc", lambda: datetime(2021, 4, 5, 22, 30, tzinfo=UTC))
    daily(Daily(home=str(home)))  # 1 April was missed: its target was already over
    modes = rows(home, "SELECT DISTINCT origin::VARCHAR, mode FROM store.forecasts ORDER BY 1")
    assert modes == [("2021-03-31", "live"), ("2021-04-01", "backfill"), ("2021-04-05", "live")]


def test_daily__retrains_when_the_model_is_old_or_on_demand(copied):
    (copied / "settings.toml").write_text((copied / "settings.toml").read_text() + "\n[retraining]\nafter_sessions = 3\n")
    daily(Daily(home=str(copied), origin="2021-04-08"))  # five sessions after 31 March
    assert rows(copied, "SELECT origin::VARCHAR FROM store.models ORDER BY 1") == [("2021-03-31",), ("2021-04-07",)]
    daily(Daily(home=str(copied), origin="2021-04-08", retrain=True))
    trained = rows(copied, "SELECT origin::VARCHAR FROM store.models ORDER BY 1")
    assert trained == [("2021-03-31",), ("2021-04-07",), ("2021-04-08",)]
    twice = "SELECT symbol, origin, horizon, forecaster FROM store.forecasts GROUP BY ALL HAVING count(*) > 1"
    assert rows(copied, twice) == []  # the first issue of a forecast stays


def test_daily__one_unknown_symbol_stops_no_other(copied):
    report = daily(Daily(home=str(copied), origin="2021-04-01", symbols=["ZZZZ", "AAA"]))
    assert report["status"] == "degraded"
    assert {f["symbol"] for f in report["forecasts"]} == {"AAA"}
    assert [(r["symbol"], r["reason"]) for r in report["refused"]] == [("ZZZZ", "unknown_symbol")]
    assert rows(copied, "SELECT symbol, reason, severity FROM quarantine") == [("ZZZZ", "unknown_symbol", "refused")]
    again = daily(Daily(home=str(copied), origin="2021-04-01", symbols=["ZZZZ", "AAA"]))
    assert again["already_done"] and again["digest"] == report["digest"] and again["refused"] == report["refused"]


def test_daily__only_unknown_symbols_fail_and_leave_nothing(copied, finished):
    with pytest.raises((UnknownSymbol, NoSession), match="ZZZZ"):
        daily(Daily(home=str(copied), origin="2021-04-01", symbols=["ZZZZ"]))
    assert daily(Daily(home=str(copied), origin="2021-03-31"))["digest"] == finished[1]["digest"]


def test_daily__while_another_run_writes(copied):
    home = Home(copied)
    with (
        hold_lease(home, Database(home), "the other run"),
        pytest.raises(AlreadyRunning, match="already running: the other run"),
    ):
        daily(Daily(home=str(copied), origin="2021-04-01"))


def test_daily__from_a_file_with_thirty_rows(tmp_path):
    path = prices_file(tmp_path / "short.csv", tiny_bars(("AAA",), 30))
    request = Daily(home=str(tiny_home(tmp_path / "home")), symbols=["AAA"], source="files", source_options={"path": str(path)})
    with pytest.raises(NotEnoughHistory, match="AAA has 30 clean sessions"):
        daily(request)


def test_daily__a_short_symbol_among_long_ones_is_refused_alone(tmp_path):
    bars = tiny_bars()
    late = bars[(bars["symbol"] == "CCC") & (bars["session"] < "2021-03-25")].index
    path = prices_file(tmp_path / "panel.csv", bars.drop(late))
    home = tiny_home(tmp_path / "home")
    request = Daily(home=str(home), source="files", source_options={"path": str(path)})
    report = daily(request)
    assert {f["symbol"] for f in report["forecasts"]} == {"AAA", "BBB"}
    assert [r["reason"] for r in report["refused"]] == ["not_enough_history"]
    assert "CCC has 11 clean sessions" in report["refused"][0]["message"]
    assert daily(request)["digest"] == report["digest"]


def test_daily__bad_rows_are_set_aside_with_their_reason(tmp_path):
    """One row each: a negative price, a high below the low, a date in the future, a session twice with two closes."""
    bars = tiny_bars(("AAA", "BBB"))
    a = bars.index[bars["symbol"] == "AAA"]
    bars.loc[a[100], ["open", "close", "low"]] = -1.0
    bars.loc[a[110], "high"] = bars.loc[a[110], "low"] - 1
    future = bars.loc[[a[-1]]].assign(session="2031-03-03")
    twice = bars.loc[[a[120]]].assign(close=lambda f: f["close"] * 1.01, high=lambda f: f["high"] * 1.02)
    import pandas as pd

    everything = pd.concat([bars, future.astype({"session": "datetime64[us]"}), twice], ignore_index=True)
    path = prices_file(tmp_path / "dirty.csv", everything)
    home = tiny_home(tmp_path / "home")
    report = daily(Daily(home=str(home), symbols=["AAA", "BBB"], source="files", source_options={"path": str(path)}))
    assert {f["symbol"] for f in report["forecasts"]} == {"AAA", "BBB"}
    reasons = rows(home, "SELECT reason, count(*) FROM quarantine WHERE severity <> 'refused' GROUP BY reason ORDER BY reason")
    assert reasons == [("duplicate_conflict", 2), ("future_session", 1), ("high_below_low", 1), ("non_positive_price", 1)]
    assert rows(home, "SELECT count(*) FROM store.bars WHERE symbol = 'AAA'") == [
        (320 - 3,)
    ]  # three sessions: the twofold one is gone whole


def test_daily__a_constant_series_is_refused(tmp_path):
    bars = tiny_bars(("AAA", "BBB"))
    flat = bars["symbol"] == "BBB"
    bars.loc[flat, ["open", "high", "low", "close"]] = 10.0
    path = prices_file(tmp_path / "flat.csv", bars)
    request = Daily(
        home=str(tiny_home(tmp_path / "home")), symbols=["AAA", "BBB"], source="files", source_options={"path": str(path)}
    )
    report = daily(request)
    assert [(r["symbol"], r["reason"]) for r in report["refused"]] == [("BBB", "constant_series")]
    assert {f["symbol"] for f in report["forecasts"]} == {"AAA"}


def test_daily__adjusted_and_traded_prices_are_not_mixed(copied, tmp_path):
    path = prices_file(tmp_path / "adjusted.csv", tiny_bars(("AAA",)))
    options = {"path": str(path), "basis": "adjusted"}
    with pytest.raises(InputError, match="AAA is stored as as traded prices from synthetic, files gives them adjusted"):
        daily(Daily(home=str(copied), symbols=["AAA"], source="files", source_options=options, origin="2021-04-01"))


@pytest.mark.parametrize("origin", ["2021-04-02", "2021-04-03"])  # Good Friday, a Saturday
def test_daily__an_origin_without_a_session_is_refused(copied, origin):
    with pytest.raises(SettingError, match=rf"origin is '{origin}'.*2021-04-01"):
        daily(Daily(home=str(copied), origin=origin))
