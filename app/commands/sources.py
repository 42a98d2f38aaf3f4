"""``nextclose sources``."""

from __future__ import annotations

import os
from typing import Any

from app.common import TABULAR, Tabular


def sources(*, common: Tabular = TABULAR) -> int:
    """Where prices and macro series can come from: what is configured, budget left, how the last request went.

    For example:
      nextclose sources
      nextclose sources --json
    """
    from app.common import answer
    from tasks.settings_values import read_values

    home = common.opened()
    rows = _rows(read_values(home.settings, os.environ), _asked(home))
    answer(common, {"home": str(common.path), "sources": rows}, lambda: _show(rows), rows)
    return 0


def _asked(home: Any) -> dict[str, dict[str, Any]]:
    """What the log of requests says of each source; empty where there is no database yet."""
    from storage.reading import requests_by_source
    from storage.snapshot import open_newest
    from tasks.clock import now_utc

    with open_newest(home) as con:
        return {} if con is None else requests_by_source(con, now_utc())


def _rows(settings: dict[str, Any], asked: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    from sources.catalogue import CATALOGUE
    from sources.registry import source_names

    known = {about.name for about in CATALOGUE}
    rows = []
    for about in CATALOGUE:
        told = asked.get(about.name, {})
        spent, key = told.get("requests_24h", 0), _key(about)
        limit = None if about.optional and key == "set" else about.per_day
        rows.append({
            "source": about.name, "gives": about.gives, "role": _role(about.name, settings), "key": key,
            "keys": [key.replace("|", " or ") for key in about.keys],
            "requests_24h": spent, "budget_left": None if limit is None else max(0, limit - spent),
            "last_success_at": told.get("last_success_at"), "last_failure_at": told.get("last_failure_at"),
            "last_failure": told.get("last_failure"), "what": about.text, "aliases": list(about.aliases),
        })  # fmt: skip
    for name in sorted(set(source_names()) - known):
        rows.append({"source": name, "gives": "prices", "role": _role(name, settings), "key": "-", "what": "registered here"})
    return rows


def _role(name: str, settings: dict[str, Any]) -> str:
    """What the settings give the source to do."""
    from sources.registry import proper_name
    from tasks.settings_values import listed

    source, macro = settings.get("source", {}), settings.get("macro", {})
    order = [proper_name(one) for one in (source.get("name", "yahoo"), *listed(source.get("then", [])))]
    own = sorted(symbol for symbol, names in source.get("per_symbol", {}).items() if name in map(proper_name, names))
    said = "configured" if name in settings.get("sources", {}) else ""
    if name in order:
        place = order.index(name)
        said = "first" if place == 0 else "checks, stands in" if place == 1 and source.get("check", True) else "stands in"
    elif name in listed(macro.get("source", [])):
        said = "macro"
    return ", ".join(part for part in (said, f"for {', '.join(own[:3])}" if own else "") if part)


def _key(about: Any) -> str:
    """Whether the environment holds what the source needs: set, missing, optional, or - where it needs none."""
    if not about.keys:
        return "-"
    there = all(any(os.environ.get(name, "").strip() for name in key.split("|")) for key in about.keys)
    return "set" if there else "optional" if about.optional else "missing"


def _show(rows: list[dict[str, Any]]) -> None:
    from app.printing import say, table

    table(
        ("source", "role", "left today", "last success", "last failure", "key"),
        [(r["source"], r["role"] or "-", _left(r), r.get("last_success_at"), r.get("last_failure_at"), r["key"]) for r in rows],
        left=("source", "role", "key"),
    )
    say()
    for row in rows:
        also = f" (also: {', '.join(row['aliases'])})" if row.get("aliases") else ""
        keys = f"; key in {' and '.join(row['keys'])}" if row.get("keys") else ""
        say(f"{row['source']}: {row['what']}{keys}{also}")
    for row in rows:
        if row.get("last_failure"):
            say(f"last failure of {row['source']}: {row['last_failure']}")
    say("Options: docs/sources.md. To use one: nextclose run --source NAME, or [source] in the settings.")


def _left(row: dict[str, Any]) -> str:
    return "no limit" if row.get("budget_left") is None else str(row["budget_left"])
