"""Macro values are usable from the instant of their publication on, and never before."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.macro import (
    RULES,
    Rule,
    as_known,
    as_known_at,
    best_dated,
    end_of_day,
    fresh_vintages,
    publication_of,
    rule_of,
    seen_at,
    with_publication,
)
from forecasting.sessions import closes_at, closes_of, sessions_between
from tests.references import macro as reference

JANUARY = sessions_between("XNYS", "2024-01-02", "2024-01-31")  # 15 January was a holiday


def finals(sessions=JANUARY, calendar="XNYS", minutes=30) -> np.ndarray:
    return closes_of(calendar, sessions).astype("datetime64[us]") + np.timedelta64(minutes, "m")


def vintages(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    """(series, about, published_at in UTC, value)"""
    frame = pd.DataFrame(rows, columns=["series", "about", "published_at", "value"])
    return frame.astype({"about": "datetime64[us]", "published_at": "datetime64[us]", "value": "float64"})


def undated(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return vintages(*((series, about, "NaT", value) for series, about, value in rows))


def seen(frame: pd.DataFrame) -> list[tuple]:
    return [(s, str(d.date()), v) for s, d, v in zip(frame["series"], frame["session"], frame["value"], strict=True)]


# --- what a session sees ------------------------------------------------------------------------------------------------


def test_as_known__a_value_is_seen_from_the_session_that_is_final_after_its_publication():
    told = vintages(
        ("CPI", "2023-12-01", "2024-01-11 13:30", 307.0),  # 8:30 in New York: that day's close knows it
        ("LATE", "2024-01-11", "2024-01-11 21:30", 1.0),  # 16:30, the very minute at which bars are final
        ("LATER", "2024-01-11", "2024-01-11 21:30:01", 2.0),
    )
    assert seen(as_known(told, JANUARY, finals())) == [
        ("CPI", "2024-01-11", 307.0),
        ("LATE", "2024-01-11", 1.0),
        ("LATER", "2024-01-12", 2.0),
    ]


def test_as_known__a_planted_value_is_invisible_until_it_is_published():
    told = vintages(("CPI", "2023-11-01", "2023-12-12 13:30", 307.0), ("CPI", "2023-12-01", "2024-01-19 13:30", 999.0))
    assert seen(as_known(told, JANUARY, finals())) == [("CPI", "2024-01-02", 307.0), ("CPI", "2024-01-19", 999.0)]
    early = told.assign(published_at=pd.to_datetime(["2023-12-12 13:30", "2024-01-10 13:30"]).astype("datetime64[us]"))
    assert seen(as_known(early, JANUARY, finals()))[1] == ("CPI", "2024-01-10", 999.0)


def test_as_known__a_revision_of_an_older_month_changes_nothing_and_of_the_newest_only_from_then_on():
    told = vintages(
        ("PAYEMS", "2023-11-01", "2023-12-08 13:30", 199.0),
        ("PAYEMS", "2023-12-01", "2024-01-05 13:30", 216.0),
        ("PAYEMS", "2023-11-01", "2024-01-05 13:30", 173.0),  # revised together with the next month's first value
        ("PAYEMS", "2023-12-01", "2024-01-24 13:30", 333.0),
        ("PAYEMS", "2023-11-01", "2024-01-26 13:30", 182.0),
    )
    expected = [("PAYEMS", "2024-01-02", 199.0), ("PAYEMS", "2024-01-05", 216.0), ("PAYEMS", "2024-01-24", 333.0)]
    assert seen(as_known(told, JANUARY, finals())) == expected
    assert seen(as_known(told.iloc[::-1], JANUARY, finals())) == expected  # order does not matter


def test_as_known__as_of_leaves_out_what_was_published_later():
    told = vintages(("VIX", "2024-01-03", "2024-01-03 21:15", 14.0), ("VIX", "2024-01-03", "2024-01-08 21:15", 15.0))
    known = as_known(told, JANUARY, finals(), as_of=datetime(2024, 1, 5, 12, tzinfo=UTC))
    assert seen(known) == [("VIX", "2024-01-03", 14.0)]


def test_as_known__what_says_nothing_new_is_no_change_but_a_new_day_with_the_same_value_is_one():
    told = vintages(
        ("DFF", "2024-01-03", "2024-01-04 21:15", 5.33),
        ("DFF", "2024-01-03", "2024-01-05 21:15", 5.33),
        ("DFF", "2024-01-08", "2024-01-09 21:15", 5.33),
        ("DFF", "2024-01-09", "2024-01-10 21:15", np.nan),  # a holiday's dot
    )
    assert seen(as_known(told, JANUARY, finals())) == [("DFF", "2024-01-04", 5.33), ("DFF", "2024-01-09", 5.33)]
    assert as_known(told[:0], JANUARY, finals()).empty
    assert as_known(told, JANUARY[:0], finals()[:0]).empty


rows = st.lists(
    st.tuples(
        st.sampled_from(["A", "B"]),
        st.integers(-3, 12),
        st.integers(0, 20 * 24),
        st.sampled_from([1.0, 2.0, 3.0, float("nan")]),
    ),
    max_size=25,
)


@given(rows, st.one_of(st.none(), st.integers(0, 20 * 24)))
def test_as_known__agrees_with_looking_at_every_vintage_for_every_session(rows, as_of_hours):
    start = datetime(2024, 1, 1)
    told = {(s, a, p): (s, date(2024, 1, 5) + timedelta(days=a), start + timedelta(hours=p), v) for s, a, p, v in rows}
    frame = pd.DataFrame(list(told.values()), columns=["series", "about", "published_at", "value"])
    frame = frame.astype({"about": "datetime64[us]", "published_at": "datetime64[us]", "value": "float64"})
    as_of = None if as_of_hours is None else start + timedelta(hours=as_of_hours)
    known = as_known(frame, JANUARY, finals(), None if as_of is None else as_of.replace(tzinfo=UTC))
    found = [(s, d.date(), v) for s, d, v in zip(known["series"], known["session"], known["value"], strict=True)]
    days = [d.astype(object) for d in JANUARY]
    assert found == reference.as_known(list(told.values()), days, list(finals().astype(object)), as_of)


def test_as_known_at__an_afternoon_in_new_york_is_the_next_day_in_london_and_tokyo():
    told = with_publication(undated(("VIX", "2024-01-10", 12.7), ("VIX", "2024-01-11", 12.4)))
    known = as_known_at(told, ["XNYS", "XLON", "XTKS"], date(2024, 1, 9), date(2024, 1, 12))
    days = {name: rows["session"].dt.strftime("%d").tolist() for name, rows in known.groupby("calendar")}
    assert days == {"XNYS": ["10", "11"], "XLON": ["11", "12"], "XTKS": ["11", "12"]}
    assert "calendar" not in as_known_at(told, ["XLON"], date(2024, 1, 9), date(2024, 1, 12)).columns


# --- when it was published ----------------------------------------------------------------------------------------------


def test_rule__vix_after_its_own_close_and_treasury_yields_after_the_next():
    days = ("VIX", "2024-01-12"), ("DGS10", "2024-01-12"), ("VIX", "2024-07-03"), ("DGS10", "2024-01-15")
    told = with_publication(undated(*((series, about, 1.0) for series, about in days)))
    assert told["published_at"].astype(str).tolist() == [
        "2024-01-12 21:15:00",
        "2024-01-16 21:15:00",  # over the weekend and Martin Luther King's day
        "2024-07-03 17:15:00",  # a half day, in summer
        "2024-01-16 21:15:00",  # of a holiday: with the session after it
    ]
    assert told["dated_by"].tolist() == ["rule"] * 4


@pytest.mark.parametrize(
    ("series", "about", "released", "usable"),
    [
        # about, the instant of the real release (UTC), the day at whose New York end our rule lets it be used
        ("UNRATE", "2023-12-01", "2024-01-05 13:30", "2024-01-15"),
        ("CPIAUCSL", "2023-12-01", "2024-01-11 13:30", "2024-02-01"),
        ("GDP", "2023-10-01", "2024-01-25 13:30", "2024-02-08"),
        ("DEXUSEU", "2024-01-08", "2024-01-16 21:15", "2024-01-16"),  # Monday's rate came the Tuesday after a holiday
        ("DCOILWTICO", "2024-01-09", "2024-01-17 17:00", "2024-01-18"),
    ],
)
def test_rule__is_never_earlier_than_the_real_release(series, about, released, usable):
    published = publication_of(rule_of(series), np.array([about], dtype="datetime64[D]"))
    assert published[0] >= np.datetime64(released, "us")
    assert published[0] == end_of_day(np.array([usable], dtype="datetime64[D]"))[0]


def test_rule__unknown_series_by_the_distance_of_their_dates_and_a_persons_own_word_first():
    daily, monthly = (
        sessions_between("XNYS", "2023-01-03", "2023-03-01"),
        np.arange("2020-01", "2022-01", dtype="datetime64[M]"),
    )
    assert rule_of("MINE", daily) == Rule(days=8)
    assert rule_of("MINE", monthly.astype("datetime64[D]")) == Rule(days=92)
    assert rule_of("MINE", daily[:2]) == Rule(days=92)  # too few to tell
    assert rule_of("mine", daily, {"MINE": 0}) == Rule(sessions=0)
    assert rule_of("DGS10", None, {"DGS10": 2}) == Rule(sessions=2)
    assert len({pattern for pattern, _ in RULES}) == len(RULES)


def test_rule__gives_what_was_known_before_there_were_vintages():
    """The sessions at which VIX and yields were usable have not moved, over fifteen years with all their holidays."""
    days = pd.bdate_range("2009-01-01", "2023-08-31").as_unit("us")
    random = np.random.default_rng(3)
    about = days[random.random(len(days)) < 0.9]
    told = pd.concat(
        [
            pd.DataFrame({"series": s, "about": about, "published_at": pd.NaT, "value": random.random(len(about))})
            for s in ("VIX", "DGS10")
        ],
        ignore_index=True,
    )
    sessions = sessions_between("XNYS", "2012-03-01", "2012-12-31")
    near = told[(told["about"] > "2012-02-20") & (told["about"] < "2013-01-10")]
    expected = [row for row in reference.next_session_rule(near, sessions, {"VIX"})]
    found = as_known_at(with_publication(near), ["XNYS"], sessions[0].astype(object), sessions[-1].astype(object))
    assert [(s, d.date(), v) for s, d, v in zip(found["series"], found["session"], found["value"], strict=True)] == expected


def test_end_of_day__is_midnight_in_new_york():
    days = np.array(["2024-01-25", "2024-07-25"], dtype="datetime64[D]")
    assert end_of_day(days).astype(str).tolist() == ["2024-01-26T05:00:00.000000", "2024-07-26T04:00:00.000000"]
    assert seen_at(datetime(2024, 1, 26, 4, 59, tzinfo=UTC)) == np.datetime64("2024-01-26T05:00")  # still the 25th there


def test_closes_of__agrees_with_the_session_by_session_answer():
    sessions = sessions_between("XNYS", "2023-06-30", "2023-07-10")
    found = [d.astype(object).replace(tzinfo=UTC) for d in closes_of("XNYS", sessions)]
    assert found == [closes_at("XNYS", d) for d in sessions]
    beyond = sessions_between("XNYS", "2199-01-02", "2199-01-04")
    assert [d.astype(object).replace(tzinfo=UTC) for d in closes_of("XNYS", beyond)] == [closes_at("XNYS", d) for d in beyond]


# --- what is stored -----------------------------------------------------------------------------------------------------

NOW = np.datetime64("2024-01-20T05:00", "us")


def test_fresh_vintages__the_same_value_is_held_and_another_counts_from_when_it_was_seen():
    held = with_publication(undated(("VIX", "2024-01-10", 12.7), ("VIX", "2024-01-11", 12.4), ("VIX", "2024-01-16", 13.8)))
    told = with_publication(
        undated(
            ("VIX", "2024-01-09", 12.8),  # older than all that is held: history, not news
            ("VIX", "2024-01-10", 12.7 * (1 + 1e-9)),  # the same
            ("VIX", "2024-01-11", 12.9),  # corrected by the source
            ("VIX", "2024-01-12", 12.7),  # was missing before
            ("VIX", "2024-01-17", 14.8),  # new
            ("DGS10", "2024-01-10", 4.0),  # a series of which nothing is held
        )
    )
    fresh = fresh_vintages(told, held, NOW)
    assert [(s, str(a.date()), d) for s, a, d in zip(fresh["series"], fresh["about"], fresh["dated_by"], strict=True)] == [
        ("VIX", "2024-01-09", "rule"),
        ("VIX", "2024-01-11", "seen"),
        ("VIX", "2024-01-12", "seen"),
        ("VIX", "2024-01-17", "rule"),
        ("DGS10", "2024-01-10", "rule"),
    ]
    assert fresh["published_at"][fresh["dated_by"] == "seen"].unique().tolist() == [pd.Timestamp(NOW)]
    assert fresh_vintages(told, told[:0], NOW).equals(told)
    again = pd.concat([held, fresh], ignore_index=True)
    assert fresh_vintages(told, again, NOW + np.timedelta64(1, "D")).empty


def test_best_dated__a_guess_gives_way_where_a_source_knows():
    told = vintages(
        ("GDP", "2023-07-01", "2023-11-09 05:00", 27610.0),  # by rule, as revised until today
        ("GDP", "2023-10-01", "2024-02-09 05:00", 27957.0),
        ("GDP", "2024-01-01", "2024-05-11 04:00", 28255.0),  # newer than all that FRED has dated: better than nothing
        ("GDP", "2023-07-01", "2023-10-27 04:00", 27623.5),
        ("GDP", "2023-10-01", "2024-01-26 05:00", 27938.8),
        ("VIX", "2024-01-10", "2024-01-10 16:00", 12.7),  # of an older database
        ("VIX", "2024-01-11", "2024-01-11 16:00", 12.4),  # if it is about the day before, nothing else tells of that
        ("VIX", "2024-01-12", "2024-01-12 16:00", 12.71),
        ("VIX", "2024-01-11", "2024-01-11 21:15", 12.4),
    ).assign(
        source=["fredgraph"] * 3 + ["fred"] * 2 + ["files"] * 4,
        dated_by=["rule", "rule", "rule", "source", "source", "session", "session", "session", "rule"],
    )
    assert best_dated(told)["value"].tolist() == [28255.0, 27623.5, 27938.8, 12.7, 12.4, 12.4]
    assert best_dated(told)["dated_by"].tolist() == ["rule", "source", "source", "session", "session", "rule"]
    assert best_dated(told[:0]).empty
