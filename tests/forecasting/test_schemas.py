"""The tables as described once: what the schemas let in and under which name they refuse."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pytest

from forecasting.quality.cleaning import REASONS
from forecasting.schemas import Actions, Bars, Forecasts, RawBars, broken_rules
from tests.references.market import small_actions, small_bars

GOOD = {"symbol": "AAPL", "session": "2024-01-02", "open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 100.0}


def bars(*changes: dict) -> pd.DataFrame:
    frame = pd.DataFrame([{**GOOD, **change} for change in changes])
    return frame.assign(session=pd.to_datetime(frame["session"]).astype("datetime64[us]"), symbol=frame["symbol"].astype("str"))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"symbol": "../x"}, "bad_symbol"), ({"symbol": None}, "bad_symbol"), ({"symbol": "aapl"}, "bad_symbol"),
        ({"session": None}, "bad_session"),
        ({"close": np.nan}, "nan_close"),
        ({"high": np.inf}, "non_finite"), ({"volume": np.inf}, "non_finite"), ({"low": -np.inf}, "non_finite"),
        ({"close": 0.0, "low": 0.0}, "non_positive_price"), ({"open": -1.0}, "non_positive_price"),
        ({"high": 1e308}, "implausible_price"), ({"low": 5e-324}, "implausible_price"),
        ({"volume": -1.0}, "negative_volume"),
        ({"high": 8.0}, "high_below_low"),
        ({"close": 11.1}, "outside_range"), ({"open": 8.9}, "outside_range"), ({"low": 10.2}, "outside_range"),
    ],
)  # fmt: skip
def test_broken_rules__each_rule_names_its_rows(change: dict, code: str) -> None:
    broken = broken_rules(bars({}, change, {}))
    assert code in broken and broken[code].tolist() == [1]
    assert set(broken) <= set(REASONS)


def test_broken_rules__rounding_and_unknown_cells_break_none() -> None:
    accepted = bars(
        {"close": 11.0005},  # a close computed a little above its high
        {"open": np.nan, "high": np.nan, "low": np.nan, "volume": np.nan},
        {"open": 0.0},  # an unknown open of the years before 2000
        {"symbol": "0700.HK"}, {"symbol": "^GSPC"}, {"symbol": "NA"}, {"symbol": "BRK-B"}, {"symbol": "EURUSD=X"},
    )  # fmt: skip
    assert broken_rules(accepted) == {}


def test_broken_rules__a_row_may_break_several() -> None:
    broken = broken_rules(bars({"symbol": "a b", "close": -1.0}))
    assert sorted(broken) == ["bad_symbol", "non_positive_price", "outside_range"]


def test_broken_rules__a_finding_about_a_whole_column_concerns_every_row() -> None:
    text = bars({}, {}).assign(close=["10.5", "ten"])
    assert broken_rules(text)["malformed"].tolist() == [0, 1]


def test_raw_bars__accepts_the_small_market() -> None:
    assert len(RawBars.validate(small_bars().astype({"symbol": "str"}), lazy=True)) > 1_000


def test_bars__refuse_duplicates_and_unknown_closes() -> None:
    assert len(Bars.validate(bars({}, {"session": "2024-01-03"})))
    for wrong in (bars({}, {}), bars({"close": np.nan}), bars({"open": 0.0}), bars({"symbol": "x/y"})):
        with pytest.raises(pa.errors.SchemaErrors):
            Bars.validate(wrong, lazy=True)


def test_actions__are_splits_or_dividends_of_a_positive_size() -> None:
    actions = small_actions().astype({"symbol": "str", "kind": "str"})
    assert len(Actions.validate(actions)) == 4
    for wrong in (actions.assign(kind="merger"), actions.assign(value=0.0), pd.concat([actions, actions], ignore_index=True)):
        with pytest.raises(pa.errors.SchemaErrors):
            Actions.validate(wrong, lazy=True)


def forecast(**changes: object) -> pd.DataFrame:
    row = {
        "symbol": "AAPL", "origin": "2024-01-02", "horizon": 5, "forecaster": "lstm", "target_session": "2024-01-09",
        "close": 100.0, "scale": 0.01, "p_up": 0.52,
        "q05": 95.0, "q10": 96.0, "q25": 98.0, "q50": 100.0, "q75": 102.0, "q90": 104.0, "q95": 105.0,
    } | changes  # fmt: skip
    frame = pd.DataFrame([row])
    dates = {c: pd.to_datetime(frame[c]).astype("datetime64[us]") for c in ("origin", "target_session")}
    return frame.assign(**dates).astype({"symbol": "str", "forecaster": "str"})


@pytest.mark.parametrize(
    "change",
    [
        {"q50": 97.0},
        {"q05": 0.0},
        {"q95": np.inf},
        {"p_up": 1.1},
        {"horizon": 0},
        {"q25": np.nan},
        {"target_session": "2024-01-02"},
    ],
)
def test_forecasts__refuse_crossed_infinite_and_impossible_values(change: dict) -> None:
    assert len(Forecasts.validate(forecast())) == 1
    with pytest.raises(pa.errors.SchemaErrors):
        Forecasts.validate(forecast(**change), lazy=True)


def test_fit_actions__sets_aside_what_cannot_be_true() -> None:
    from forecasting.schemas import fit_actions

    day = pd.to_datetime(["2024-03-01", "2024-03-04", "2024-03-05", "2024-03-06", "2024-03-06"])
    kinds, values = ["split", "split", "dividend", "dividend", "dividend"], [2.0, 0.0, -0.1, 0.2, 0.3]
    actions = pd.DataFrame({"symbol": "KO", "session": day, "kind": kinds, "value": values})
    good, wrong = fit_actions(actions)
    assert good["value"].tolist() == [2.0]
    assert wrong["value"].tolist() == [0.0, -0.1, 0.2, 0.3]  # the last two contradict each other
    assert len(fit_actions(good)[1]) == 0 and len(fit_actions(actions.iloc[:0])[0]) == 0
