"""Checking price files with the rules of the daily run; nothing is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.errors import PricesFileError, SettingError
from forecasting.quality.accounts import VERDICTS, Account, Finding, Verdict, in_order
from forecasting.quality.checking import Checked, Delivery, check

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.quality.thresholds import QualityThresholds
    from storage.home import Home


@dataclass(frozen=True)
class Report:
    """What was found in one path: a file, or all files of a folder."""

    path: str
    verdict: Verdict
    findings: tuple[Finding, ...]
    accounts: tuple[Account, ...] = ()
    notes: tuple[str, ...] = ()


def check_path(
    path: Path,
    options: Mapping[str, Any],
    now: datetime,
    thresholds: QualityThresholds,
    second: Path | None = None,
    home: Home | None = None,
) -> Report:
    """The verdict over a file or folder of prices, read as the source ``files`` reads it with ``options``.

    The files of a folder are judged one by one and the folder by the worst of them. What cannot be read is a finding
    ('unreadable', a reject), not an error. ``second``: a file that another source has written of the same symbols. ``home``:
    whose stored closes the file is held against, where it has some. Raises SettingError for an option that is wrong.
    """
    try:
        other = None if second is None else read_delivery(second, options)[0]
    except PricesFileError as error:
        return Report(str(path), "reject", (Finding("unreadable", "reject", "", (), str(error)),))
    reports = [_check_file(file, options, now, thresholds, other, home) for file in _files(path)]
    if len(reports) == 1:
        return Report(str(path), *[getattr(reports[0], name) for name in ("verdict", "findings", "accounts", "notes")])
    named = [_named(finding, report) for report in reports for finding in report.findings]
    return Report(
        str(path),
        max((report.verdict for report in reports), key=VERDICTS.index),
        in_order(named),
        tuple(account for report in reports for account in report.accounts),
        tuple(f"{Path(report.path).name}: {note}" for report in reports for note in report.notes),
    )


def read_delivery(path: Path, options: Mapping[str, Any]) -> tuple[Delivery, tuple[str, ...]]:
    """What a file holds, and the remarks of the reader. Where neither an option nor a column says whose prices they are, the
    name of the file does. Raises PricesFileError, SettingError."""
    from sources.file_names import says_exchange

    source, symbols, guessed = _opened(path, dict(options))
    answer = source.fetch(symbols)
    frames = (answer.bars, answer.actions, answer.rejects, answer.failures)
    return Delivery(*frames, answer.basis, guessed, not guessed or says_exchange(path)), answer.notes


def _opened(path: Path, options: dict[str, Any]) -> tuple[Any, tuple[str, ...], bool]:
    """The source of one file, its symbols, and whether these are a guess."""
    from sources.file_names import UNKNOWN, best_fit, symbols_in_name
    from sources.registry import make_source

    source = make_source("files", {"path": str(path), **options})
    candidates = symbols_in_name(path)
    try:
        symbols = source.symbols()
    except PricesFileError as error:
        if "symbol" in options or "its name is no symbol" not in str(error):
            raise
        source = make_source("files", {"path": str(path), **options, "symbol": (*candidates, UNKNOWN)[0]})
        symbols = source.symbols()
    if "symbol" not in options and len(candidates) > 1 and set(symbols) <= set(candidates):
        days = source.fetch(symbols).bars["session"].to_numpy().astype("datetime64[D]")
        fitting = best_fit(candidates, days)
        if (fitting,) != symbols:
            source = make_source("files", {"path": str(path), **options, "symbol": fitting})
            symbols = source.symbols()
    return source, symbols, "symbol" not in options and set(symbols) <= {*candidates, UNKNOWN}


def _files(path: Path) -> list[Path]:
    """The path itself, or the price files of a folder; the folder itself where it holds none, so that reading says so."""
    from sources.tables import SUFFIXES

    if not path.is_dir():
        return [path]
    return sorted(p for p in path.iterdir() if p.is_file() and p.name.lower().endswith(SUFFIXES)) or [path]


def _check_file(
    path: Path,
    options: Mapping[str, Any],
    now: datetime,
    thresholds: QualityThresholds,
    second: Delivery | None,
    home: Home | None,
) -> Report:
    try:
        delivery, notes = read_delivery(path, options)
    except SettingError:
        raise
    except PricesFileError as error:
        return Report(str(path), "reject", (Finding("unreadable", "reject", "", (), str(error)),))
    stored = stored_closes(home, delivery.bars) if home is not None and home.snapshot.exists() else {}
    found: Checked = check(delivery, now, thresholds, stored, second)
    return Report(str(path), found.verdict, found.findings, found.accounts, notes)


def stored_closes(home: Home, bars: pd.DataFrame) -> dict[str, float]:
    """What the store says of each symbol's first close here: its own of that session, else its last of the month before.

    Left out where the two agree at the newest session that both have: then what lies between is an adjustment for splits,
    which reaches back from the newest, and no other unit.
    """
    import pandas as pd

    from storage.bars import read_bars
    from storage.snapshot import open_snapshot

    dated = bars[bars["session"].notna() & (bars["close"] > 0)]
    if dated.empty:
        return {}
    since, until = dated["session"].min() - pd.Timedelta(days=31), dated["session"].max()
    with open_snapshot(home) as con:
        known = read_bars(con, symbols=sorted(set(dated["symbol"])), since=since.date(), until=until.date())
    both = dated.merge(known, on=["symbol", "session"], suffixes=("", "_known")).sort_values("session")
    newest = both.groupby("symbol").last()
    agree = newest.index[(newest["close"] / newest["close_known"]).between(0.5, 2.0)]
    first = known["symbol"].map(dated.groupby("symbol")["session"].min())
    before = known[known["session"] <= first].groupby("symbol")["close"].last()
    return {str(symbol): float(close) for symbol, close in before.items() if symbol not in set(agree)}


def _named(finding: Finding, report: Report) -> Finding:
    """The finding with the file that it is about, where a folder was asked for."""
    from dataclasses import replace

    name = Path(report.path).name
    return finding if name in finding.message else replace(finding, message=f"{name}: {finding.message}")
