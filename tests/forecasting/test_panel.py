"""The panel: order, placement in the calendar, actions, and what was known at an origin."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecasting.panel import ROW_COLUMNS, Panel
from tests.references.market import small_actions, small_bars, small_panel

COLUMNS = ["symbol", "session", "open", "high", "low", "close", "volume"]


def frame(*rows: tuple[str, str, float]) -> pd.DataFrame:
    bars = pd.DataFrame([(s, d, c, c, c, c, 100.0) for s, d, c in rows], columns=COLUMNS)
    return bars.assign(session=pd.to_datetime(bars["session"]).astype("datetime64[us]"))


BARS = frame(("B", "2024-01-02", 20.0), ("A", "2024-01-03", 11.0), ("A", "2024-01-02", 10.0), ("B", "2024-01-04", 21.0))


def actions(*rows: tuple[str, str, str, float]) -> pd.DataFrame:
    found = pd.DataFrame(rows, columns=["symbol", "session", "kind", "value"])
    return found.assign(session=pd.to_datetime(found["session"]).astype("datetime64[us]"))


def test_from_frames__sorts_by_symbol_and_session() -> None:
    panel = Panel.from_frames(BARS)
    assert panel.symbols == ("A", "B") and panel.rows == 4
    assert panel.starts.tolist() == [0, 2, 4]
    assert panel.close.tolist() == [10.0, 11.0, 20.0, 21.0]
    assert panel.at.tolist() == [0, 1, 0, 2]  # B has no bar on the 3rd
    assert panel.session_of(1).tolist() == [pd.Timestamp("2024-01-02").date(), pd.Timestamp("2024-01-04").date()]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_from_frames__the_order_of_rows_does_not_matter(seed: int) -> None:
    bars = small_bars(symbols=3, sessions=30)
    one, two = (Panel.from_frames(b, small_actions()) for b in (bars, bars.sample(frac=1, random_state=seed)))
    for name in ("starts", *ROW_COLUMNS):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))


def test_from_frames__refuses_two_bars_for_one_session_and_a_bar_on_no_session() -> None:
    with pytest.raises(ValueError, match="two bars"):
        Panel.from_frames(pd.concat([BARS, BARS.head(1)]))
    with pytest.raises(ValueError, match="not one of the sessions"):
        Panel.from_frames(BARS, sessions=np.array(["2024-01-02", "2024-01-04"], dtype="datetime64[D]"))


def test_actions__take_effect_at_the_next_bar_and_multiply() -> None:
    panel = Panel.from_frames(
        BARS,
        actions(("B", "2024-01-03", "split", 2.0), ("B", "2024-01-04", "split", 3.0), ("B", "2024-01-04", "dividend", 0.5),
                ("A", "2024-01-02", "dividend", 9.0), ("A", "2024-01-05", "split", 7.0), ("C", "2024-01-03", "split", 5.0)),
    )  # fmt: skip
    assert panel.split.tolist() == [1.0, 1.0, 1.0, 6.0]  # A's lie before its second and after its last bar, C is not here
    assert panel.dividend.tolist() == [0.0, 0.0, 0.0, 0.5]


def test_until__knows_no_later_row_and_no_later_session() -> None:
    panel = Panel.from_frames(BARS).until("2024-01-03")
    assert panel.close.tolist() == [10.0, 11.0, 20.0]
    assert len(panel.sessions) == 2
    gone = Panel.from_frames(BARS[BARS["session"] > "2024-01-02"]).until("2024-01-03")
    assert gone.symbols == ("A",)


def test_until__equals_a_panel_that_was_built_then() -> None:
    bars, cut = small_bars(), pd.Timestamp("2021-08-02")
    then = Panel.from_frames(bars[bars["session"] <= cut], small_actions().query("session <= @cut"))
    later = small_panel().until(cut)
    assert then.symbols == later.symbols
    for name in ("starts", "sessions", *ROW_COLUMNS):
        np.testing.assert_array_equal(getattr(then, name), getattr(later, name))


def test_only__keeps_the_named_symbols_and_all_sessions() -> None:
    panel = Panel.from_frames(BARS).only(("B", "unknown"))
    assert panel.symbols == ("B",) and panel.close.tolist() == [20.0, 21.0] and len(panel.sessions) == 3


def test_no_bars__is_an_empty_panel() -> None:
    panel = Panel.from_frames(BARS.head(0))
    assert panel.rows == 0 and panel.symbols == ()


def test_symbol_index__names_each_row_s_symbol() -> None:
    panel = small_panel()
    names = np.array(panel.symbols)[panel.symbol_index]
    assert (np.diff(panel.starts) == [np.count_nonzero(names == s) for s in panel.symbols]).all()
