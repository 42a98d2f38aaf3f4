"""FRED through the real client: vintages with a key, the newest values without, and each of its refusals understood."""

from __future__ import annotations

import os
from datetime import date
from unittest.mock import patch

import pandas as pd
import pytest

from forecasting.errors import Blocked, Malformed, RateLimited, SettingError, SourceDown, UnknownSymbol
from sources.fred import KEY, FredSource
from sources.macro import MacroFetched, make_macro_source
from tests.sources.fred_stand_in import FredStandIn, bad_request
from tests.sources.stand_in import Answer

GDP = [  # about, published on, billions of dollars
    ("2023-04-01", "2023-07-27", "26835.0"),
    ("2023-04-01", "2023-08-30", "26798.6"),
    ("2023-04-01", "2023-09-28", "27063.0"),
    ("2023-07-01", "2023-10-26", "27623.5"),
    ("2023-07-01", "2023-11-29", "27644.5"),
    ("2023-07-01", "2023-12-21", "27610.1"),
    ("2023-10-01", "2024-01-25", "27938.8"),
    ("2023-10-01", "2024-02-28", "27944.6"),
    ("2023-10-01", "2024-03-28", "27957.0"),
]
DGS10 = [  # the archive begins on 5 January 2024 with all there was
    ("2024-01-02", "2024-01-05", "3.95"),
    ("2024-01-03", "2024-01-05", "3.91"),
    ("2024-01-04", "2024-01-05", "3.99"),
    ("2024-01-05", "2024-01-08", "4.05"),
    ("2024-01-15", "2024-01-16", "."),
    ("2024-01-16", "2024-01-17", "4.07"),
]


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    monkeypatch.delenv(KEY, raising=False)


def source(fred: FredStandIn, key: str | None = FredStandIn.key, **options) -> FredSource:
    with patch.dict(os.environ, {KEY: key or ""}):
        made = FredSource(base_url=fred.url, waits=(0.01, 0.01), **options)
    made.meter._sleep = lambda seconds: None  # the pace of two requests a second is the meter's own story
    return made


def told(fetched: MacroFetched) -> list[tuple]:
    values = fetched.values
    return [
        (str(a.date()), str(p), v) for a, p, v in zip(values["about"], values["published_at"], values["value"], strict=True)
    ]


def night(day: str) -> str:
    """The end of that day in New York."""
    return str(
        (pd.Timestamp(day, tz="America/New_York") + pd.Timedelta(days=1)).normalize().tz_convert("UTC").tz_localize(None)
    )


@pytest.mark.parametrize("page", [4, 100])
def test_fetch__every_vintage_at_the_end_of_the_day_on_which_it_was_published(page):
    with FredStandIn({"GDP": GDP}) as fred:
        fred.page = page
        fetched = source(fred).fetch(["gdp"])
        assert len(fred.requests) == (3 if page == 4 else 1)
    assert told(fetched) == [(about, night(day), float(value)) for about, day, value in GDP]
    assert not fetched.failures and not fetched.notes


@pytest.mark.parametrize("most", [1, 2, 4])
def test_fetch__more_vintages_than_one_answer_may_span_are_asked_for_in_parts(most):
    """What is told again at the beginning of a later part is not taken for a vintage of that day."""
    with FredStandIn({"GDP": GDP}) as fred:
        fred.most = most
        fetched = source(fred, most_vintages=most).fetch(["GDP"])
        assert fred.asked("/fred/series/vintagedates") == 3  # nine days, three a page
    assert told(fetched) == [(about, night(day), float(value)) for about, day, value in GDP]


def test_fetch__since_gives_what_was_published_since_and_nothing_that_is_older():
    with FredStandIn({"GDP": GDP}) as fred:
        fetched = source(fred).fetch(["GDP"], since=date(2024, 1, 3))
        assert fred.requests[0][1]["realtime_start"] == ["2023-12-27"]
    assert told(fetched) == [(about, night(day), float(value)) for about, day, value in GDP[6:]]


def test_fetch__a_series_that_is_never_revised_was_public_before_the_archive_began():
    with FredStandIn({"DGS10": DGS10}) as fred:
        fetched = source(fred).fetch(["DGS10"])
    assert told(fetched) == [
        ("2024-01-02", "2024-01-03 21:15:00", 3.95),  # a quarter past the next session's close, as the rule has it
        ("2024-01-03", "2024-01-04 21:15:00", 3.91),
        ("2024-01-04", "2024-01-05 21:15:00", 3.99),
        ("2024-01-05", night("2024-01-08"), 4.05),
        ("2024-01-16", night("2024-01-17"), 4.07),
    ]


def test_fetch__a_series_without_an_archive_is_left_to_the_rules():
    with FredStandIn({"SP500": [("2024-05-31", "2024-06-01", "5277.51")]}, unarchived=("SP500",)) as fred:
        fetched = source(fred).fetch(["SP500"])
    assert told(fetched) == [("2024-05-31", "NaT", 5277.51)]
    assert fetched.notes == ("FRED keeps no vintages of SP500; its values count by the rule for such a series",)


def test_fetch__without_a_key_the_newest_values_and_a_word_on_what_that_means():
    with FredStandIn({"GDP": GDP, "DGS10": DGS10}) as fred:
        keyless = source(fred, key=None)
        fetched = keyless.fetch(["DGS10", "GDP"])
        assert [query for _, query in fred.requests] == [{"id": ["DGS10"]}, {"id": ["GDP"]}]
    assert told(fetched)[:2] == [("2024-01-02", "NaT", 3.95), ("2024-01-03", "NaT", 3.91)]
    assert told(fetched)[-1] == ("2023-10-01", "NaT", 27957.0) and len(fetched.values) == 8
    assert fetched.notes == (
        "fred without a key gives GDP as revised until today; set FRED_API_KEY for what was published at the time",
    )
    assert (keyless.name, keyless.identity()) == ("fredgraph", "fredgraph")


def test_fetch__the_key_comes_from_the_environment_and_is_in_no_message():
    with FredStandIn({"GDP": GDP}) as fred:
        fred.refuse(bad_request(f"The value for variable api_key ({'f' * 32}) is not registered."))
        fetched = source(fred, key="f" * 32).fetch(["GDP"])
        assert fred.requests[0][1]["api_key"] == ["f" * 32]
    assert isinstance(fetched.failures["GDP"], Blocked) and "f" * 32 not in str(fetched.failures["GDP"])
    assert "check FRED_API_KEY" in str(fetched.failures["GDP"])


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (bad_request("The series does not exist."), UnknownSymbol, "FRED has no such series"),
        (
            bad_request("The value for variable api_key is not a 32 character alpha-numeric lower-case string."),
            Blocked,
            "32 char",
        ),
        (bad_request("Variable realtime_start is not a date."), Malformed, "realtime_start"),
        (Answer("Access denied", status=403, kind="text/plain"), Blocked, "403"),
        (Answer("oops", status=500, kind="text/plain"), SourceDown, "500"),
        (Answer("<html>please log in</html>", kind="text/html"), Blocked, "web page"),
        (Answer({"count": 1}), Malformed, "without observations"),
        (Answer([1, 2]), Malformed, "no object"),
        (
            Answer({"count": 1, "observations": [{"date": "2024-01-02", "value": "4"}]}),
            Malformed,
            "an observation that is none",
        ),
        (Answer('{"count": 1, "observ', cut=None), Malformed, "not JSON"),
    ],
)
def test_fetch__each_refusal_is_understood_and_spares_the_other_series(answer, kind, says):
    with FredStandIn({"GDP": GDP, "UNRATE": [("2023-12-01", "2024-01-05", "3.7")]}) as fred:
        fred.refuse(answer)
        fetched = source(fred).fetch(["GDP", "UNRATE"])
    assert set(fetched.failures) == {"GDP"} and type(fetched.failures["GDP"]) is kind
    assert says in str(fetched.failures["GDP"])
    assert told(fetched) == [("2023-12-01", night("2024-01-05"), 3.7)]


def test_fetch__a_rate_limit_is_waited_for_and_when_it_stays_the_rest_is_not_asked():
    busy = Answer({"error_code": 429, "error_message": "Too Many Requests.  Exceeded Rate Limit"}, status=429)
    with FredStandIn({"GDP": GDP, "UNRATE": [("2023-12-01", "2024-01-05", "3.7")]}) as fred:
        fred.refuse(busy, busy)
        assert not source(fred).fetch(["GDP", "UNRATE"]).failures
        asked = len(fred.requests)
        fred.refuse(*[busy] * 9)
        failures = source(fred).fetch(["GDP", "UNRATE"]).failures
        assert len(fred.requests) - asked == 3
    assert all(isinstance(error, RateLimited) for error in failures.values()) and "not asked" in str(failures["UNRATE"])


def test_fetch__without_a_key_an_unknown_series_and_a_page_instead_of_numbers():
    with FredStandIn({"DGS10": DGS10}) as fred:
        fetched = source(fred, key=None).fetch(["NOPE", "DGS10"])
        assert isinstance(fetched.failures["NOPE"], UnknownSymbol) and len(fetched.values) == 5
        fred.refuse(Answer("DATE,OTHER\n2024-01-02,1\n", kind="text/csv"))
        other = source(fred, key=None).fetch(["DGS10"]).failures["DGS10"]
        fred.refuse(Answer("DATE,DGS10\n2024-01-02,about four\n", kind="text/csv"))
        unread = source(fred, key=None).fetch(["DGS10"]).failures["DGS10"]
    assert isinstance(other, Malformed) and "holds OTHER instead" in str(other)
    assert isinstance(unread, Malformed) and "line 2: DGS10: 'about four' is not a number" in str(unread)


def test_fetch__the_recorded_answer_of_fredgraph(shared_data):
    """A real answer of 2021, replayed: 15,395 days, of which the dots are no values."""
    body = (shared_data / "recorded" / "fred" / "DGS10_fredgraph.csv").read_bytes()
    with FredStandIn({}) as fred:
        fred.refuse(Answer(body, kind="application/csv"))
        fetched = source(fred, key=None).fetch(["DGS10"])
    gaps = body.decode().count(",.")
    assert not fetched.failures and (len(fetched.values), gaps) == (15_395 - 659, 659)


def test_make_macro_source__by_name_with_the_options_checked():
    assert make_macro_source("fred", {}).name == "fredgraph"  # no key in the environment, and nowhere else for one
    for name, options, says in [
        ("fredd", {}, "did you mean 'fred'"),
        ("fred", {"wait": [1]}, "macro.options.fred is 'wait'.*'waits'"),
        ("files", {}, "macro.options.files.path is None.*cannot do without"),
    ]:
        with pytest.raises(SettingError, match=says):
            make_macro_source(name, options)
