"""The width of the quantiles follows what settled, no faster than the evidence allows, and never what comes later."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np
import pytest

from forecasting import calibration as c
from forecasting.lstm import LstmSpec
from forecasting.metrics import LEVELS, pinball
from forecasting.models import Fitted, fit_model, rebuild
from forecasting.panel import Panel
from forecasting.splits import Spans
from tests.tiny import tiny_bars

NORMAL = np.array([-1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449])  # of a standard normal, at LEVELS
SPEC = LstmSpec(
    features=("ret", "range"), lookback=20, labels_per_sequence=40, stem_units=0, units=(4,), head_units=4, members=1,
    epochs=1, min_updates=4, batch_size=8,
)  # fmt: skip


def misses(size: np.ndarray, symbols: int = 24, horizon: int = 1, seed: int = 1) -> c.Misses:
    """What settles session by session where the truth is normal with deviation ``size`` [T] and the forecast says 1.

    The symbols of a session are independent of one another; a session's outcomes settle ``horizon`` sessions later.
    """
    random = np.random.default_rng(seed)
    y = random.normal(size=(len(size), symbols)) * size[:, None]
    settles = np.repeat(np.arange(len(size)) + horizon, symbols)[:, None]
    q = np.broadcast_to(NORMAL, (y.size, 1, 7))
    return c.count_misses(q, y.reshape(-1, 1), settles, len(size))


def test_corrections__right_intervals_are_left_alone() -> None:
    theta = c.corrections(misses(np.ones(600)), (1,), np.arange(100, 600))

    assert abs(theta.mean()) < 0.03 and np.abs(theta).max() < 0.15


def test_corrections__intervals_a_third_too_narrow_are_widened_by_most_of_a_third() -> None:
    theta = c.corrections(misses(np.full(600, 1.33)), (1,), np.array([599]))

    assert 0.6 * np.log(1.33) < theta[0, 0] < 1.05 * np.log(1.33)


def test_corrections__follow_a_change_within_weeks() -> None:
    calm_then_wild = np.where(np.arange(400) < 300, 0.8, 1.3)

    theta = c.corrections(misses(calm_then_wild), (1,), np.array([300, 310, 340]))[:, 0]

    assert theta[0] < -0.1 and theta[1] > theta[0] + 0.05 and theta[2] > 0.05


def test_corrections__fewer_independent_sessions_are_believed_less() -> None:
    """The same misses: of one symbol instead of 24, over 20 sessions instead of one, of a month instead of a year."""
    wide = np.full(500, 1.4)
    at = np.array([499])

    full = c.corrections(misses(wide), (1,), at)[0, 0]
    of_one_symbol = c.corrections(misses(wide, symbols=1), (1,), at)[0, 0]
    far_ahead = c.corrections(misses(wide, horizon=20), (20,), at)[0, 0]
    of_a_month = c.corrections(misses(wide[:22]), (1,), np.array([21]))[0, 0]

    assert 0 < far_ahead < 0.35 * full
    assert 0 < of_one_symbol < 0.8 * full
    assert 0 < of_a_month < 0.85 * full


def test_corrections__use_only_what_settled_before_the_session() -> None:
    size = np.ones(300)
    tomorrow_wild = np.where(np.arange(300) >= 199, 5.0, 1.0)  # origins from 199 on settle at 200 and later

    calm, wild = (c.corrections(misses(s), (1,), np.array([199, 200, 201]))[:, 0] for s in (size, tomorrow_wild))

    assert calm[:2].tolist() == wild[:2].tolist()  # session 200 itself settles at its close: not before it
    assert wild[2] > calm[2]


def test_corrections__against_the_plain_formula() -> None:
    given = misses(np.linspace(0.7, 1.6, 200), symbols=5)
    session, mean = 150, given.error[:, 0] / np.maximum(given.count[:, 0], 1)

    answer = 0.0
    for half_life in (120, 20):
        w = [0.5 ** ((session - 1 - s) / half_life) * (given.count[s, 0] > 0) for s in range(session)]
        average = sum(a * b for a, b in zip(w, mean[:session], strict=True)) / sum(w)
        n = sum(w) ** 2 / sum(a * a for a in w)
        answer += n / (n + 20 * (1 + 6.4 / 5)) * (average - answer)

    assert c.corrections(given, (1,), np.array([session]))[0, 0] == pytest.approx(answer, rel=1e-9)


def test_corrections__same_bits_wherever_the_panel_begins() -> None:
    given = misses(np.linspace(0.7, 1.6, 900))
    later = c.Misses(given.count[400:], given.error[400:])

    assert np.array_equal(c.corrections(given, (1,), np.array([890])), c.corrections(later, (1,), np.array([490])))


def test_widened__the_median_stays_and_the_order_too() -> None:
    q = np.sort(np.random.default_rng(2).normal(size=(50, 3, 7)), axis=-1)

    wide = c.widened(q, np.full((50, 3), 0.5))

    assert np.array_equal(wide[..., 3], q[..., 3])
    assert (np.diff(wide, axis=-1) >= 0).all()
    assert (wide[..., 6] - wide[..., 0]) == pytest.approx(np.exp(0.5) * (q[..., 6] - q[..., 0]))


def test_tracking__restores_coverage_and_lowers_the_loss_where_the_size_wanders() -> None:
    random = np.random.default_rng(4)
    size = np.exp(np.cumsum(random.normal(scale=0.02, size=2_000)))
    size = np.clip(size, 0.5, 2.0)
    y = random.normal(size=(2_000, 24)) * size[:, None]
    settles = np.repeat(np.arange(2_000) + 1, 24)[:, None]
    q = np.broadcast_to(NORMAL, (y.size, 1, 7))
    theta = c.corrections(c.count_misses(q, y.reshape(-1, 1), settles, 2_000), (1,), np.arange(2_000))
    better = c.widened(q, np.repeat(theta, 24, axis=0))

    def error(quantiles: np.ndarray) -> float:
        hit = (y.reshape(-1) >= quantiles[:, 0, 1]) & (y.reshape(-1) <= quantiles[:, 0, 5])
        by_250_sessions = hit.reshape(8, -1).mean(axis=1)
        return float(np.abs(by_250_sessions - 0.8).max())

    assert error(q) > 0.20 and error(better) < 0.06
    assert pinball(y.reshape(-1), better[:, 0]).mean() < 0.99 * pinball(y.reshape(-1), q[:, 0]).mean()


def test_asked_rows__about_twenty_four_symbols_a_session_and_the_same_ones_in_any_company() -> None:
    sessions = np.arange(np.datetime64("2020-01-01"), np.datetime64("2020-07-01"))
    symbol, at = (a.ravel() for a in np.meshgrid(np.arange(300), np.arange(len(sessions)), indexing="ij"))

    asked = c.asked_rows(symbol, at, sessions, 300)
    count = np.bincount(at[asked], minlength=len(sessions))
    few = symbol < 40

    assert 20 < count.mean() < 28 and count.min() >= 8
    assert np.bincount(symbol[asked], minlength=300).min() > 0  # each has its turn
    assert np.array_equal(c.asked_rows(symbol[few], at[few], sessions, 300), asked[few])
    assert not c.asked_rows(np.full(3, -1), np.array([0, 1, 2]), sessions, 300).any()
    assert c.asked_rows(np.zeros(9, int), np.arange(9), sessions, 1).all()  # a model of one symbol asks it each session


@pytest.fixture(scope="module")
def tiny() -> tuple[Fitted, Panel]:
    panel = Panel.from_frames(tiny_bars())
    spans = Spans(date(2020, 9, 30), date(2020, 12, 31), date(2021, 4, 9))
    return fit_model(SPEC, panel, None, spans, rivals=("persistence", "drift", "ewma", "ridge")), panel


def forecast_from(fitted: Fitted, panel: Panel, day: str) -> np.ndarray:
    rows = np.flatnonzero(panel.session == np.datetime64(day))
    return fitted.quantiles(fitted.inputs(panel), rows, ("lstm",))["lstm"]


def test_fitted__the_card_says_how_it_is_calibrated_and_a_rebuilt_model_answers_the_same(tiny) -> None:
    fitted, panel = tiny
    again = rebuild(fitted.arrays, fitted.card)
    plain = replace(fitted, card=fitted.card | {"calibration": None})

    assert fitted.card["calibration"] == c.FORM
    assert np.array_equal(forecast_from(fitted, panel, "2021-03-15"), forecast_from(again, panel, "2021-03-15"))
    factor = forecast_from(fitted, panel, "2021-03-15") - forecast_from(plain, panel, "2021-03-15")
    assert (factor[..., 3] == 0).all() and (factor[..., 0] != 0).all()  # the median stays, the width does not
    assert LstmSpec(**SPEC.model_dump() | {"calibration": "none"}).calibration == "none"


def test_fitted__before_the_training_span_ended_nothing_is_corrected(tiny) -> None:
    fitted, panel = tiny
    plain = replace(fitted, card=fitted.card | {"calibration": None})

    assert np.array_equal(forecast_from(fitted, panel, "2020-09-29"), forecast_from(plain, panel, "2020-09-29"))


def test_fitted__a_forecast_depends_neither_on_later_rows_nor_on_company(tiny) -> None:
    fitted, panel = tiny
    day = "2021-02-16"
    together = forecast_from(fitted, panel, day)
    rows = np.flatnonzero(panel.session >= np.datetime64("2021-01-04"))
    many = fitted.quantiles(fitted.inputs(panel), rows, ("lstm",))["lstm"][panel.session[rows] == np.datetime64(day)]

    assert np.array_equal(together, forecast_from(fitted, panel.until(day), day))
    assert np.array_equal(together, many)


def test_fitted__an_unknown_calibration_is_refused(tiny) -> None:
    from forecasting.errors import UntrustedModel

    fitted, panel = tiny
    other = replace(fitted, card=fitted.card | {"calibration": "tracked width 9"})

    with pytest.raises(UntrustedModel, match="tracked width 9.*nextclose retrain"):
        forecast_from(other, panel, "2021-02-16")


def test_levels__are_those_the_intervals_are_read_from() -> None:
    assert [LEVELS[low] + LEVELS[high] for low, high in c._INTERVALS] == pytest.approx([1, 1, 1])
    assert [LEVELS[high] - LEVELS[low] for low, high in c._INTERVALS] == pytest.approx([0.5, 0.8, 0.9])
