"""Which sessions a run does, in which groups, and before which of them a model is trained."""

from __future__ import annotations

from datetime import date
from types import SimpleNamespace

import pytest

from tasks import deciding, planning
from tasks.settings import settings_of


def a_run(origin, symbols=("AAPL",), force=False, replay=0, **settings):
    run = SimpleNamespace(origin=origin, symbols=symbols, force_retrain=force, replay=replay, settings=settings_of(settings))
    run.memo, run.notes = {}, []
    run.note = run.notes.append
    return run


def days(*texts):
    return [date.fromisoformat(text) for text in texts]


WEEK = days("2021-04-05", "2021-04-06", "2021-04-07", "2021-04-08", "2021-04-09")


def shape(groups):
    return [(str(g.sessions[0]), len(g.sessions), g.retrain) for g in groups]


def test_plan__trains_before_the_first_session_when_there_is_no_model():
    assert shape(planning._grouped(WEEK, [], a_run(WEEK[-1]))) == [("2021-04-05", 5, True)]


def test_plan__does_not_train_while_the_model_is_young():
    run = a_run(WEEK[-1], retraining={"after_sessions": 10})
    assert shape(planning._grouped(WEEK, days("2021-03-31"), run)) == [("2021-04-05", 5, False)]


def test_plan__trains_on_the_first_session_beyond_the_age():
    """Trained on Wednesday 31 March; 1, 5, 6 April are 1, 2, 3 sessions old; on the 7th it is older than three."""
    run = a_run(WEEK[-1], retraining={"after_sessions": 3})
    assert shape(planning._grouped(WEEK, days("2021-03-31"), run)) == [("2021-04-05", 2, False), ("2021-04-07", 3, True)]


def test_plan__trains_once_on_the_first_session_after_drift_was_found():
    """Trained on 31 March; drift of 1 April calls for a training on the 5th, that of before 31 March was answered by then."""
    called = days("2021-03-29", "2021-04-01")
    plan = planning._grouped(WEEK, days("2021-03-31"), a_run(WEEK[-1]), called)
    assert shape(plan) == [("2021-04-05", 5, True)]
    assert shape(planning._grouped(WEEK, days("2021-04-05"), a_run(WEEK[-1]), called)) == [("2021-04-05", 5, False)]
    assert shape(planning._grouped(WEEK, days("2021-03-31"), a_run(WEEK[-1]), days("2021-04-12"))) == [("2021-04-05", 5, False)]


def test_plan__forced_trains_at_the_origin_only():
    run = a_run(WEEK[-1], force=True)
    assert shape(planning._grouped(WEEK, days("2021-03-31"), run)) == [("2021-04-05", 4, False), ("2021-04-09", 1, True)]
    assert shape(planning._grouped(WEEK[-1:], days("2021-04-09"), run)) == [("2021-04-09", 1, False)]  # it was just trained
    again = planning._grouped(WEEK[-1:], days("2021-04-09"), run, anew=True)  # with another specification, say
    assert shape(again) == [("2021-04-09", 1, True)]
    young = a_run(WEEK[-1])
    assert shape(planning._grouped(WEEK[-1:], days("2021-04-09"), young, anew=True)) == [("2021-04-09", 1, False)]


def test_plan__a_model_trained_in_between_begins_a_group_and_never_serves_before_its_origin():
    assert shape(planning._grouped(WEEK, days("2021-03-31", "2021-04-07"), a_run(WEEK[-1]))) == [
        ("2021-04-05", 2, False),
        ("2021-04-07", 3, False),
    ]


def test_plan__groups_are_small_enough_to_watch():
    from forecasting.sessions import sessions_between

    many = list(sessions_between("XNYS", "2020-01-02", "2020-12-31").astype("datetime64[D]").astype(object))
    run = a_run(many[-1], retraining={"after_sessions": 2500})
    sizes = [len(g.sessions) for g in planning._grouped(many, days("2019-12-31"), run)]
    assert max(sizes) == planning.GROUP and sum(sizes) == len(many) == 253


@pytest.mark.parametrize(
    ("symbols", "calendar"), [(("AAPL", "MSFT", "BTC-USD"), "XNYS"), (("BTC-USD",), "24/7"), (("0700.HK",), "XHKG")]
)
def test_plan__keeps_the_pace_of_most_symbols(symbols, calendar):
    assert planning.calendar_of_run(a_run(WEEK[-1], symbols)) == calendar


def test_missed__does_not_begin_where_a_symbol_that_is_back_went_away():
    """Eight symbols were done on Friday, one on the Monday before; a tenth that was last wanted in January is as a new one.
    Where only one of three was done since, the other two have missed two months."""
    friday, monday, january = days("2021-04-09", "2021-04-05", "2021-01-15")
    assert january < planning._long_ago("XNYS", [friday] * 8 + [monday, january]) < monday
    assert planning._long_ago("XNYS", [friday, january, january]) < january


def test_last_for_all__exchange_that_is_closed_for_days_holds_nobody_back():
    """Hong Kong is closed from 17 to 19 February 2026, New York on the 16th. On the evening of the 17th in New York it goes on;
    on the morning of the 13th there, Hong Kong's 13th is over and New York's is not."""
    evening = dict(zip(("XHKG", "XNYS"), days("2026-02-16", "2026-02-17"), strict=True))
    assert deciding.last_for_all("XNYS", evening) == date(2026, 2, 17)
    assert deciding.last_for_all("XHKG", evening) == date(2026, 2, 16)
    morning = dict(zip(("XHKG", "XNYS"), days("2026-02-13", "2026-02-12"), strict=True))
    assert deciding.last_for_all("XNYS", morning) == deciding.last_for_all("XHKG", morning) == date(2026, 2, 12)
    assert deciding.pace_of(["AAPL", "0700.HK", "MSFT"]) == "XNYS" and deciding.pace_of([]) == "XNYS"


def test_plan__begins_anew_where_somebody_else_was_put_in_service():
    """A rollback of 7 April, in the middle of five missed sessions: what comes from then on is by whom it put back. One of
    Easter Sunday, the 4th, is of the session after it."""
    run = a_run(WEEK[-1])
    plan = planning._grouped(WEEK, days("2021-03-31"), run, served=days("2021-03-31", "2021-04-07"))
    assert shape(plan) == [("2021-04-05", 2, False), ("2021-04-07", 3, False)]
    both = [*days("2021-04-01"), *WEEK]
    plan = planning._grouped(both, days("2021-03-31"), run, served=days("2021-04-04"))
    assert shape(plan) == [("2021-04-01", 1, False), ("2021-04-05", 5, False)]
