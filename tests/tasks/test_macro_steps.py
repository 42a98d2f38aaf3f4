"""Macro series through a run: asked for, dated, stored, and used only from their publication on; never a reason to stop."""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import date, datetime

import numpy as np
import pytest

from flows.prices import bring_in_prices
from forecasting.errors import SettingError
from forecasting.features import compute_features
from forecasting.sessions import calendar_of, sessions_between
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, Fetched, typed_frame
from sources.fred import KEY
from sources.registry import _registered, register_source
from storage.home import Home
from storage.manifest import content_digest
from tasks.market import data_digest, macro_of, market_of
from tasks.opening import Asked, open_run
from tasks.publishing import complete
from tasks.settings import read_settings, settings_of
from tests.sources.fred_stand_in import FredStandIn, bad_request
from tests.sources.stand_in import Answer, StandIn


class Steady:
    """A live source with a bar for every session of 2024 that is asked for."""

    name = "steady"

    def symbols(self):
        return None

    def identity(self):
        return "steady"

    def fetch(self, symbols, start=None, end=None):
        rows = []
        for symbol in symbols:
            for n, day in enumerate(sessions_between(calendar_of(symbol), date(2024, 1, 2), end)):
                if start is not None and day < np.datetime64(start):
                    continue
                close = 100.0 + (int(day.astype(np.int64)) * 7919 % 13) + n / 50
                rows.append((symbol, str(day), close, close + 1, close - 1, close, 1000.0))
        return Fetched(typed_frame(BAR_COLUMNS, rows), typed_frame(ACTION_COLUMNS))


@pytest.fixture(autouse=True)
def steady(monkeypatch):
    if "steady" not in _registered:
        register_source("steady", Steady)
    monkeypatch.delenv(KEY, raising=False)


def evening(day: str) -> datetime:
    return datetime.fromisoformat(f"{day}T22:30:00+00:00")


@contextmanager
def run_of(folder, macro: dict, day: str, symbols=("AAA",), flow="ingest"):
    settings = settings_of({"source": {"name": "steady"}, "macro": macro})
    with open_run(Asked(flow, symbols=symbols, every_time=True), Home(folder), settings, evening(day)) as run:
        yield run


def ingested(folder, macro: dict, day: str, **options) -> tuple[list[tuple], list[str]]:
    """(series, session, value) as the run of that evening knows them, and what it told."""
    with run_of(folder, macro, day, **options) as run:
        bring_in_prices(run)
        known = macro_of(run)
        complete(run)
    return seen(known), run.notes


def seen(known) -> list[tuple]:
    if known is None:
        return []
    return [(s, d.strftime("%m-%d"), v) for s, d, v in zip(known["series"], known["session"], known["value"], strict=True)]


def stored(folder) -> list[tuple]:
    from storage.database import Database

    with Database(Home(folder)).reading() as con:
        return con.execute("SELECT series, about::VARCHAR, value, source, dated_by FROM macro ORDER BY ALL").fetchall()


def fred_settings(fred: FredStandIn, *series: str, key: str | None = FredStandIn.key) -> dict:
    os.environ["FRED_API_KEY"] = key or ""
    options = {"base_url": fred.url, "waits": [0.01]}
    return {"source": ["fred"], "series": list(series), "options": {"fred": options}}


PAYROLLS = [  # about, published on (8:30 in New York), thousands
    ("2023-12-01", "2024-01-05", "216"),
    ("2024-01-01", "2024-02-02", "353"),
    ("2023-12-01", "2024-02-02", "333"),
    ("2024-02-01", "2024-03-08", "275"),
    ("2024-01-01", "2024-03-08", "229"),
    ("2024-02-01", "2024-03-11", "270"),  # made up: the newest month corrected on the next business day
]


def test_fred__vintage_by_vintage_as_the_days_go_by(tmp_path):
    """FRED says the day, not the hour: what came out on Friday is used from the next session on."""
    with FredStandIn({"PAYEMS": PAYROLLS}) as fred:
        macro = fred_settings(fred, "PAYEMS")
        fred.series = {"PAYEMS": PAYROLLS[:5]}
        friday, notes = ingested(tmp_path, macro, "2024-03-08")
        assert notes == []
        assert friday == [("PAYEMS", "01-08", 216.0), ("PAYEMS", "02-05", 353.0)]
        fred.series = {"PAYEMS": PAYROLLS}
        monday, _ = ingested(tmp_path, macro, "2024-03-11")
        assert monday == [*friday, ("PAYEMS", "03-11", 275.0)]
        assert fred.requests[-1][1]["realtime_start"] == ["2024-03-02"]  # a week before the newest that is stored
        tuesday, _ = ingested(tmp_path, macro, "2024-03-12")
        assert tuesday == [*monday, ("PAYEMS", "03-12", 270.0)]
    assert len(stored(tmp_path)) == 6 and {row[3:] for row in stored(tmp_path)} == {("fred", "source")}


def test_fred__loaded_late_gives_every_old_session_what_it_would_have_seen(tmp_path):
    """K14 through a whole run: the features of the days before a vintage are the same bits with and without it."""

    def features(run) -> np.ndarray:
        panel = market_of(run)
        return compute_features(panel, ("macro_PAYEMS", "vix_level"), macro=macro_of(run)).values

    with FredStandIn({"PAYEMS": PAYROLLS[:3]}) as fred:
        with run_of(tmp_path / "then", fred_settings(fred, "PAYEMS"), "2024-03-07") as run:
            bring_in_prices(run)
            before, rows = features(run), market_of(run).rows
        fred.series = {"PAYEMS": PAYROLLS}
        with run_of(tmp_path / "now", fred_settings(fred, "PAYEMS"), "2024-03-12") as run:
            bring_in_prices(run)
            after = features(run)
    assert (
        np.isfinite(before[-23:, 0]).all() and rows == 46
    )  # since the second number; the first has no pause before it to go by
    assert np.array_equal(before, after[:rows], equal_nan=True)
    assert after[rows:, 0].tolist() == [353.0, 275.0, 270.0]


def test_fred__without_a_key_by_the_rule_and_a_revision_from_when_it_was_seen(tmp_path):
    told = [("2024-03-04", "2024-03-05", "4.22"), ("2024-03-05", "2024-03-06", "4.13"), ("2024-03-06", "2024-03-07", "4.11")]
    with FredStandIn({"DGS10": told}) as fred:
        macro = fred_settings(fred, "DGS10", key=None)
        first, notes = ingested(tmp_path, macro, "2024-03-07")
        assert first == [("DGS10", "03-05", 4.22), ("DGS10", "03-06", 4.13), ("DGS10", "03-07", 4.11)] and notes == []
        fred.series["DGS10"] += [("2024-03-06", "2024-03-08", "4.10"), ("2024-03-04", "2024-03-08", "4.99")]
        second, _ = ingested(tmp_path, macro, "2024-03-08")
        assert second == first  # seen on Friday evening, it counts from Monday on
        third, _ = ingested(tmp_path, macro, "2024-03-11")
    assert third == [*first, ("DGS10", "03-11", 4.10)]
    assert [(row[2], *row[3:]) for row in stored(tmp_path) if row[4] == "seen"] == [
        (4.99, "fredgraph", "seen"),
        (4.10, "fredgraph", "seen"),
    ]


def test_files__a_corrected_file_changes_no_session_before_it_was_seen(tmp_path):
    file = tmp_path / "vix_daily.csv"
    file.write_text("DATE,OPEN,HIGH,LOW,CLOSE\n2024-03-06,14,15,14,14.5\n2024-03-07,14,15,14,14.4\n2024-03-08,14,15,14,14.7\n")
    first, _ = ingested(tmp_path / "home", {"path": str(file)}, "2024-03-07")
    assert first == [("VIX", "03-06", 14.5), ("VIX", "03-07", 14.4)]  # Friday's value is not Thursday's
    file.write_text("DATE,OPEN,HIGH,LOW,CLOSE\n2024-03-06,14,99,14,99\n2024-03-07,14,15,14,14.4\n2024-03-08,14,15,14,14.7\n")
    second, _ = ingested(tmp_path / "home", {"path": str(file)}, "2024-03-08")
    assert second == [*first, ("VIX", "03-08", 14.7)]
    assert ("VIX", "2024-03-06", 99.0, "files", "seen") in stored(tmp_path / "home")


def test_files__with_release_dates_and_a_series_of_ones_own(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "cpi.csv").write_text("series,date,released,value\nCPI,2024-01-01,2024-02-13T13:30:00Z,308.4\n")
    (tmp_path / "mine" / "mood.csv").write_text("DATE,MOOD\n2024-02-12,1\n2024-02-13,2\n2024-02-14,3\n")
    macro = {"path": str(tmp_path / "mine"), "lag_sessions": {"mood": 2}}
    known, _ = ingested(tmp_path / "home", macro, "2024-02-15")
    assert known == [("CPI", "02-13", 308.4), ("MOOD", "02-14", 1.0), ("MOOD", "02-15", 2.0)]


def test_order__a_series_comes_from_the_first_source_that_has_it(tmp_path):
    (tmp_path / "yields.csv").write_text("DATE,DGS10\n2024-03-06,4.11\n")
    with FredStandIn({"UNRATE": [("2024-01-01", "2024-02-02", "3.7")]}) as fred, StandIn() as cboe:
        answer = Answer("DATE,OPEN,HIGH,LOW,CLOSE\n03/06/2024,14,15,14,14.5\n", kind="text/csv")
        cboe.say("/api/global/us_indices/daily_prices/VIX_History.csv", answer)
        macro = fred_settings(fred, "VIX", "DGS10", "UNRATE", "NOPE") | {"path": str(tmp_path / "yields.csv")}
        macro["source"] = ["files", "cboe", "fred"]
        macro["options"]["cboe"] = {"base_url": cboe.url}
        known, notes = ingested(tmp_path / "home", macro, "2024-03-07")
        assert {query["series_id"][0] for _, query in fred.requests} == {"UNRATE", "NOPE"}
    assert known == [("DGS10", "03-07", 4.11), ("UNRATE", "02-05", 3.7), ("VIX", "03-06", 14.5)]
    assert notes == ["fred NOPE: FRED has no such series; look it up at fred.stlouisfed.org; the values of before are used"]


def test_order__a_source_that_has_nothing_new_has_answered(tmp_path):
    with FredStandIn({"PAYEMS": PAYROLLS[:3]}) as fred, StandIn() as cboe:
        macro = fred_settings(fred, "PAYEMS") | {"source": ["fred", "cboe"]}
        macro["options"]["cboe"] = {"base_url": cboe.url}
        first, _ = ingested(tmp_path, macro, "2024-03-06")
        again, notes = ingested(tmp_path, macro, "2024-03-07")
        assert again == first and notes == [] and cboe.requests == []


@pytest.mark.parametrize(
    ("answers", "says"),
    [
        ([Answer("oops", status=503, kind="text/plain")], "answered with status 503"),
        ([bad_request("The value for variable api_key is not registered.")], "check FRED_API_KEY"),
    ],
)
def test_failure__is_a_note_and_the_day_goes_on_with_the_values_of_before(tmp_path, answers, says):
    with FredStandIn({"PAYEMS": PAYROLLS}) as fred:
        before, _ = ingested(tmp_path, fred_settings(fred, "PAYEMS"), "2024-03-06")
        fred.refuse(*answers)
        known, notes = ingested(tmp_path, fred_settings(fred, "PAYEMS"), "2024-03-11")
        assert known == before and len(before) == 2
        assert len(notes) == 1 and says in notes[0] and notes[0].endswith("the values of before are used")
        caught_up, notes = ingested(tmp_path, fred_settings(fred, "PAYEMS"), "2024-03-12")
        assert caught_up[2:] == [("PAYEMS", "03-11", 275.0), ("PAYEMS", "03-12", 270.0)] and notes == []


def test_failure__a_file_that_is_gone_or_unreadable_is_a_note_too(tmp_path):
    file = tmp_path / "vix.csv"
    for text, says in [(None, "there is no such file"), ("DATE,VIX\n2024-03-06,fourteen\n", "line 2: VIX: 'fourteen'")]:
        if text:
            file.write_text(text)
        known, notes = ingested(tmp_path / "home", {"path": str(file)}, "2024-03-07")
        assert known == [] and len(notes) == 1 and says in notes[0]
    file.write_text("DATE,VIX\n2024-03-06,14.5\n")
    assert ingested(tmp_path / "home", {"path": str(file)}, "2024-03-08")[0] == [("VIX", "03-06", 14.5)]


def test_store__a_run_that_was_killed_and_run_again_leaves_the_same_content(tmp_path):
    with FredStandIn({"PAYEMS": PAYROLLS, "DGS10": [("2024-03-05", "2024-03-06", "4.13")]}) as fred:
        macro = fred_settings(fred, "PAYEMS", "DGS10")
        for folder in ("whole", "killed"):
            if folder == "killed":
                with pytest.raises(KeyboardInterrupt), run_of(tmp_path / folder, macro, "2024-03-07") as run:
                    bring_in_prices(run)
                    raise KeyboardInterrupt
            ingested(tmp_path / folder, macro, "2024-03-07")
    digests = []
    for folder in ("whole", "killed"):
        with run_of(tmp_path / folder, {}, "2024-03-07") as run, run.db.reading() as con:
            digests.append(content_digest(con))
    assert digests[0] == digests[1]


def test_exchanges__tokyo_and_london_see_new_yorks_afternoon_the_next_day(tmp_path):
    file = tmp_path / "vix.csv"
    file.write_text("DATE,VIX\n2024-03-05,14.1\n2024-03-06,14.5\n2024-03-07,14.4\n")
    with run_of(tmp_path / "home", {"path": str(file)}, "2024-03-07", ("AAA", "VOD.L", "7203.T")) as run:
        bring_in_prices(run)
        panel, macro = market_of(run), macro_of(run)
        level = 20 * np.exp(compute_features(panel, ("vix_level",), macro=macro).values[:, 0].astype(float))
    last = {s: round(float(level[end - 1]), 1) for s, end in zip(panel.symbols, panel.starts[1:], strict=True)}
    assert last == {"7203.T": 14.5, "AAA": 14.4, "VOD.L": 14.5}
    alone = macro[macro["calendar"] == "XNYS"].drop(columns="calendar")
    mine = panel.only(("AAA",))
    whole = compute_features(panel, ("vix_level",), macro=macro).values[np.isin(panel.symbol_index, panel.symbols.index("AAA"))]
    assert np.array_equal(whole, compute_features(mine, ("vix_level",), macro=alone).values)  # nobody else changes a bit
    assert data_digest(panel, macro, ("AAA",), "2024-03-07") == data_digest(panel, alone, ("AAA",), "2024-03-07")


# --- settings -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("macro", "says"),
    [
        ({"source": ["fredd"]}, r"macro\.source.*one of cboe, files, fred; did you mean 'fred'"),
        ({"source": ["fred"]}, r'series for fred, for example series = \["DGS10"\]'),
        ({"source": ["fred"], "series": ["../x"]}, r"macro\.series.*the name of a series"),
        ({"lag_sessions": {"VIX": -1}}, r"macro\.lag_sessions\.VIX is -1"),
        ({"paths": "x"}, r"macro\.paths is 'unknown'.*did you mean 'path'"),
    ],
)
def test_settings__say_what_is_wrong(macro, says):
    with pytest.raises(SettingError, match=says):
        settings_of({"macro": macro})


def test_settings__wrong_options_stop_the_run_before_anything_is_done(tmp_path):
    for macro, says in [
        ({"source": ["files"]}, r"macro.options.files.path is None.*cannot do without"),
        ({"source": ["fred"], "series": ["VIX"], "options": {"fred": {"key": "x"}}}, r"macro\.options\.fred is 'key'"),
    ]:
        with pytest.raises(SettingError, match=says), run_of(tmp_path, macro, "2024-03-07"):
            pass


def test_settings__from_the_environment(tmp_path):
    environment = {"NEXTCLOSE_MACRO__SOURCE": "cboe,fred", "NEXTCLOSE_MACRO__SERIES": "vix,dgs10"}
    macro = read_settings(tmp_path / "none.toml", environment).macro
    assert macro.sources == ("cboe", "fred") and macro.series == ("VIX", "DGS10")
    assert settings_of({"macro": {"path": "vix.csv", "source": ["fred"], "series": ["DGS10"]}}).macro.sources == (
        "files",
        "fred",
    )
    assert settings_of({}).macro.sources == ()
