"""``nextclose quality``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from app.common import TABULAR, Tabular

if TYPE_CHECKING:
    from forecasting.quality.thresholds import QualityThresholds
    from forecasting.quality.verdicts import Finding

REJECTED = 4  # the code of an error about data
_SHOWN = 200  # findings that a table for people holds; programs get all
_MANY = 20  # symbols beyond which a table for people has one row a rule
_COLUMNS = ("path", "rule", "severity", "symbol", "sessions", "message")
_COUNTS = ("symbol", "received", "kept", "merged", "quarantined", "warned")


def quality(
    *,
    prices: Annotated[
        list[Path] | None,
        Parameter(consume_multiple=True, help="CSV, Parquet or Excel files, or folders of them. Default: what is stored."),
    ] = None,
    option: Annotated[
        list[str] | None,
        Parameter(consume_multiple=True, help="An option of the source files, name=value; may be repeated."),
    ] = None,
    second: Annotated[Path | None, Parameter(help="The same symbols from another source, to compare with.")] = None,
    strict: Annotated[bool, Parameter(help="End with the code 4 also where something has to be set aside.")] = False,
    common: Tabular = TABULAR,
) -> int:
    """Check price files, or what is stored: a verdict for each, with the rule, the rows and the reason.

    The code is 4 where a path is rejected. docs/quality.md explains every rule.

    For example:
      nextclose quality --prices TSLA.csv prices/ --json
      nextclose quality --prices VOD.L.csv --second vendor/VOD.L.csv
      nextclose quality
    """
    from app.common import answer
    from forecasting.errors import InputError

    if prices is None:
        if second is not None or option:
            raise InputError("--second and --option go with --prices PATH, the files to check")
        found = _stored(common)
    else:
        found = _checked(prices, option, second, common)
    plain = [_plain(entry) for entry in found]
    findings = [{"path": entry["path"], **finding} for entry in plain for finding in entry["findings"]]
    answer(common, {"files": plain}, lambda: [_show(entry) for entry in found], findings, _COLUMNS)
    failing = {"reject", "quarantine"} if strict else {"reject"}
    return REJECTED if any(entry["verdict"] in failing for entry in found) else 0


def _checked(prices: list[Path], option: list[str] | None, second: Path | None, common: Tabular) -> list[dict[str, Any]]:
    from app.asking import options_from
    from storage.home import Home
    from tasks.checking import check_path
    from tasks.clock import now_utc

    options, thresholds, now = options_from(option), _thresholds(common), now_utc()
    other, home = second and second.expanduser(), Home(common.path)
    found = []
    for path in prices:
        report = check_path(path.expanduser(), options, now, thresholds, other, home)
        counts = [{name: getattr(account, name) for name in _COUNTS} for account in report.accounts]
        entry = {"path": str(path), "verdict": report.verdict, "findings": report.findings, "accounts": counts}
        found.append({**entry, "notes": report.notes})
    return found


def _thresholds(common: Tabular) -> QualityThresholds:
    """Those of the settings of the home, or the defaults where there is none."""
    import os

    from storage.home import Home
    from tasks.settings import read_settings

    return read_settings(Home(common.path).settings, os.environ).quality


def _stored(common: Tabular) -> list[dict[str, Any]]:
    """The newest account and findings of each source and symbol in the store, one entry a source."""
    from storage.quality_report import quality_report
    from storage.snapshot import open_snapshot

    with open_snapshot(common.opened()) as con:
        return quality_report(con, str(common.path))


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    """The entry as programs get it."""
    findings = [{name: getattr(finding, name) for name in _COLUMNS[1:]} for finding in entry["findings"]]
    return {"path": entry["path"], "verdict": entry["verdict"], "findings": findings}


def _show(entry: dict[str, Any]) -> None:
    from app.printing import counted, say, table

    say(f"{entry['path']}: {entry['verdict']}")
    if counts := entry["accounts"]:
        total = {name: sum(c[name] for c in counts) for name in counts[0] if name != "symbol"}
        said = ", ".join(f"{number:,} {name}" for name, number in total.items())
        say(f"  {counted(len(counts), 'symbol')}, rows: {said}")
    for note in entry["notes"]:
        say(f"  {note}")
    findings = entry["findings"]
    if len({f.symbol for f in findings}) > _MANY:
        _show_by_rule(findings)
    elif findings:
        rows = [(f.rule, f.severity, f.symbol or "-", *_span(f.sessions), f.message) for f in findings[:_SHOWN]]
        words = ("rule", "severity", "symbol", "in words")
        table(("rule", "severity", "symbol", "sessions", "first", "last", "in words"), rows, left=words)
        if len(findings) > _SHOWN:
            say(f"  and {len(findings) - _SHOWN} more; --json lists all")
    say()


def _show_by_rule(findings: Sequence[Finding]) -> None:
    """Many symbols: one row a rule, the gravest and the most frequent first, with one symbol for example."""
    from app.printing import say, table
    from forecasting.quality.verdicts import SEVERITIES

    groups: dict[tuple[str, str], list[Finding]] = {}
    for finding in findings:
        groups.setdefault((finding.rule, finding.severity), []).append(finding)
    ranked = sorted(groups.items(), key=lambda item: (-SEVERITIES.index(item[0][1]), -len(item[1]), item[0]))
    rows = [
        (rule, severity, len(found), sum(f.rows for f in found), found[0].symbol or "-", found[0].message)
        for (rule, severity), found in ranked
    ]
    table(
        ("rule", "severity", "symbols", "rows", "example", "in words"), rows, left=("rule", "severity", "example", "in words")
    )
    say("  --json lists every symbol and session")


def _span(sessions: Sequence[date]) -> tuple[int | None, date | None, date | None]:
    return len(sessions) or None, sessions[0] if sessions else None, sessions[-1] if sessions else None
