"""Macro vintages in the store: what each session could see stays what it was, whatever is published later."""

from __future__ import annotations

from datetime import UTC, date, datetime

import duckdb
import numpy as np
import pandas as pd

from forecasting.features import compute_features
from forecasting.panel import Panel
from forecasting.sessions import sessions_between
from storage.append import Appended
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.macro import append_macro, newest_published, read_macro, read_vintages
from storage.manifest import content_digest
from storage.snapshot import open_snapshot, publish
from storage.verify import verify
from tests.references.market import small_bars
from tests.storage.by_hand import MONDAY, TUESDAY, WEDNESDAY


def vintages(*rows: tuple[str, str, str, float], dated_by: str = "source") -> pd.DataFrame:
    """(series, about, published_at in UTC, value)"""
    frame = pd.DataFrame(rows, columns=["series", "about", "published_at", "value"]).assign(dated_by=dated_by)
    return frame.astype({"about": "datetime64[us]", "published_at": "datetime64[us]"})


def store(db, lease, step, rows, known_at=MONDAY, source="fred", run="run1") -> Appended:
    with db.writing(lease, run, step) as tx:
        return append_macro(tx, rows, source, known_at)


def seen(frame: pd.DataFrame) -> list[tuple]:
    return [(s, str(d.date()), v) for s, d, v in zip(frame["series"], frame["session"], frame["value"], strict=True)]


FIRST = vintages(
    ("CPI", "2024-01-01", "2024-02-13 13:30", 308.4), ("VIX", "2024-02-29", "2024-02-29 21:15", 13.4),
    ("VIX", "2024-03-01", "2024-03-01 21:15", 13.1),
)  # fmt: skip


def test_read_macro__each_change_at_the_first_session_that_could_see_it(db, lease):
    assert store(db, lease, "a", FIRST) == Appended(3, 0, 0)
    with db.reading() as con:
        whole = [("CPI", "2024-02-13", 308.4), ("VIX", "2024-02-29", 13.4), ("VIX", "2024-03-01", 13.1)]
        assert seen(read_macro(con)) == whole
        assert seen(read_macro(con, until=date(2024, 2, 29))) == whole[:2]
        assert seen(read_macro(con, since=date(2024, 2, 29))) == whole[1:]
        assert seen(read_macro(con, final_after_minutes=0))[1] == ("VIX", "2024-03-01", 13.4)  # 16:15 is after 16:00
        london = read_macro(con, calendars=("XLON",))
        assert seen(london) == [("CPI", "2024-02-13", 308.4), ("VIX", "2024-03-01", 13.4), ("VIX", "2024-03-04", 13.1)]
        assert read_macro(con, until=date(2020, 1, 2)).empty


def test_read_macro__empty_store(db):
    with db.reading() as con:
        assert read_macro(con).columns.tolist() == ["series", "session", "value"]
        assert read_macro(con, until=date(2024, 1, 2), calendars=("XLON", "XNYS")).empty


def test_append_macro__the_same_again_is_unchanged_another_value_of_it_a_revision_a_new_vintage_a_new_row(db, lease):
    store(db, lease, "a", FIRST)
    assert store(db, lease, "b", FIRST, TUESDAY) == Appended(0, 3, 0)
    typo = vintages(("VIX", "2024-03-01", "2024-03-01 21:15", 13.11))
    later = vintages(("VIX", "2024-03-01", "2024-03-04 21:15", 13.5))
    assert store(db, lease, "c", typo, TUESDAY) == Appended(0, 0, 1)
    assert store(db, lease, "d", later, WEDNESDAY) == Appended(1, 0, 0)
    with db.reading() as con:
        assert seen(read_macro(con, as_of=MONDAY))[-1] == ("VIX", "2024-03-01", 13.1)
        assert seen(read_macro(con, as_of=TUESDAY))[-1] == ("VIX", "2024-03-01", 13.11)
        assert seen(read_macro(con))[-2:] == [("VIX", "2024-03-01", 13.11), ("VIX", "2024-03-04", 13.5)]
        assert read_vintages(con, series=["VIX"])["value"].tolist() == [13.4, 13.11, 13.5]
        told = con.execute(
            "SELECT about::VARCHAR, value, revision, source, dated_by FROM macro WHERE series = 'VIX'"
        ).fetchall()
    assert sorted(told) == [
        ("2024-02-29", 13.4, 0, "fred", "source"),
        ("2024-03-01", 13.11, 1, "fred", "source"),
        ("2024-03-01", 13.5, 0, "fred", "source"),
    ]


def test_newest_published__of_each_series_by_the_sources_own_word(db, lease):
    store(db, lease, "a", FIRST)
    store(db, lease, "b", vintages(("VIX", "2024-03-04", "2024-03-05 21:15", 13.5)), run="run2")
    store(db, lease, "c", vintages(("DGS10", "2024-03-04", "2024-03-05 21:15", 4.2), dated_by="rule"))
    with db.reading() as con:
        assert newest_published(con, "fred") == {"CPI": date(2024, 2, 13), "VIX": date(2024, 3, 5)}
        assert newest_published(con, "fred", besides="run2")["VIX"] == date(2024, 3, 1)
        assert newest_published(con, "cboe") == {}


# --- nothing sees the future (K1, K14) ----------------------------------------------------------------------------------

PANEL = Panel.from_frames(small_bars())
MACRO_FEATURES = ("vix_level", "vix_market_vol", "macro_VIX", "macro_change_VIX", "macro_CPI", "macro_GDP")


def features(db, **how) -> np.ndarray:
    with db.reading() as con:
        macro = read_macro(con, until=PANEL.sessions[-1].astype(object), **how)
    return compute_features(PANEL, MACRO_FEATURES, macro=macro).values


def a_year(random: np.random.Generator) -> pd.DataFrame:
    days = sessions_between("XNYS", "2021-01-04", "2022-03-31").astype(str)
    vix = [("VIX", d, f"{d} 21:15", float(v)) for d, v in zip(days, random.uniform(12, 30, len(days)), strict=True)]
    months = [f"{m}-01" for m in np.arange("2020-12", "2022-03", dtype="datetime64[M]").astype(str)]
    cpi = [("CPI", m, str(np.datetime64(m) + np.timedelta64(43, "D")) + " 13:30", 260.0 + n) for n, m in enumerate(months)]
    return vintages(*vix, *cpi)


def test_features__of_old_sessions_do_not_change_by_a_bit_when_later_vintages_arrive(db, lease):
    store(db, lease, "a", a_year(np.random.default_rng(1)))
    before = features(db)
    assert np.isfinite(before[-400:, :5]).mean() > 0.95
    cut = np.datetime64("2022-02-10")
    later = vintages(
        ("CPI", "2021-12-01", "2022-02-10 22:00", 999.0),  # a revision, half an hour too late for the session of the 10th
        ("VIX", "2021-06-01", "2022-02-11 21:00", 999.0),  # an old day restated
        ("VIX", "2022-02-10", "2022-02-11 13:00", 999.0),  # the newest day restated on the next morning
        ("GDP", "2021-10-01", "2022-02-24 13:30", 999.0),  # a series that nobody had
    )
    store(db, lease, "b", later, TUESDAY)
    after, old = features(db), PANEL.session <= cut
    assert np.array_equal(before[old], after[old], equal_nan=True)
    assert not np.array_equal(before[~old], after[~old], equal_nan=True)
    assert np.array_equal(features(db, as_of=MONDAY), before, equal_nan=True)  # as known then: not even the new ones


def test_features__a_planted_value_shows_at_its_publication_and_not_a_session_before(db, lease):
    store(db, lease, "a", a_year(np.random.default_rng(1)))
    clean = features(db)
    store(db, lease, "b", vintages(("GDP", "2021-04-01", "2021-07-29 12:30", 23000.0)), TUESDAY)
    planted = features(db)
    differs = ~np.isclose(clean, planted, equal_nan=True).all(axis=1)
    assert PANEL.session[differs].min() == np.datetime64("2021-07-29")  # 8:30 in New York, the quarter ended in June


# --- the manifest -------------------------------------------------------------------------------------------------------


def digest_of(folder, rows: pd.DataFrame, known_at=MONDAY) -> str:
    home = Home(folder)
    db = Database(home)
    with hold_lease(home, db, "test") as lease:
        store(db, lease, "a", rows, known_at)
    with db.reading() as con:
        return content_digest(con)


def test_digest__holds_the_instant_of_publication_but_not_the_clock(tmp_path):
    first = digest_of(tmp_path / "a", FIRST)
    assert digest_of(tmp_path / "b", FIRST, TUESDAY) == first
    moved = FIRST.assign(published_at=FIRST["published_at"] + pd.Timedelta(minutes=1))
    assert digest_of(tmp_path / "c", moved) != first
    assert digest_of(tmp_path / "d", FIRST.assign(about=FIRST["about"] + pd.Timedelta(days=1))) != first
    assert digest_of(tmp_path / "e", FIRST.assign(dated_by="seen")) != first


def test_publish_and_verify__notice_a_changed_instant_and_keep_months_apart(home, db, lease):
    store(db, lease, "a", FIRST)
    assert publish(db, home, "run1", MONDAY).rows["macro_values"] == 3
    assert verify(home) == []
    with open_snapshot(home) as con:
        assert con.execute("SELECT count(*), max(published_at) FROM macro").fetchone() == (3, datetime(2024, 3, 1, 21, 15))
    store(db, lease, "b", vintages(("VIX", "2024-03-04", "2024-03-04 21:15", 13.5)), TUESDAY)
    assert [str(f) for f in verify(home) if f.what.startswith("macro")] == [
        "unpublished macro_values 2024-03: 1 rows are not published yet; run `nextclose run` to finish that run"
    ]
    publish(db, home, "run2", TUESDAY)
    with duckdb.connect(str(home.database)) as con:
        con.execute("UPDATE store.macro_values SET published_at = published_at - INTERVAL 1 DAY WHERE series = 'CPI'")
    assert [f.what for f in verify(home)] == ["macro_values 2024-01"]


def test_times__are_utc_whatever_the_zone_of_the_machine(db, lease, monkeypatch):
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    store(db, lease, "a", FIRST)
    with db.reading() as con:
        assert read_vintages(con)["published_at"].max() == pd.Timestamp("2024-03-01 21:15")
        assert read_vintages(con, as_of=datetime(2024, 3, 4, 21, 59, tzinfo=UTC)).empty
