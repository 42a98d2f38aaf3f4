"""The source that was asked for, from ``--source``, ``--prices`` and ``--option``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.asking import options_from
from forecasting.errors import InputError


def source_of(source: str | None, prices: Path | None, option: list[str] | None) -> tuple[str | None, dict[str, Any]]:
    """The source's name (None: that of the settings) and its options."""
    options = options_from(option)
    if prices is not None:
        if source not in (None, "files"):
            raise InputError(f"--prices goes with --source files, not with --source {source}")
        return "files", {"path": str(prices.expanduser().absolute()), **options}
    if source == "files" and "path" not in options:
        raise InputError("--source files needs --prices PATH, a CSV or Parquet file or a folder of them")
    return source, options
