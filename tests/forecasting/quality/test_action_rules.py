"""Which dividends and splits are set aside, which are kept with a remark about the adjusted closes, and which are fine."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from forecasting.quality.action_rules import ACTION_COLUMNS, CleanedActions, clean_actions
from forecasting.quality.cleaning import QUARANTINE_COLUMNS, REASONS
from forecasting.sessions import sessions_between

DAYS = sessions_between("XNYS", "2020-01-02", "2023-12-29").astype("datetime64[us]")
QUARTERS = list(range(40, 1000, 63))
PAID = 1.0  # per quarter; the price is about 100


def market(
    paid: dict[int, float],
    adjusted: dict[int, float] | None = None,
    splits: dict[int, float] | None = None,
    daily: float = 0.01,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(bars, actions) of one symbol whose price falls by ``paid`` (row -> cash) and is divided at ``splits``. The adjusted
    closes were made from ``adjusted`` (default: from what was paid), as Yahoo does: splits are no part of the ratio."""
    adjusted, splits = paid if adjusted is None else adjusted, splits or {}
    noise = daily * np.random.default_rng(11).standard_normal(len(DAYS))
    close = np.empty(len(DAYS))
    ratio = np.ones(len(DAYS))
    close[0] = 100.0
    for i in range(1, len(DAYS)):
        split = splits.get(i, 1.0)
        close[i] = (close[i - 1] / split - paid.get(i, 0.0)) * np.exp(noise[i])
        if close[i] < 60.0 / split or close[i] > 150.0:
            noise[i + 1 : i + 2] = np.log(100.0 / close[i]) * 0.1
        ratio[:i] *= 1.0 - adjusted.get(i, 0.0) * split / close[i - 1]
    bars = pd.DataFrame({"symbol": "TST", "session": DAYS, "close": close, "adj_ratio": ratio})
    rows = [(at, "dividend", cash) for at, cash in paid.items()] + [(at, "split", n) for at, n in splits.items()]
    actions = pd.DataFrame({
        "symbol": "TST", "session": DAYS[[r[0] for r in rows]], "kind": [r[1] for r in rows], "value": [r[2] for r in rows],
    })  # fmt: skip
    return bars, actions


def regular(**others: float) -> dict[int, float]:
    """A dividend of 1 a quarter, but for ``others`` (_row=cash)."""
    return dict.fromkeys(QUARTERS, PAID) | {int(row[1:]): cash for row, cash in others.items()}


def told(actions: pd.DataFrame, row: int, value: float) -> pd.DataFrame:
    return actions.assign(value=actions["value"].where(actions["session"] != DAYS[row], value))


def aside(cleaned: CleanedActions) -> list[tuple[int, str]]:
    at = np.searchsorted(DAYS, cleaned.quarantine["session"].to_numpy())
    return list(zip(at.tolist(), cleaned.quarantine["reason"], strict=True))


def remarks(cleaned: CleanedActions) -> dict[str, tuple[int, int]]:
    """Each warning's first and last row."""
    return {w.reason: tuple(np.searchsorted(DAYS, w.days[[0, -1]].astype("datetime64[us]")).tolist()) for w in cleaned.warnings}


AT = QUARTERS[5]  # the dividend that something is wrong with


def test_actions__that_prices_and_adjusted_closes_confirm_pass() -> None:
    bars, actions = market(regular(), splits={300: 4.0, 700: 0.1})
    cleaned = clean_actions(actions.iloc[::-1], bars)
    assert aside(cleaned) == [] and cleaned.warnings == ()
    expected = actions.sort_values(["session", "kind"], ignore_index=True)[list(ACTION_COLUMNS)]
    pd.testing.assert_frame_equal(cleaned.actions, expected, check_dtype=False)


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
def test_dividend__a_special_one_by_which_the_price_falls_passes(share: float) -> None:
    bars, actions = market(regular(_500=100.0 * share))
    cleaned = clean_actions(actions, bars)
    assert aside(cleaned) == [] and cleaned.warnings == ()


def test_dividend__that_is_true_in_prices_as_traded_and_a_ratio_with_splits_in_it_passes() -> None:
    bars, actions = market(regular(), splits={300: 4.0})
    bars.loc[:299, "adj_ratio"] /= 4.0  # a source whose own closes are as traded
    cleaned = clean_actions(actions, bars)
    assert aside(cleaned) == [] and cleaned.warnings == ()


@pytest.mark.parametrize("factor", [100.0, 0.01])
def test_dividend__a_hundred_times_off_is_set_aside_when_the_adjusted_closes_tell_the_right_one(factor: float) -> None:
    bars, actions = market(regular())
    cleaned = clean_actions(told(actions, AT, PAID * factor), bars)
    assert aside(cleaned) == [(AT, "dividend_unit")] and cleaned.warnings == ()
    assert len(cleaned.actions) == len(actions) - 1


def test_dividend__all_of_them_a_hundred_times_too_much_are_set_aside() -> None:
    bars, actions = market(dict.fromkeys(QUARTERS, 0.15))
    cleaned = clean_actions(actions.assign(value=actions["value"] * 100.0), bars)
    assert aside(cleaned) == [(row, "dividend_unit") for row in QUARTERS]


def test_dividend__a_hundred_times_too_much_in_the_adjusted_closes_too_is_refuted_by_the_price() -> None:
    bars, _ = market({500: 0.25}, adjusted={500: 25.0})
    _, actions = market({500: 25.0})
    cleaned = clean_actions(actions, bars)
    assert aside(cleaned) == [(500, "dividend_unit")]
    assert remarks(cleaned) == {"adjusted_in_doubt": (0, 499)}


def test_dividend__a_hundredth_in_both_is_found_where_the_price_moves_little_by_itself() -> None:
    bars, actions = market(regular(), adjusted=regular() | {AT: 0.01}, daily=0.002)
    cleaned = clean_actions(told(actions, AT, 0.01), bars)
    assert aside(cleaned) == [(AT, "dividend_unit")]
    assert remarks(cleaned) == {"adjusted_in_doubt": (0, AT - 1)}


def test_dividend__a_tiny_one_that_was_really_paid_is_kept() -> None:
    """Funds pay 0.792 in summer and 0.009 in winter; whether a price shows the difference or not, none is set aside."""
    for daily in (0.002, 0.02):
        bars, actions = market(regular() | {AT: 0.011}, daily=daily)
        cleaned = clean_actions(actions, bars)
        assert aside(cleaned) == [] and remarks(cleaned) == {"dividend_odd": (AT, AT)}


def test_dividend__of_old_shares_on_the_day_of_a_split_is_set_aside() -> None:
    bars, actions = market(regular() | {AT: 0.2}, splits={AT: 5.0})
    cleaned = clean_actions(told(actions[actions["kind"] == "dividend"], AT, 1.0), bars)
    assert aside(cleaned) == []  # without the split nothing tells
    wrong = actions.assign(value=actions["value"].where((actions["session"] != DAYS[AT]) | (actions["kind"] == "split"), 1.0))
    assert aside(clean_actions(wrong, bars)) == [(AT, "dividend_unit")]


@pytest.mark.parametrize(
    ("in_adjusted", "reason"),
    [(0.0, "dividend_not_in_adjusted"), (0.01, "dividend_not_in_adjusted"), (0.5, "dividend_not_in_adjusted"),
     (1.5, "dividend_double"), (2.0, "dividend_double")],
)  # fmt: skip
def test_dividend__that_only_the_adjusted_closes_tell_otherwise_is_kept_with_a_remark_on_their_rows(
    in_adjusted: float, reason: str
) -> None:
    bars, actions = market(regular(), adjusted=regular() | {AT: PAID * in_adjusted})
    cleaned = clean_actions(actions, bars)
    assert aside(cleaned) == [] and remarks(cleaned) == {reason: (0, AT)}


def test_dividend__of_which_the_adjusted_closes_tell_a_hundredth_throughout_is_kept_when_prices_fell_by_it() -> None:
    few = {row: 4.0 for row in QUARTERS}
    bars, actions = market(few, adjusted={row: 0.04 for row in few})
    cleaned = clean_actions(actions, bars)
    assert aside(cleaned) == [] and remarks(cleaned) == {"dividend_not_in_adjusted": (0, QUARTERS[-1])}


def test_dividend__that_neither_adjusted_closes_nor_price_know_is_a_phantom() -> None:
    bars, actions = market(regular())
    extra = actions.iloc[[0]].assign(session=DAYS[500], value=20.0)
    assert aside(clean_actions(pd.concat([actions, extra]), bars)) == [(500, "dividend_phantom")]


@pytest.mark.parametrize("days", [1, 3])
@pytest.mark.parametrize("in_adjusted", [False, True])
def test_dividend__told_again_some_days_later_is_a_phantom(days: int, in_adjusted: bool) -> None:
    again = {AT + days: 6.2}
    bars, actions = market(regular() | {AT: 6.0}, adjusted=regular() | {AT: 6.0} | (again if in_adjusted else {}))
    extra = actions.iloc[[0]].assign(session=DAYS[AT + days], value=6.2)
    cleaned = clean_actions(pd.concat([actions, extra]), bars)
    assert aside(cleaned) == [(AT + days, "dividend_phantom")]
    assert remarks(cleaned) == ({"adjusted_in_doubt": (0, AT + days - 1)} if in_adjusted else {})


def test_dividend__paid_every_week_is_not_told_twice() -> None:
    for spacing in (3, 5):
        bars, actions = market(dict.fromkeys(range(40, 900, spacing), 0.1))
        assert aside(clean_actions(actions, bars)) == []


def test_dividend__told_twice_and_paid_twice_is_kept() -> None:
    bars, actions = market(regular(_500=9.0, _502=9.0))
    assert aside(clean_actions(actions, bars)) == []


def test_dividend__amount_that_prices_and_adjusted_closes_deny_is_set_aside() -> None:
    bars, actions = market(regular(_500=3.0))
    assert aside(clean_actions(told(actions, 500, 20.0), bars)) == [(500, "dividend_amount")]


def test_dividend__missing_from_the_list_shows_as_a_step() -> None:
    bars, actions = market(regular())
    cleaned = clean_actions(actions[actions["session"] != DAYS[AT]], bars)
    assert aside(cleaned) == [] and remarks(cleaned) == {"adjusted_step_without_action": (AT, AT)}


@pytest.mark.parametrize("split", [5.0, 1.5, 0.1])
def test_split__that_prices_do_not_show_is_set_aside(split: float) -> None:
    bars, actions = market(regular())
    extra = actions.iloc[[0]].assign(session=DAYS[500], kind="split", value=split)
    cleaned = clean_actions(pd.concat([actions, extra]), bars)
    assert aside(cleaned) == [(500, "split_not_in_prices")]


def test_actions__that_cannot_be_are_set_aside_with_what_was_told() -> None:
    bars, actions = market({})
    days = DAYS[[100, 200, 300, 300, 400, 400]]
    odd = pd.DataFrame({
        "symbol": "TST", "session": days, "kind": ["split", "dividend", "split", "split", "dividend", "dividend"],
        "value": [0.0, -1.0, 2.0, 3.0, 0.5, 0.5],
    })  # fmt: skip
    cleaned = clean_actions(pd.concat([actions, odd]), bars)
    assert aside(cleaned) == [(100, "bad_action"), (200, "bad_action"), (300, "bad_action"), (300, "bad_action")]
    assert cleaned.actions["value"].tolist() == [0.5]  # the same told twice is one
    first = cleaned.quarantine.iloc[0]
    assert list(cleaned.quarantine.columns) == list(QUARANTINE_COLUMNS)
    assert json.loads(first["row_json"]) == {"symbol": "TST", "session": "2020-05-27", "kind": "split", "value": 0.0}
    assert first["severity"] == "quarantine" and first["message"] == REASONS["bad_action"][1] + ": a split of 0.0"


def test_actions__without_bars_around_them_cannot_be_judged_and_are_kept() -> None:
    bars, actions = market(regular())
    for rows in (bars.iloc[:0], bars.iloc[:1], bars.iloc[-1:], bars.drop(columns="adj_ratio").assign(symbol="OTHER")):
        cleaned = clean_actions(actions, rows)
        assert len(cleaned.actions) == len(actions) and cleaned.warnings == ()
    assert clean_actions(actions.iloc[:0], bars.drop(columns="adj_ratio")).actions.empty


def test_actions__one_bad_symbol_leaves_the_others_alone() -> None:
    bars, actions = market(regular())
    two = pd.concat([bars, bars.assign(symbol="ABC")])
    both = pd.concat([told(actions, AT, 100.0), actions.assign(symbol="ABC")])
    cleaned = clean_actions(both, two)
    assert cleaned.quarantine["symbol"].tolist() == ["TST"]
    assert cleaned.actions["symbol"].value_counts().to_dict() == {"ABC": len(actions), "TST": len(actions) - 1}


def test_actions__weekly_bars_pay_a_week_late() -> None:
    """In weekly bars the adjusted close of the week of an ex-date is often that of before."""
    bars, actions = market({500: 20.0, 700: 2.0})
    weekly = bars.iloc[4::5].reset_index(drop=True)
    weeks = actions.assign(session=DAYS[[499, 699]])  # the bars before those with the fall
    cleaned = clean_actions(weeks, weekly)
    assert aside(cleaned) == [] and cleaned.warnings == ()
