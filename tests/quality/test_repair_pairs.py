"""Real errors of Yahoo beside their repaired twins: the rules flag every row that differs, and nothing in the twin."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forecasting.quality.action_rules import clean_actions
from forecasting.quality.cleaning import clean_bars
from forecasting.reasons import REASONS
from forecasting.sessions import calendar_of, sessions_between
from sources.files import FilesSource

# what the file's name says is wrong with it: the codes that say the same
KINDS = {
    "bad-div": {
        "dividend_unit", "dividend_phantom", "dividend_amount", "dividend_not_in_adjusted", "dividend_double",
        "adjusted_in_doubt",
    },
    "bad-stock-split": {"split_not_applied"},
    "100x-error": {"unit_jump", "unit_jump_untraded", "unit_mix"},
    "cg-double-count": {"dividend_double"},
}  # fmt: skip


def flagged(path: Path) -> dict[str, set[str]]:
    """Code -> the sessions (ISO) that it speaks of."""
    head, _, _ = path.name.partition("-1")
    source = FilesSource(path, symbol=head.replace("-", "."))
    fetched = source.fetch(source.symbols())
    (symbol,) = source.symbols()
    days = fetched.bars["session"]
    sessions = sessions_between(calendar_of(symbol), days.min(), days.max())
    cleaned = clean_bars(fetched.bars, sessions, date(2026, 6, 1), fetched.actions)
    kept = cleaned.bars.merge(fetched.bars[["symbol", "session", "adj_ratio"]], on=["symbol", "session"])
    acting = clean_actions(fetched.actions, kept)
    found: dict[str, set[str]] = {}
    for part in (cleaned, acting):
        for reason, session in zip(part.quarantine["reason"], part.quarantine["session"], strict=True):
            found.setdefault(reason, set()).add(str(session)[:10])
        for warned in part.warnings:
            found.setdefault(warned.reason, set()).update(str(day) for day in warned.days)
    return found


def differing(bad: Path, fixed: Path) -> set[str]:
    """The sessions at which the two files hold different numbers."""
    one, two = (pd.read_csv(path).rename(columns=lambda name: "Date" if "Date" in name else name) for path in (bad, fixed))
    both = one.merge(two, on="Date", suffixes=("", "_fixed"))
    differs = np.zeros(len(both), dtype=bool)
    for column in ("Open", "High", "Low", "Close", "Adj Close", "Volume", "Dividends", "Stock Splits"):
        a, b = both[column].to_numpy(dtype=float), both[f"{column}_fixed"].to_numpy(dtype=float)
        differs |= ~np.isclose(a, b, rtol=1e-5, atol=1e-9, equal_nan=True)
    return set(both.loc[differs, "Date"].str[:10])


def severe(found: dict[str, set[str]]) -> set[str]:
    return {code for code in found if REASONS[code][0] != "warn"}


@pytest.fixture
def folder(shared_data: Path) -> Path:
    return shared_data / "dirty" / "yfinance_repair"


def test_pairs__each_defect_is_flagged_at_its_rows_by_a_rule_of_its_kind(folder: Path, figure: Callable[[str], None]) -> None:
    lines, missed = [], []
    for fixed in sorted(folder.glob("*-fixed.csv")):
        bad = fixed.with_name(fixed.name.replace("-fixed", ""))
        (kind,) = [kind for kind in KINDS if kind in bad.name]
        found = flagged(bad)
        twin = flagged(fixed)  # SAND's adjusted closes count a dividend twice in both files
        wrong = differing(bad, fixed)
        told = set().union(*(found.get(code, set()) - (twin.get(code, set()) - wrong) for code in KINDS[kind]))
        codes = sorted(code for code in KINDS[kind] & set(found) if found[code] & wrong)
        # one row more is right: beside the rows whose adjusted close is wrong the ex-date, whose dividend makes it so
        lines.append(f"{bad.stem}: {len(wrong & told)} of {len(wrong)} rows, {len(told - wrong)} others, {', '.join(codes)}")
        if wrong - told or len(told - wrong) > 1:
            missed.append(lines[-1])
    figure("\n".join(lines) + f"\ndefects flagged: {len(lines) - len(missed)} of {len(lines)}")
    assert missed == [] and len(lines) == 15


def test_twins__repaired_and_sound_files_pass_without_a_quarantine(folder: Path, figure: Callable[[str], None]) -> None:
    sound = [*sorted(folder.glob("*-fixed.csv")), *sorted(folder.glob("*no-bad*.csv"))]
    found = {path.name: flagged(path) for path in sound}
    remarks = Counter(code for codes in found.values() for code in codes)
    figure(f"{len(sound)} sound files, 0 quarantined; remarks: {dict(sorted(remarks.items()))}")
    assert {name: severe(codes) for name, codes in found.items() if severe(codes)} == {}
    assert len(sound) == 17
