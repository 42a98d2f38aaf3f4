"""Features of a symbol's recurring events: quarterly results come about every thirteen weeks, and move price and volume.

No calendar of announcements is needed, and none is used: how much of an event each past day was (a jump on volume) is laid on
a calendar of five slots a week, and the days ahead are compared with the same days one to twelve quarters ago. What is known
at the close of a row is all that enters: the slots looked at lie at least a quarter less n slots back.
"""

from __future__ import annotations

import numpy as np

from forecasting.features import event_kernels as events
from forecasting.features import kernels, register
from forecasting.features.blocks import Block
from forecasting.features.market_context import FAST, Market

INPUTS = ("close", "volume", "split", "dividend", "market")
VOLUME = "volume_surprise"  # of all symbols: its mean is the market's
QUARTERS, YEARS = 12, 3
WARM_UP = 70  # bars in thirteen weeks and more, whatever the holidays
WARM_UP_YEAR = 265  # the same for fifty-two weeks
MEMORY = 1100  # twelve quarters and the variance before them
CAP = 2.0  # moves beyond twice the scale are the jumps that vol_without_jumps leaves out


def _slots(b: Block) -> np.ndarray:
    of_sessions = b.market.memo("slots", lambda market: events.slots(market.panel.sessions.view(np.int64)))
    return b.memo(("slots",), lambda: of_sessions.take(b.at))


def _score(b: Block) -> np.ndarray:
    """How much of an event each row was: a jump of the price on more unusual volume than the market's; NaN: no volume."""

    def of_market(market: Market) -> np.ndarray:
        def surprise(rows: slice) -> np.ndarray:
            return np.where(market.panel.volume[rows] > 0.0, b.across[VOLUME][rows], np.nan)

        return market.average("volume surprise", surprise)

    def make() -> np.ndarray:
        own = np.where(b.raw("volume") > 0.0, b.column(VOLUME), np.nan)
        usual = np.nan_to_num(b.by_session("market volume surprise", of_market))
        return events.jumps(b.starts, b.returns, b.variance, own - usual)

    return b.memo(("jumps",), make)


def _calendar(b: Block, width: int) -> np.ndarray:
    return b.memo(("calendar", width), lambda: events.smoothed_calendar(b.starts, _slots(b), _score(b), width))


def _usual(b: Block, step: int, count: int, width: int, first: int, last: int) -> np.ndarray:
    if last > events.FURTHEST:
        raise ValueError(f"an event feature looks at most {events.FURTHEST} days ahead, not {last}")
    answer = events.usual(b.starts, _slots(b), _calendar(b, width), step, count, first, last)
    return _from(b, answer, WARM_UP if step == events.QUARTER else WARM_UP_YEAR)


def _from(b: Block, values: np.ndarray, rows: int = WARM_UP) -> np.ndarray:
    """NaN in the first rows of each symbol, however long they took."""
    for begin, end in zip(b.starts[:-1], b.starts[1:], strict=True):
        values[begin : min(begin + rows, end)] = np.nan
    return values


@register(inputs=INPUTS, warm_up=WARM_UP, memory=MEMORY, group="event", parameters="n", across=VOLUME)
def event_day(b: Block, n: int) -> np.ndarray:
    """Mean over the last twelve quarters of the jumps on the very days that correspond to the next n weekdays."""
    return _usual(b, events.QUARTER, QUARTERS, 0, 1, n)


@register(inputs=INPUTS, warm_up=WARM_UP, memory=MEMORY, group="event", parameters="n", across=VOLUME)
def event(b: Block, n: int) -> np.ndarray:
    """Mean over the last twelve quarters of the jumps around (+-2 weekdays) the days that correspond to the next n weekdays."""
    return _usual(b, events.QUARTER, QUARTERS, 2, 1, n)


@register(inputs=INPUTS, warm_up=WARM_UP, memory=MEMORY, group="event", parameters="n", across=VOLUME)
def event_wide(b: Block, n: int) -> np.ndarray:
    """Mean over the last twelve quarters of the jumps around (+-4 weekdays) the days that correspond to the next n weekdays."""
    return _usual(b, events.QUARTER, QUARTERS, 4, 1, n)


@register(inputs=INPUTS, warm_up=WARM_UP_YEAR, memory=MEMORY, group="event", parameters="n", across=VOLUME)
def event_year(b: Block, n: int) -> np.ndarray:
    """Mean over the last three years of the jumps around (+-1 weekday) the days that correspond to the next n weekdays."""
    return _usual(b, 4 * events.QUARTER, YEARS, 1, 1, n)


@register(inputs=INPUTS, warm_up=WARM_UP, memory=MEMORY, group="event", parameters="n", across=VOLUME)
def event_past(b: Block, n: int) -> np.ndarray:
    """Mean over the last twelve quarters of the jumps around (+-1 weekday) the days that correspond to the last n weekdays."""
    return _usual(b, events.QUARTER, QUARTERS, 1, 1 - n, 0)


@register(inputs=INPUTS, warm_up=WARM_UP, memory=MEMORY, group="event", parameters="n", across=VOLUME)
def jump(b: Block, n: int) -> np.ndarray:
    """EWMA over about n sessions (lambda 1 - 1/n) of how much of an event each was: a jump of the price on unusual volume."""
    return _from(b, events.decayed(b.starts, _score(b), 1.0 - 1.0 / n))


@register(inputs=("close", "split", "dividend"), warm_up=WARM_UP, memory=500, group="event")
def vol_without_jumps(b: Block) -> np.ndarray:
    """Log of the EWMA volatility (lambda 0.94) of returns cut to twice the scale before them, over the scale."""
    calm = kernels.ewma_square(b.starts, events.capped(b.starts, b.returns, b.variance, CAP), FAST)
    return _from(b, 0.5 * (kernels.logarithm(calm) - b.log_variance))


@register(inputs=("close", "split", "dividend"), warm_up=WARM_UP, memory=500, group="event")
def vol_absolute(b: Block) -> np.ndarray:
    """Log of the EWMA (lambda 0.94) of the absolute returns over the scale."""
    mean = events.decayed(b.starts, np.abs(b.returns), FAST)
    return _from(b, kernels.logarithm(mean) - 0.5 * b.log_variance)
