"""Is a dividend of the amount that is told? What prices, adjusted closes and the symbol's other dividends say to it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from forecasting.quality.tape import Tape
from forecasting.quality.thresholds import QualityThresholds

_UNITS = (100.0, 1000.0)
_UNIT_ADJUSTED = 0.05  # tolerance where the ratio is exact: both come from the same source
_UNIT_OTHERS = 1.6  # tolerance where amounts of other years are compared
_ABSENT = 0.05  # of a dividend in the adjusted closes: it was left out
_LARGE = 0.05  # of the price; a refuted dividend above that is likelier told in the wrong unit than invented
_MOST_DEVIATIONS = 6.0  # a witness further off than that is not heard louder
_SMALLEST = 1e-4  # of the price: nothing can be told below


@dataclass
class Dividends:
    """``doubts``: action -> (code, what was found). ``about``: code of a warning -> rows that it speaks of."""

    doubts: dict[int, tuple[str, str]] = field(default_factory=dict)
    about: dict[str, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class _Told:
    """One dividend: ``share`` of the close before as told, ``adjusted``: as the adjusted closes tell (NaN: they do not),
    ``fell``: log return of the ex-date, ``usual``: the symbol's daily deviation."""

    action: int
    at: int
    share: float
    adjusted: float
    noise: float
    fell: float
    usual: float

    def prefers(self, share: float, other: float) -> float:
        """Log likelihood of ``share`` over ``other`` by the price; positive: the price prefers ``share``."""
        off = [abs(self.fell - np.log1p(-min(max(s, 0.0), 0.99))) / self.usual for s in (share, other)]
        # Beyond some deviations a price says no more about either: what counts is how much nearer one of them is.
        one, two = off[0] - min(off), off[1] - min(off)
        nearest = min(min(off), _MOST_DEVIATIONS)
        return float(((nearest + min(two, _MOST_DEVIATIONS)) ** 2 - (nearest + min(one, _MOST_DEVIATIONS)) ** 2) / 2.0)

    def is_like(self, usual: float) -> int:
        """1 where only the amount told is like the symbol's other dividends, -1 where only the other amount is, else 0."""
        return int(_alike(self.share, usual)) - int(_alike(self.adjusted, usual))


def _alike(share: float, usual: float) -> bool:
    return bool(share > 0.0 and usual > 0.0 and abs(np.log(share / usual)) < np.log(_UNIT_OTHERS))


def judge_dividends(tape: Tape, thresholds: QualityThresholds) -> Dividends:
    found = Dividends()
    wrong: dict[str, list[np.ndarray]] = {}
    by_symbol: dict[int, list[_Told]] = {}
    for i in np.flatnonzero(~tape.is_split & (tape.at >= 0)):
        by_symbol.setdefault(int(tape.code[tape.at[i]]), []).append(_told(tape, int(i)))
    for told in by_symbol.values():
        first = int(tape.starts[np.searchsorted(tape.starts, told[0].at, side="right") - 1])
        splits = tape.value[tape.is_split & (tape.at >= first) & (tape.at < _end(tape, first))]
        doubts = _impossible(told) | _repeated(tape, told, thresholds)
        left = [d for d in told if d.action not in doubts]
        more, kept = _against_adjusted(left, splits, thresholds)
        doubts |= more
        left = [d for d in left if d.action not in doubts and d.action not in kept]
        more, odd = _against_prices(left, [d for d in told if d.action not in doubts], thresholds)
        doubts |= more
        if odd:
            wrong.setdefault("dividend_odd", []).append(np.array(odd))
        for d in told:
            contained = d.action in doubts and abs(d.adjusted - d.share) <= max(d.noise, thresholds.dividend_mismatch * d.share)
            about = kept.get(d.action) or ("adjusted_in_doubt" if contained else "")
            if about:
                wrong.setdefault(about, []).append(np.arange(first, d.at + (about != "adjusted_in_doubt")))
        found.doubts |= doubts
    found.about = {about: np.unique(np.concatenate(rows)) for about, rows in wrong.items()}
    found.about = {about: rows for about, rows in found.about.items() if len(rows)}
    return found


def _end(tape: Tape, first: int) -> int:
    return int(tape.starts[np.searchsorted(tape.starts, first, side="right")])


def _told(tape: Tape, i: int) -> _Told:
    at = int(tape.at[i])
    split = tape.split[at]
    share = tape.value[i] * split / tape.close[at - 1]
    rest = max(tape.share_at(at) - share, 0.0)  # another dividend of the same day
    size = np.log(split)
    expected = np.log1p(-min(share + rest, 0.99))
    rows = _rows_of(tape, at)
    moved, step = (
        float(np.nansum(values[rows])) if np.isfinite(values[rows]).any() else np.nan for values in (tape.move, tape.step)
    )
    fell = min((moved, moved + size), key=lambda x: abs(x - expected)) - np.log1p(-min(rest, 0.99))
    adjusted, noise = np.nan, tape.noise(at)
    if np.isfinite(step):
        # The ratio steps by the split too where the source's own closes were as traded.
        factor = min((-step, -step + size), key=lambda x: abs(x - expected))
        adjusted = -np.expm1(factor - np.log1p(-min(rest, 0.99)))
    return _Told(i, at, share, adjusted, noise, float(fell), tape.usual_move(at) * np.sqrt(len(rows)))


def _rows_of(tape: Tape, at: int) -> list[int]:
    """The rows over which a dividend shows: that of its ex-date; in weekly bars it may come with the next."""
    after = at + 1
    weekly = tape.sparse[at] and after < len(tape.step) and tape.sparse[after] and not tape.acts[after]
    return [at, after] if weekly else [at]


def _impossible(told: list[_Told]) -> dict[int, tuple[str, str]]:
    return {d.action: ("dividend_unit", f"it is {d.share:.0%} of the price") for d in told if d.share >= 1.0}


def _repeated(tape: Tape, told: list[_Told], t: QualityThresholds) -> dict[int, tuple[str, str]]:
    """Two alike dividends a few sessions apart are one that was told twice; prices or adjusted closes tell which is true."""
    doubts: dict[int, tuple[str, str]] = {}
    spacing = np.median(np.diff([d.at for d in told])) if len(told) > 3 else np.inf
    for one, two in zip(told[:-1], told[1:], strict=True):
        apart = two.at - one.at
        alike = max(one.share, two.share) <= t.dividend_alike * min(one.share, two.share)
        if (
            not (0 < apart <= t.dividend_repeat and apart < 0.5 * spacing and alike)
            or tape.sparse[two.at]
            and apart == 1 == spacing
        ):
            continue
        text = f"another of about the same amount is {apart} session{'s' * (apart > 1)} away"
        has = [d.adjusted > 0.3 * d.share for d in (one, two)]
        only_one = one.prefers(one.share, 0.0) + two.prefers(
            0.0, two.share
        )  # log likelihood of the first alone over the second
        both = max(one.prefers(one.share, 0.0), two.prefers(two.share, 0.0))
        if min(one.prefers(one.share, 0.0), two.prefers(two.share, 0.0)) > t.evidence and both > t.evidence:
            continue  # the price fell twice
        if np.isfinite(one.adjusted) and np.isfinite(two.adjusted) and has[0] != has[1]:
            out = [two] if has[0] else [one]
        elif abs(only_one) < 0.5:
            out = [one, two]
        else:
            out = [two] if only_one > 0.0 else [one]
        doubts |= {d.action: ("dividend_phantom", text) for d in out}
    return doubts


def _against_adjusted(
    told: list[_Told], splits: np.ndarray, t: QualityThresholds
) -> tuple[dict[int, tuple[str, str]], dict[int, str]]:
    """(doubts, kept dividends of which the adjusted closes tell another amount: action -> code)."""
    doubts: dict[int, tuple[str, str]] = {}
    kept: dict[int, str] = {}
    classes: dict[str, list[_Told]] = {}
    for d in told:
        if not np.isfinite(d.adjusted) or d.share < _SMALLEST and d.adjusted < _SMALLEST:
            continue
        by_ex_close = d.share / (np.exp(d.fell) + d.share)  # the other convention: D over the close of the ex-date plus D
        blur = max(d.noise, t.dividend_mismatch * d.share, 1e-4)
        if min(abs(d.adjusted - d.share), abs(d.adjusted - by_ex_close)) <= blur:
            continue
        classes.setdefault(_relation(d, splits), []).append(d)
    in_question = {d.action for members in classes.values() for d in members}
    agreed = np.array([d.share for d in told if d.action not in in_question])
    usual = float(np.median(agreed)) if len(agreed) >= 2 else np.nan
    for relation, members in classes.items():
        for d in members:
            # A wrong unit or basis is one mistake made in all of them, so that all are asked together.
            heard = members if relation in ("unit", "split") else [d]
            likelihood = sum(m.prefers(m.share, m.adjusted) for m in heard)
            if relation != "other" or d.adjusted < _ABSENT * d.share:
                likelihood += 2.0 * t.evidence * sum(m.is_like(usual) for m in heard)
            text = f"{d.share:.2%} of the price, while the adjusted closes tell {max(d.adjusted, 0.0):.2%}"
            if relation in ("unit", "split") and likelihood < t.evidence:
                doubts[d.action] = ("dividend_unit", text)
            elif likelihood < -t.evidence:
                doubts[d.action] = ("dividend_phantom" if d.adjusted < _ABSENT * d.share else "dividend_amount", text)
            else:
                kept[d.action] = "dividend_not_in_adjusted" if d.adjusted < d.share else "dividend_double"
    return doubts, kept


def _relation(d: _Told, splits: np.ndarray) -> str:
    """How the amounts are related: 'unit', 'split' (by the ratio of one), or 'other'."""
    if d.adjusted <= max(d.noise, 1e-7):
        return "other"
    times = d.share / d.adjusted
    for code, factors in (("unit", _UNITS), ("split", np.unique(splits))):
        for factor in factors:
            # a share of a half step of the decimals is as much as a small adjustment can be known
            slack = _UNIT_ADJUSTED + d.noise / d.adjusted
            if abs(np.log(factor)) > 0.3 and min(abs(np.log(times / factor)), abs(np.log(times * factor))) < min(slack, 0.3):
                return code
    return "other"


def _against_prices(
    told: list[_Told], all_told: list[_Told], t: QualityThresholds
) -> tuple[dict[int, tuple[str, str]], list[int]]:
    """Dividends with which the adjusted closes agree, or are silent: do prices and the other dividends agree too?

    Returns (doubts, rows of dividends a hundred times more or less than the others which the price cannot refute).
    """
    doubts: dict[int, tuple[str, str]] = {}
    odd: list[int] = []
    for d in told:
        others = np.array([o.share for o in all_told if o.action != d.action])
        usual = float(np.median(others)) if len(others) >= 2 else np.nan
        expected = np.log1p(-d.share)
        missing = d.fell - expected
        if (
            d.share >= t.dividend_floor
            and missing > max(t.dividend_refuted * d.usual, t.dividend_floor)
            and d.fell > 0.5 * expected
        ):
            likely = abs(np.log(d.share / 100.0 / usual)) < np.log(3.0) if np.isfinite(usual) else d.share >= _LARGE
            text = f"{d.share:.2%} of the price, which moved by {np.expm1(d.fell):+.2%}"
            doubts[d.action] = ("dividend_unit" if likely else "dividend_phantom", text)
            continue
        for factor, evidence in ((100.0, t.evidence), (0.01, t.evidence / 2.0)):
            if not _alike(d.share * factor, usual):
                continue
            if d.prefers(d.share * factor, d.share) > evidence:
                text = f"{d.share:.3%} of the price; the price and the other dividends tell {d.share * factor:.2%}"
                doubts[d.action] = ("dividend_unit", text)
            else:
                odd.append(d.at)
    return doubts, odd
