"""Every reason for which a row or an action is set aside or remarked upon. The codes are stable: they are stored, counted
in reports and explained in the documentation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

QUARANTINE_COLUMNS = ("symbol", "session", "reason", "severity", "message", "row_json")

# code: (severity, what is wrong). The order is the order of importance: a row that breaks several rules is set aside
# under the first. 'reject' sets aside all rows of the symbol in this batch, 'quarantine' the row; 'warn' keeps the row.
REASONS: dict[str, tuple[str, str]] = {
    "malformed": ("reject", "the column types are not those of bars"),
    "bad_symbol": ("quarantine", "the symbol is not one that an exchange would write"),
    "bad_session": ("quarantine", "the session is not a date"),
    "shifted_sessions": ("reject", "the dates fit the exchange's sessions only when moved by a day, or not at all"),
    "unit_changed": ("reject", "all prices are a hundred or a thousand times what is stored"),
    "future_session": ("quarantine", "the session lies in the future"),
    "not_final": ("quarantine", "the session was not over, its bar can still change"),
    # set aside as well, but nothing is lost: such a row tells of no trade
    "empty_row": ("warn", "the row holds no price at all; it was left out"),
    "not_a_session": ("quarantine", "the exchange was closed on that date"),
    "not_a_number": ("quarantine", "a price or the volume is text that is not a number"),
    "nan_close": ("quarantine", "the close is not known"),
    "non_finite": ("quarantine", "a price or the volume is infinite"),
    "non_positive_price": ("quarantine", "a price is zero or negative"),
    "unit_jump": ("quarantine", "prices jump a hundred- or a thousandfold and back, as from a change of unit"),
    "spike": ("quarantine", "for one session the close is several times those before and after, or a fraction: a wrong print"),
    "split_not_applied": ("quarantine", "prices lie off by the ratio of a split close by: it was applied to some rows only"),
    "implausible_price": ("quarantine", "a price is above a billion or below a millionth"),
    "negative_volume": ("quarantine", "the volume is negative"),
    "unit_mix": ("quarantine", "the prices of one row are in different units: one is a hundred or a thousand times another"),
    "high_below_low": ("quarantine", "the high is below the low"),
    "outside_range": ("quarantine", "the open or the close lies outside low..high"),
    "duplicate_conflict": ("quarantine", "two different bars for one symbol and session; neither can be preferred"),
    # set aside, and nothing is lost here either
    "unit_jump_untraded": ("warn", "a run of rows without a trade repeats a price in another unit; they were left out"),
    # kept
    "duplicate_identical": ("warn", "the same bar came more than once; one was kept"),
    "calendar_disagrees": ("warn", "no symbol has a session that the calendar expects, or most have one that it does not know"),
    "gap": ("warn", "sessions of the exchange are missing between two bars"),
    "long_gap": ("warn", "so many sessions are missing in a row that the symbol must have been suspended"),
    "not_daily": ("warn", "the bars are a week or more apart: they are no daily bars"),
    "open_unknown": ("warn", "the open is 0 or missing; stored as not known"),
    "range_unknown": ("warn", "the high or the low is missing"),
    "range_doubtful": ("warn", "the open or the close lies a little outside low..high, as a mid-quote or a rounded price does"),
    "volume_unknown": ("warn", "the volume is missing"),
    "stale": ("warn", "ten or more identical bars in a row without volume"),
    "zero_volume_move": ("warn", "the close moved on a day without volume"),
    "split_unexplained": ("warn", "prices and volumes changed as at a split, and none is known"),
    "large_move": ("warn", "the close moved by more than half, on high volume"),
    "large_move_unconfirmed": ("warn", "the close moved by more than half, without a volume to match"),
    "level_shift": ("warn", "prices stay at a hundred- or a thousandfold from a session on"),
    # actions: 'quarantine' sets the action aside, the bars stay
    "bad_action": ("quarantine", "a split or dividend that cannot be, or that was told twice with different values"),
    "split_not_in_prices": ("quarantine", "the prices do not show the split"),
    "dividend_unit": ("quarantine", "the dividend is a hundred times off, or not in the unit of the prices after a split"),
    "dividend_phantom": ("quarantine", "the dividend was told twice, or the prices show that none was paid"),
    "dividend_amount": ("quarantine", "prices and adjusted closes agree on another amount than the dividend's"),
    "dividend_odd": ("warn", "the dividend is a hundred times more or less than the symbol's others; the price says nothing"),
    # the source's own adjusted closes, which are never stored
    "dividend_not_in_adjusted": ("warn", "the source's adjusted closes leave a dividend out, in whole or in part"),
    "dividend_double": (
        "warn",
        "the source's adjusted closes were lowered by more than the dividend, as when part counts twice",
    ),
    "adjusted_in_doubt": ("warn", "the source's adjusted closes contain a dividend that was set aside"),
    "adjusted_step_without_action": ("warn", "the source's adjusted closes step where neither split nor dividend is known"),
}


@dataclass(frozen=True, eq=False)
class Warned:
    """Rows of a symbol about which something is odd although they were kept. ``days``: their sessions, ascending, one a row
    (of a gap and an unknown closure: the sessions that are missing)."""

    symbol: str
    reason: str
    days: np.ndarray

    @property
    def sessions(self) -> tuple[pd.Timestamp, ...]:
        return tuple(pd.DatetimeIndex(self.days.astype("datetime64[us]")))

    @property
    def session(self) -> pd.Timestamp:
        """The first of them."""
        return pd.Timestamp(self.days[0].astype("datetime64[us]"))

    @property
    def rows(self) -> int:
        return len(self.days)

    def __str__(self) -> str:
        more = f" and {self.rows - 1} more" if self.rows > 1 else ""
        return f"{self.symbol} {self.session:%Y-%m-%d}{more}: {REASONS[self.reason][1]} ({self.reason})"


def warned_of(symbol: pd.Series, days: np.ndarray, found: dict[str, np.ndarray]) -> tuple[Warned, ...]:
    """One Warned a symbol and code, in (symbol, importance) order. ``found``: code -> row positions."""
    warned = []
    for code, at in found.items():
        if len(at):
            group, names = pd.factorize(symbol.iloc[at], sort=True)
            at = at[group >= 0]
            group = group[group >= 0]
            ordered = at[np.lexsort((days[at], group))]
            parts = np.split(days[ordered], np.cumsum(np.bincount(group))[:-1]) if len(at) else []
            warned += [Warned(str(name), code, part) for name, part in zip(names, parts, strict=True)]
    return in_order(warned)


def in_order(warned: list[Warned]) -> tuple[Warned, ...]:
    rank = {code: i for i, code in enumerate(REASONS)}
    return tuple(sorted(warned, key=lambda w: (w.symbol, rank[w.reason])))
