"""Which rows are read together, on a panel small enough to count by hand."""

import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from forecasting.panel import Panel
from forecasting.sequences import training_sequences, windows


def panel_of(*lengths: int) -> Panel:
    frames = []
    for i, n in enumerate(lengths):
        session = np.datetime64("2020-01-01") + np.arange(n)
        frames.append(
            pd.DataFrame(
                {"symbol": f"S{i}", "session": session, **{c: 1.0 for c in ("open", "high", "low", "close", "volume")}}
            )
        )
    return Panel.from_frames(pd.concat(frames))


def test_windows__end_at_the_row_and_stay_inside_the_symbol():
    panel = panel_of(3, 4)  # rows 0-2 and 3-6
    assert windows(panel, np.array([2, 4]), 3).tolist() == [[0, 1, 2], [-1, 3, 4]]


def test_training_sequences__cut_one_symbol_of_ten_rows():
    panel = panel_of(10)
    cut = training_sequences(panel, np.ones(10, bool), burn_in=3, labels=4)
    rows, mask = cut.take(np.arange(len(cut)))
    assert rows.tolist() == [[0, 1, 2, 3, 4, 5, 6], [4, 5, 6, 7, 8, 9, -1]]
    assert mask.tolist() == [[True] * 4, [True] * 3 + [False]]


@given(
    lengths=st.lists(st.integers(1, 30), min_size=1, max_size=4),
    burn_in=st.integers(0, 6),
    labels=st.integers(1, 7),
    data=st.data(),
)
def test_training_sequences__use_each_label_once_and_never_cross_symbols(lengths, burn_in, labels, data):
    panel = panel_of(*lengths)
    offset = data.draw(st.integers(0, labels - 1))
    labelled = np.array(data.draw(st.lists(st.booleans(), min_size=panel.rows, max_size=panel.rows)))
    cut = training_sequences(panel, labelled, burn_in, labels, offset)
    rows, mask = cut.take(np.arange(len(cut)))
    nth = np.arange(panel.rows) - panel.starts[:-1][panel.symbol_index]
    expected = np.flatnonzero(labelled & (nth >= burn_in))
    assert sorted(rows[:, burn_in:][mask].tolist()) == expected.tolist()
    for one in rows:
        own = one[one >= 0]
        assert len(np.unique(panel.symbol_index[own])) <= 1
        assert (np.diff(own) == 1).all()
