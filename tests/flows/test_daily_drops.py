"""A real daily feed of the whole market, replayed evening by evening: about 4,300 symbols, two days a file, revisions, an
uncollected day, half days, a day delivered three times with a header line inside."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from forecasting.errors import PricesFileError
from tests.flows.replaying import answer, ingest_at, known

EMPTY = "20150610"


def evening(drop: Path) -> datetime:
    return datetime.strptime(drop.name[:8], "%Y%m%d").replace(hour=23, minute=30, tzinfo=UTC)


@pytest.fixture(scope="module")
def replayed(shared_data, tmp_path_factory):
    """(home, drops, what the store held each evening) after all drops in their order."""
    home = tmp_path_factory.mktemp("drops") / "home"
    drops = sorted((shared_data / "daily_drops").iterdir())
    evenings = {}
    for drop in drops:
        if drop.name.startswith(EMPTY):
            with pytest.raises(
                PricesFileError, match="the file is empty"
            ):  # a day that was not collected is no day without news
                ingest_at(home, evening(drop), drop)
        else:
            ingest_at(home, evening(drop), drop)
        evenings[evening(drop)] = known(home)
    return home, drops, evenings


def test_drops__as_of_each_evening_is_what_the_store_held_then(replayed):
    home, drops, evenings = replayed
    assert len(drops) == 32
    for then, held in evenings.items():
        assert known(home, as_of=then) == held, then
    assert len(set(evenings.values())) == 31  # the empty day added nothing


def test_drops__every_row_is_accounted_for(replayed):
    home, _, _ = replayed
    lost = "SELECT sum(received - stored - unchanged - revised - merged - outside - quarantined) FROM quality"
    assert answer(home, lost) == [(0,)]
    total, stored, revised = answer(home, "SELECT sum(received), sum(stored), sum(revised) FROM quality")[0]
    assert total == 273_909  # every line of the files, the header line inside one of them too
    assert answer(home, "SELECT count(*) FROM quarantine WHERE reason = 'repeated_header'") == [(1,)]
    assert stored == answer(home, "SELECT count(*) FROM prices")[0][0]
    assert revised == answer(home, "SELECT count(*) FROM store.bars WHERE revision > 0")[0][0] > 1_500


def test_drops__the_tripled_day_is_stored_once(replayed):
    home, _, _ = replayed
    day = "SELECT sum(received), sum(merged) FROM quality WHERE origin = '2015-04-06'"
    received, merged = answer(home, day)[0]
    assert merged == 17_058 and received == 25_641 + 1  # 8,547 rows three times, and the header line
    once = "SELECT max(n) FROM (SELECT count(*) AS n FROM prices GROUP BY symbol, session)"
    assert answer(home, once) == [(1,)]


def test_drops__the_uncollected_day_comes_with_the_next_drop(replayed):
    home, _, evenings = replayed
    with_day = datetime(2015, 6, 11, 23, 30, tzinfo=UTC)
    missing = "SELECT count(*) FROM prices_as_of($then) WHERE session = '2015-06-10'"
    assert answer(home, missing, {"then": with_day - timedelta(days=1)}) == [(0,)]
    assert answer(home, missing, {"then": with_day})[0][0] > 4_200


def test_drops__a_half_delivered_day_is_filled_by_the_next_drop(replayed):
    home, _, _ = replayed
    day = "SELECT count(*) FROM prices_as_of($then) WHERE session = '2016-08-22'"
    monday = datetime(2016, 8, 22, 23, 30, tzinfo=UTC)
    assert 2_000 < answer(home, day, {"then": monday})[0][0] < 2_200
    assert answer(home, day, {"then": monday + timedelta(days=1)})[0][0] > 4_200


def test_drops__splits_are_seen_between_two_closes_and_their_adjusted_ones(replayed):
    home, _, _ = replayed
    splits = dict(answer(home, "SELECT symbol, (session::VARCHAR, value) FROM actions WHERE kind = 'split'"))
    assert splits["AMSC"] == ("2015-03-25", 0.1) and splits["MGA"] == ("2015-03-26", 2.0)
    assert splits["ROST"] == ("2015-06-12", 2.0)


def test_drops__two_different_bars_for_one_day_are_both_set_aside_and_rows_on_holidays_too(replayed):
    home, _, _ = replayed
    reasons = dict(answer(home, "SELECT reason, count(DISTINCT symbol) FROM quarantine GROUP BY reason"))
    assert reasons["duplicate_conflict"] == 2  # ITEK and SSE on 2015-04-02 and 04-06: 0.31 and 5.25, 0.02 and 4.66
    assert reasons["not_a_session"] >= 5  # 2015-04-03 was Good Friday


def test_drops__a_second_time_change_nothing(replayed):
    home, drops, _ = replayed
    before, content = known(home), answer(home, "SELECT count(*) FROM store.bars")
    for drop in drops:
        if not drop.name.startswith(EMPTY):
            again = ingest_at(home, evening(drop) + timedelta(days=600), drop)
            assert again.already is not None, drop.name
    assert known(home) == before and answer(home, "SELECT count(*) FROM store.bars") == content
