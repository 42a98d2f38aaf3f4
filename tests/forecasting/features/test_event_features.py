"""Recurring events: a symbol that jumps on volume every thirteen weeks is expected to do so again."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np
import pandas as pd
import pytest

from forecasting.features import compute_features, ewma_volatility, log_returns
from forecasting.features.sets import SETS
from forecasting.panel import Panel
from tests.forecasting.markets import walk_frame, walks

FIRST = date(2012, 1, 3)  # a Tuesday


def jumping(every_weeks: int = 13, sessions: int = 1300, quiet: str = "QUIET") -> Panel:
    """JUMPS moves by eight percent on four times the volume on every thirteenth Tuesday; QUIET and OTHER do nothing special."""
    frames = [walk_frame(1, symbol, sessions) for symbol in ("JUMPS", quiet, "OTHER")]
    bars = frames[0]
    event = np.array([(d.date() - FIRST).days % (7 * every_weeks) == 0 for d in bars["session"]])
    push = np.exp(np.cumsum(np.where(event, 0.08 * np.where(np.cumsum(event) % 2 == 0, 1, -1), 0.0)))
    for column in ("open", "high", "low", "close"):
        bars[column] *= push
    bars["volume"] = np.where(event, 4 * bars["volume"], bars["volume"])
    return Panel.from_frames(pd.concat(frames))


def at(panel: Panel, values: np.ndarray, symbol: str, day: str) -> float:
    i = panel.symbols.index(symbol)
    return float(values[panel.starts[i] + np.searchsorted(panel.session_of(i), np.datetime64(day))])


def test_event_1__expects_the_jump_on_the_eve_of_its_usual_day() -> None:
    panel = jumping()
    values = compute_features(panel, ("event_day_1", "event_5", "event_day_5")).values
    day, five_smooth, five = values.T
    jump = FIRST + timedelta(weeks=13 * 16)  # 2015-12-29, the seventeenth Tuesday of a jump
    assert str(jump) == "2015-12-29"
    eve, week_before, after = "2015-12-28", "2015-12-21", "2015-12-29"
    assert at(panel, day, "JUMPS", eve) > 3.0  # about 4 (the size, at most) times log 4
    assert at(panel, day, "JUMPS", week_before) < 0.2 and at(panel, day, "JUMPS", after) < 0.2
    assert at(panel, day, "QUIET", eve) < 0.2
    assert at(panel, five, "JUMPS", "2015-12-22") > 3.0 > 0.5 > at(panel, five, "JUMPS", week_before)
    assert at(panel, five_smooth, "JUMPS", week_before) > 1.0  # within two days of the next five


def test_every_event_feature__equals_the_slow_calendar() -> None:
    panel = walks(3, 4, 900)
    returns, scale = log_returns(panel), ewma_volatility(panel)
    names = ("event_day_1", "event_5", "event_wide_20", "event_year_5", "event_past_5", "jump_10")
    values = compute_features(panel, names).values
    surprise = compute_features(panel, ("volume_surprise",)).values[:, 0].astype(np.float64)
    market = {t: np.mean(surprise[(panel.at == t) & ~np.isnan(surprise)]) for t in range(25, len(panel.sessions))}
    for i in (0, 3):
        rows = range(int(panel.starts[i]), int(panel.starts[i + 1]))
        score: dict[int, float] = {}
        decayed, expected_decay = 0.0, {}
        for r in rows:
            size = abs(returns[r]) / scale[r - 1] if r > rows[0] else np.nan
            excess = surprise[r] - market.get(panel.at[r], 0.0)
            weight = 0.5 if np.isnan(excess) else min(max(excess, 0.0), 1.5)
            one = 0.0 if np.isnan(size) else min(max(size - 1.0, 0.0), 4.0) * weight
            slot = slot_of(panel.sessions[panel.at[r]])
            score[slot] = score.get(slot, 0.0) + one
            decayed = 0.9 * decayed + 0.1 * one
            expected_decay[r] = decayed
        first = min(score)
        for r in list(rows)[75::61]:
            now = slot_of(panel.sessions[panel.at[r]])
            expected = [
                usual(score, first, now, 65, 12, 0, 1, 1), usual(score, first, now, 65, 12, 2, 1, 5),
                usual(score, first, now, 65, 12, 4, 1, 20), usual(score, first, now, 260, 3, 1, 1, 5),
                usual(score, first, now, 65, 12, 1, -4, 0), expected_decay[r],
            ]  # fmt: skip
            assert values[r] == pytest.approx(expected, rel=1e-4, abs=1e-5, nan_ok=True), panel.sessions[panel.at[r]]


def slot_of(session: np.datetime64) -> int:
    day = session.astype(object)
    monday = day - timedelta(days=day.weekday())
    return (monday.toordinal() // 7) * 5 + min(day.weekday(), 4)


def usual(score: dict[int, float], first: int, now: int, step: int, count: int, width: int, begin: int, end: int) -> float:
    """From the definition: the smoothed score of the slots begin..end from now, 1..count steps ago, where history reaches."""
    sums = []
    for k in range(1, count + 1):
        if now - k * step < first:
            break
        total = 0.0
        for slot in range(now - k * step + begin, now - k * step + end + 1):
            if slot >= first:
                total += sum(
                    (1 - abs(a) / (width + 1)) * score.get(slot + a, 0.0) for a in range(-width, width + 1) if slot + a >= first
                )
        sums.append(total)
    return float(np.mean(sums)) if sums else float("nan")


def test_without_volume__jumps_count_half_whatever_their_volume() -> None:
    panel = jumping()
    bare = Panel.from_frames(
        pd.concat(
            pd.DataFrame(
                {"symbol": symbol, "session": panel.session_of(i), "volume": np.nan}
                | {c: getattr(panel, c)[a:b] for c in ("open", "high", "low", "close")}
            )
            for i, (symbol, a, b) in enumerate(zip(panel.symbols, panel.starts, panel.starts[1:], strict=False))
        )
    )  # fmt: skip
    day = compute_features(bare, ("event_day_1",)).values[:, 0]
    assert 1.5 < at(bare, day, "JUMPS", "2015-12-28") < 2.1  # the size is at most 4, times a half
    assert at(bare, day, "JUMPS", "2015-12-21") < 0.4


def test_vol_without_jumps__is_far_below_the_scale_after_a_jump_and_the_same_in_calm() -> None:
    panel = jumping()
    calm = compute_features(panel, ("vol_without_jumps",)).values[:, 0]
    assert at(panel, calm, "JUMPS", "2015-12-29") < -0.3
    assert abs(np.nanmedian(calm[panel.symbol_index == panel.symbols.index("QUIET")])) < 0.1


def test_a_look_further_ahead_than_a_quarter_allows__is_refused() -> None:
    with pytest.raises(ValueError, match="at most 40 days ahead, not 41"):
        compute_features(jumping(), ("event_41",))


def test_the_set__names_what_the_research_kept() -> None:
    assert len(SETS["events"]) == 11 and "event_day_1" in SETS["events"]
