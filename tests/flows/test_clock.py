"""The calendar decides what a run does: the flow asks the clock once, and real runs at eight instants of one week."""

from __future__ import annotations

from datetime import UTC, datetime

import flows.entry
from flows.daily import daily
from flows.parameters import Daily
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot

#: What the clock says (UTC; New York is four hours behind), and what then is: the session, whether something was done, why not.
WEEK = [
    ("2021-04-01T15:00", "2021-03-31", "the session of 2021-04-01 is final at 16:30 in America/New_York"),  # in mid-session
    ("2021-04-01T20:29", "2021-03-31", "the session of 2021-04-01 is final at 16:30"),  # closed, its bar not settled
    ("2021-04-01T22:30", "2021-04-01", None),
    ("2021-04-02T22:30", "2021-04-01", "2021-04-02 (Friday) is no session of XNYS"),  # Good Friday
    ("2021-04-04T22:30", "2021-04-01", "2021-04-04 (Sunday) is no session of XNYS"),
    ("2021-04-06T14:00", "2021-04-05", None),  # Monday evening was missed; Tuesday is open: only closed ones
    ("2021-04-06T13:00", "2021-04-05", "the session of 2021-04-06 is final at 16:30"),  # the clock went back an hour
    ("2021-04-08T22:30", "2021-04-08", None),  # the 6th and 7th were missed and come first
]


def test_week__of_real_runs(copied, monkeypatch):
    asked = []

    def clock() -> datetime:
        asked.append(1)
        return now

    monkeypatch.setattr(flows.entry, "now_utc", clock)
    for text, origin, why in WEEK:
        now = datetime.fromisoformat(text).replace(tzinfo=UTC)
        asked.clear()
        report = daily(Daily(home=str(copied)))
        assert len(asked) == 1, "the clock is asked once"
        assert report["origin"] == origin, text
        assert report["already_done"] is (why is not None), text
        assert report["nothing_to_do"] is None if why is None else why in report["nothing_to_do"], text
    with open_snapshot(Home(copied)) as con:
        done = ask(con, "SELECT origin::VARCHAR, any_value(mode) FROM store.forecasts GROUP BY origin ORDER BY origin").rows
    assert done == [
        ("2021-03-31", "backfill"),  # by the fixture, years later
        ("2021-04-01", "live"),
        ("2021-04-05", "live"),  # done on the 6th, before the close of the 6th
        ("2021-04-06", "backfill"),
        ("2021-04-07", "backfill"),
        ("2021-04-08", "live"),
    ]
