"""Spans in the order of time, with every label that straddles a border thrown out."""

from datetime import date

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.errors import InputError, NotEnoughHistory
from forecasting.panel import Panel
from forecasting.splits import Spans, default_spans, label_masks
from forecasting.targets import make_targets


def walk(sessions: int, symbols: int = 2) -> Panel:
    draw = np.random.default_rng(0)
    days = pd.bdate_range("2015-01-01", periods=sessions)
    frames = []
    for i in range(symbols):
        close = 50 * np.exp(np.cumsum(draw.normal(0, 0.01, sessions)))
        frames.append(
            pd.DataFrame(
                {"symbol": f"S{i}", "session": days, "open": close, "high": close, "low": close, "close": close, "volume": 1.0}
            )
        )
    return Panel.from_frames(pd.concat(frames))


PANEL = walk(300)
DAYS = [d.date() for d in pd.bdate_range("2015-01-01", periods=300)]


@given(cuts=st.lists(st.integers(30, 299), min_size=3, max_size=3, unique=True).map(sorted))
def test_label_masks__no_label_of_one_span_reaches_into_the_next(cuts):
    """K8 and K10: the last session that a training label looks at comes before the first origin of validation."""
    targets = make_targets(PANEL, (1, 5, 20))
    masks = label_masks(PANEL, targets, Spans(*(DAYS[c] for c in cuts)))
    for earlier, later in (("train", "valid"), ("valid", "test")):
        for k in range(3):
            if masks[earlier][:, k].any() and masks[later].any():
                assert targets.settles_at[masks[earlier][:, k], k].max() < PANEL.at[masks[later].any(axis=1)].min()
    assert not (masks["train"] & masks["valid"]).any() and not (masks["valid"] & masks["test"]).any()
    assert targets.settles_at[masks["test"]].max(initial=0) <= cuts[2]


def test_label_masks__throw_away_exactly_the_horizon_at_a_border():
    targets = make_targets(PANEL, (1, 5, 20))
    masks = label_masks(PANEL, targets, Spans(DAYS[199], DAYS[249], DAYS[299]))
    valid_origins = [len(np.unique(PANEL.at[masks["valid"][:, k]])) for k in range(3)]
    assert valid_origins == [49, 45, 30]  # 50 sessions less the horizon


@given(embargo=st.integers(0, 30))
def test_label_masks__keep_the_embargo_free_and_the_judged_span_as_it_is(embargo):
    """K9: whole sessions between the last outcome of a span and the first origin of the next."""
    targets = make_targets(PANEL, (1, 5, 20))
    plain, kept = (label_masks(PANEL, targets, Spans(DAYS[149], DAYS[229], DAYS[299], e)) for e in (0, embargo))
    for earlier, later in (("train", "valid"), ("valid", "test")):
        gap = PANEL.at[kept[later].any(axis=1)].min() - targets.settles_at[kept[earlier]].max() - 1
        assert gap == embargo
    assert (kept["test"] == plain["test"]).all()


def test_spans__must_follow_one_another():
    with pytest.raises(InputError, match="put the dates in order"):
        Spans(date(2020, 1, 1), date(2019, 1, 1), date(2021, 1, 1))
    with pytest.raises(InputError, match="embargo of 0 or more"):
        Spans(date(2019, 1, 1), date(2020, 1, 1), date(2021, 1, 1), embargo=-1)


def test_default_spans__end_at_the_origin_and_shrink_with_the_history():
    days = np.array(DAYS, dtype="datetime64[D]")
    spans = default_spans(days, DAYS[-1], 250, 500, lookback=60)
    assert (spans.train_end, spans.valid_end, spans.test_end) == (DAYS[199], DAYS[249], DAYS[299])
    with pytest.raises(NotEnoughHistory, match="the universe has 100 clean sessions"):
        default_spans(days[:100], DAYS[99], 250, 500, lookback=60)


def test_targets__undo_splits_and_leave_out_sessions_without_a_bar():
    bars = pd.DataFrame({"symbol": "A", "session": pd.bdate_range("2020-01-01", periods=40), "volume": 1.0})
    close = np.full(40, 100.0) * np.exp(0.01 * np.arange(40))
    close[30:] /= 4  # a 4:1 split takes effect at row 30
    bars["open"] = bars["high"] = bars["low"] = bars["close"] = close
    actions = pd.DataFrame({"symbol": ["A"], "session": [bars["session"][30]], "kind": ["split"], "value": [4.0]})
    panel = Panel.from_frames(bars.drop(index=27), actions, bars["session"].to_numpy().astype("datetime64[D]"))
    returns = make_targets(panel, (1, 5)).returns
    assert np.nanmax(np.abs(returns[:, 0] - 0.01)) < 1e-12
    assert np.nanmax(np.abs(returns[:, 1] - 0.05)) < 1e-12
    assert np.isnan(returns[26, 0]) and np.isnan(returns[22, 1])  # row 27 is missing: nobody knows that close
    assert np.isnan(returns[-1, 0]) and np.isnan(returns[-5:, 1]).all()


def test_targets__count_each_symbols_own_sessions():
    """BTC trades every day, the share on weekdays: five sessions after a Friday are a Wednesday and the next Friday."""
    everyday = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-03-01"))
    weekdays = everyday[np.is_busday(everyday)]
    frames = []
    for symbol, days in (("BTC-USD", everyday), ("KO", weekdays)):
        close = 100 * np.exp(np.cumsum(np.random.default_rng(3).normal(0, 0.01, len(days))))
        prices = dict.fromkeys(("open", "high", "low", "close"), close)
        frames.append(pd.DataFrame({"symbol": symbol, "session": days, **prices, "volume": 1.0}))
    bars = pd.concat(frames)
    panel = Panel.from_frames(bars, None, {"BTC-USD": everyday, "KO": weekdays})
    targets = make_targets(panel, (5,))
    friday = np.datetime64("2020-02-14")
    for symbol, target in (("BTC-USD", "2020-02-19"), ("KO", "2020-02-21")):
        own = bars[bars.symbol == symbol].set_index("session")["close"]
        row = np.flatnonzero((panel.session == friday) & (panel.symbol_index == panel.symbols.index(symbol)))[0]
        assert targets.returns[row, 0] == pytest.approx(np.log(own[pd.Timestamp(target)] / own[pd.Timestamp(friday)]))
        assert panel.sessions[targets.settles_at[row, 0]] == np.datetime64(target)
