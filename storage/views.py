"""The public views: one file a view in storage/views, with each column explained in the file's head.

A file whose head names a parameter, ``prices_as_of(as_of)``, is a table macro: the same, as it was known at an instant.

The head of a view file is a comment:

    -- view_name: what one row is.
    --   column: what it means, its unit.

From it come the comments inside the database, docs/data-model.md, and the test that every column is explained.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

VIEWS = Path(__file__).parent / "views"
# A view may read one that comes before it; the rest are alphabetical.
ORDER = (
    "prices_as_of", "actions_as_of", "universe_as_of", "macro_as_of", "prices_adjusted_as_of",
    "prices", "prices_adjusted", "forecasts",
)  # fmt: skip


@dataclass(frozen=True)
class View:
    name: str
    about: str
    columns: dict[str, str]
    sql: str
    parameters: tuple[str, ...] = ()  # of a table macro

    @property
    def title(self) -> str:
        """The name as it is called."""
        return f"{self.name}({', '.join(self.parameters)})" if self.parameters else self.name


@cache
def all_views(folder: Path = VIEWS) -> tuple[View, ...]:
    """Every view, in the order of creation."""
    paths = {path.stem: path for path in sorted(folder.glob("*.sql"))}
    names = [name for name in ORDER if name in paths] + [name for name in sorted(paths) if name not in ORDER]
    return tuple(_parsed(name, paths[name].read_text(encoding="utf-8")) for name in names)


def _parsed(name: str, text: str) -> View:
    head, body = [], []
    for line in text.splitlines():
        (head if not body and line.startswith("--") else body).append(line)
    about, columns, last = "", {}, None
    for line in head:
        content = line[2:].rstrip()
        column = re.fullmatch(r"   (\w+): (.+)", content)
        if column:
            last = column[1]
            columns[last] = column[2]
        elif last is not None:
            columns[last] += " " + content.strip()
        else:
            about += " " + content.strip()
    about = about.strip()
    named = re.fullmatch(rf"{name}(?:\((\w+(?:, \w+)*)\))?: (.+)", about)
    if not named:
        raise ValueError(f"{name}.sql must begin with `-- {name}: what one row is`")
    parameters = tuple(named[1].split(", ")) if named[1] else ()
    return View(name, named[2], columns, "\n".join(body).strip().rstrip(";"), parameters)


def view_statements() -> list[str]:
    """The SQL that creates all views and explains their columns inside the database."""
    statements = []
    for view in all_views():
        if view.parameters:
            given = ", ".join(view.parameters)
            statements.append(f"CREATE OR REPLACE MACRO main.{view.name}({given}) AS TABLE\n{view.sql}")
            statements.append(f"COMMENT ON MACRO TABLE main.{view.name} IS {_quoted(view.about)}")
            continue
        statements.append(f"CREATE OR REPLACE VIEW main.{view.name} AS\n{view.sql}")
        statements.append(f"COMMENT ON VIEW main.{view.name} IS {_quoted(view.about)}")
        statements += [f'COMMENT ON COLUMN main.{view.name}."{c}" IS {_quoted(text)}' for c, text in view.columns.items()]
    return statements


def views_digest() -> str:
    return hashlib.sha256("\n".join(view_statements()).encode()).hexdigest()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
