"""The data dictionary of the features: the generated part of docs/features.md.

python -m forecasting.features.page docs/features.md     write it anew below the mark
"""

from __future__ import annotations

import sys
from pathlib import Path

from forecasting.features import WHOLE_HISTORY, describe
from forecasting.features.sets import SETS, expand

MARK = "<!-- below: written by `python -m forecasting.features.page docs/features.md` -->"
HEAD = "| feature | definition | made of | warm-up | memory | version |\n|---|---|---|---|---|---|\n"
TITLES = {
    "default": "what a specification reads that names none",
    "classical": "the indicators of the chart books, checked against TA-Lib",
    "volatility": "how much a symbol moves, by several measures at several speeds",
    "liquidity": "how much is traded, and how far that moves the price",
    "calendar": "what day it is on the symbol's exchange",
    "market": "the symbol within its market",
    "macro": "rates, credit, dollar, oil and the VIX, by release date",
    "events": "what happened about a quarter and a year ago",
}


def page() -> str:
    """The generated part, Markdown: a table a set, then every name there is."""
    total = len(expand(["set:all"]))
    parts = [f"## The sets\n\n`set:all` are all of them, {total} features.\n"]
    for name, members in SETS.items():
        title, rows = (
            TITLES.get(name, name),
            "".join(_row(*row) for row in describe(members).drop(columns="group").itertuples(index=False)),
        )
        parts.append(f"### set:{name}\n\n{title[0].upper()}{title[1:]}.\n\n{HEAD}{rows}")
    every = describe()
    every = every[every["group"] != "user"].drop(columns="group")
    rows = "".join(_row(*row) for row in every.itertuples(index=False))
    parts.append(
        "## Every name\n\nn stands for a count of sessions, 1 to 9999, and SERIES for a macro series in capitals: `rsi_14`, "
        f"`macro_DGS10`.\n\n{HEAD}{rows}"
    )
    return "\n".join(parts)


def _row(name: str, version: int | str, definition: str, inputs: str, warm_up: str, memory: str) -> str:
    whole = "whole history" if memory == str(WHOLE_HISTORY) else memory
    return f"| `{name}` | {definition.replace('|', chr(92) + '|')} | {inputs} | {warm_up} | {whole} | {version} |\n"


def write(file: Path) -> None:
    """Replace what is below the mark in ``file``."""
    above = file.read_text(encoding="utf-8").partition(MARK)[0]
    file.write_text(f"{above}{MARK}\n\n{page()}", encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
