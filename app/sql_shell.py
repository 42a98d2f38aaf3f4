"""The loop of ``nextclose shell``: lines in, statements out to the fenced child of ``nextclose sql``, answers back."""

from __future__ import annotations

import difflib
import sqlite3
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, TextIO

from app.commands.sql import check_limits, show_rows
from forecasting.errors import InputError, NextcloseError

if TYPE_CHECKING:
    from app.common import Tabular
    from storage.home import Home

_PROMPTS = ("nextclose> ", "      ...> ")
_HELP = {
    ".tables": "the views, and what one row of each is",
    ".columns VIEW": "the columns of a view, and what they mean",
    ".table, .csv, .json": "how to answer from now on",
    ".limit N": "most rows to answer with",
    ".timeout SECONDS": "the longest that a statement may take",
    ".help": "this",
    ".quit": "as Ctrl-D",
}
_WORDS = (
    "SELECT", "DISTINCT", "COUNT(*)", "FROM", "JOIN", "USING", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "DESCRIBE",
)  # fmt: skip


class Shell:
    """One sitting. ``common`` says how answers look; ``.csv`` and its like change that on the way."""

    def __init__(self, home: Home, common: Tabular, limit: int, timeout: float) -> None:
        self.home, self.common, self.limit, self.timeout = home, common, limit, timeout

    def run(self, source: TextIO) -> int:
        """Everything that ``source`` says; 0, or the code of the first error where nobody sits before it."""
        person = source.isatty()
        if person:
            self._greet()
        for text in self._typed() if person else self._read(source):
            try:
                if self.told(text) is False:
                    break
                sys.stdout.flush()
            except NextcloseError as error:
                print(f"nextclose: {error}", file=sys.stderr)
                if not person:
                    return error.exit_code
            except KeyboardInterrupt:
                print("stopped", file=sys.stderr)
        return 0

    def told(self, text: str) -> bool | None:
        """Do what one statement or one word for the shell says; False when it is to end."""
        from storage.sql import run_sql

        if not text:
            return None
        if _for_the_shell(text):
            return self._word(text.rstrip(";").strip().lstrip(".").split())
        show_rows(self.common, run_sql(self.home, text, limit=self.limit, timeout=self.timeout))
        return None

    def _word(self, words: list[str]) -> bool | None:
        name, value = (words[0].lower() if words else "help"), (words[1] if len(words) > 1 else "")
        if name in ("quit", "exit"):
            return False
        if name in ("table", "csv", "json"):
            self.common = replace(self.common, json=False, csv=False)
            self.common = replace(self.common, **({} if name == "table" else {name: True}))
        elif name in ("limit", "timeout"):
            self._bound(name, value)
        elif name in ("tables", "columns", "help"):
            {"tables": self._tables, "columns": lambda: self._columns(value), "help": self._help}[name]()
        else:
            known = ["tables", "columns", "table", "csv", "json", "limit", "timeout", "help", "quit"]
            near = difflib.get_close_matches(name, known, n=1)
            raise InputError(
                f".{name} is no word of the shell; " + (f"did you mean .{near[0]}?" if near else ".help lists them")
            )
        return None

    def _bound(self, name: str, value: str) -> None:
        try:
            number = int(value) if name == "limit" else float(value)
        except ValueError:
            raise InputError(f".{name} {value!r}: a number, such as .{name} 100") from None
        check_limits(*((number, self.timeout) if name == "limit" else (self.limit, number)))
        setattr(self, name, number)

    def _tables(self) -> None:
        from app.printing import table
        from storage.views import all_views

        rows = [(view.title, view.about) for view in sorted(all_views(), key=lambda view: view.name)]
        table(("view", "one row is"), rows, left=("view", "one row is"))

    def _columns(self, name: str) -> None:
        from app.printing import table
        from storage.views import all_views
        from tasks.settings_values import nearest

        found = {view.name: view for view in all_views()}
        if name not in found:
            raise InputError(f"there is no view {name!r}{nearest(name, list(found))}")
        table(("column", "meaning"), list(found[name].columns.items()), left=("column", "meaning"))

    def _help(self) -> None:
        from app.printing import table

        table(("word", "what it does"), list(_HELP.items()), left=("word", "what it does"))

    def _greet(self) -> None:
        from app.printing import say

        say(f"{self.home.path}, read-only. A statement ends with a semicolon; .tables, .help, .quit")

    def _read(self, source: TextIO) -> Iterator[str]:
        """The statements of a file or a pipe."""
        waiting = ""
        for line in source:
            if not waiting and _for_the_shell(line):
                yield line.strip()
                continue
            waiting += line
            if sqlite3.complete_statement(waiting):
                yield waiting.strip()
                waiting = ""
        if waiting.strip():
            yield waiting.strip()

    def _typed(self) -> Iterator[str]:
        """The statements of a person, who may take a line back with Ctrl-C and end with Ctrl-D."""
        _complete_names()
        waiting = ""
        while True:
            try:
                line = input(_PROMPTS[bool(waiting)])
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                print()
                waiting = ""
                continue
            if not waiting and (not line.strip() or _for_the_shell(line)):
                yield line.strip()
                continue
            waiting += line + "\n"
            if sqlite3.complete_statement(waiting):
                yield waiting.strip()
                waiting = ""


def _for_the_shell(line: str) -> bool:
    """Whether it is a word for the shell and no SQL."""
    return line.lstrip().startswith(".") or line.strip().rstrip(";").lower() in ("quit", "exit", "help")


def _complete_names() -> None:
    """Let the tabulator complete views and columns, and the arrows bring back lines, where Python has readline."""
    try:
        import readline
    except ImportError:
        return
    from storage.views import all_views

    names = {name for view in all_views() for name in (view.name, *view.columns)}
    words = sorted({*names, *_WORDS, *(word.split()[0] for word in _HELP)})

    def complete(text: str, state: int) -> str | None:
        found = [word for word in words if word.lower().startswith(text.lower())]
        return found[state] if state < len(found) else None

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n,()=<>;'\"")
    readline.parse_and_bind("bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete")
