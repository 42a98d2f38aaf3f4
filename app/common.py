"""What all commands share: where the data is, how to answer, and the settings that the environment holds."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

if TYPE_CHECKING:
    from storage.home import Home

DEFAULT_HOME = "nextclose-home"


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command."""

    home: Annotated[Path | None, Parameter(help="Folder of the data. Default: NEXTCLOSE_HOME, else ./nextclose-home.")] = None
    json: Annotated[bool, Parameter(help="Answer in JSON on one line, for programs.")] = False

    @property
    def quiet(self) -> bool:
        """Whether a program reads the answer, so that progress is not shown."""
        return self.json

    @property
    def path(self) -> Path:
        return Path(self.home or os.environ.get("NEXTCLOSE_HOME") or DEFAULT_HOME).expanduser().absolute()

    def opened(self) -> Home:
        """The home for reading; says what to do where there is none."""
        from storage.home import Home

        return Home(self.path)


@Parameter(name="*")
@dataclass(frozen=True)
class Tabular(Common):
    """Options of every command that answers with a table."""

    csv: Annotated[bool, Parameter(help="Answer with the table as CSV, for programs and spreadsheets.")] = False

    def __post_init__(self) -> None:
        if self.json and self.csv:
            from forecasting.errors import InputError

            raise InputError("--json and --csv are two ways to answer; leave one of them out")

    @property
    def quiet(self) -> bool:
        return self.json or self.csv


COMMON, TABULAR = Common(), Tabular()


def answer(
    common: Common, value: Any, show: Callable[[], object], rows: Iterable[dict[str, Any]] = (), columns: Sequence[str] = ()
) -> None:
    """Answer as it was asked for: with ``--json`` ``value`` on one line; with ``--csv`` the ``rows`` under the names of their
    values (``columns`` where there may be no row); else what ``show`` prints."""
    if common.json:
        print_json(value)
    elif common.quiet:
        print_csv(list(rows), columns)
    else:
        show()


def print_csv(rows: Sequence[dict[str, Any]], columns: Sequence[str] = ()) -> None:
    """Rows as CSV with a head; what a spreadsheet would run as a formula stays text."""
    from app.csv_text import as_csv

    names = list(dict.fromkeys([*columns, *(name for row in rows for name in row)]))
    sys.stdout.write(as_csv(names, ([row.get(name) for name in names] for row in rows), end="\n").decode())


def print_json(value: Any) -> None:
    """One line of JSON, at once: dates as ISO text, numbers that are not finite as null, keys in the order given."""
    sys.stdout.write(json.dumps(plain(value), allow_nan=False, ensure_ascii=False) + "\n")
    sys.stdout.flush()  # a program that reads it may wait for it while we go on, as `nextclose web` does


def plain(value: Any) -> Any:
    """``value`` as JSON can hold it."""
    if isinstance(value, dict):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    return value


def records(rows: Any) -> list[dict[str, Any]]:
    """The Rows of ``storage.reading`` as one dict a row."""
    return [dict(zip(rows.columns, row, strict=True)) for row in rows.rows]


def split_symbols(texts: list[str] | None) -> list[str] | None:
    """'TSLA,AAPL' and 'TSLA AAPL' and repeated options all name two symbols; SymbolError for what is none."""
    from forecasting.symbols import normalise_symbols

    if texts is None:
        return None
    parts = [part for text in texts for part in text.replace(",", " ").split()]
    return list(normalise_symbols(parts or [""]))
