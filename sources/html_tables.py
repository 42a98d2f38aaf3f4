"""The tables of a web page as text; scripts and footers are left out.

The tags are told apart here and not by html.parser, which took seven minutes for 150 KB of ``<a `` (Python 3.11): a page may
be hostile, and this way takes time in proportion to its length whatever is in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape

from sources import spelling

_MOST_CELLS = 2_000_000
_SILENT = ("script", "style", "template", "noscript", "svg", "textarea", "title")
_TAG = re.compile(r"</?([a-zA-Z][a-zA-Z0-9-]*)")
_TO_ITS_END = re.compile(r"""(?:[^>"']|"[^"]*"|'[^']*')*+>""")
_KNOWN = {form for forms in spelling.SPELLINGS.values() for form in forms}


@dataclass
class HtmlTable:
    """``header``: the column names; ``rows``: the cells of each row below it, a cell over several columns once; ``place``:
    the number of each row in the table, the header's being 1 or more."""

    header: list[str]
    rows: list[list[str]] = field(default_factory=list)
    place: list[int] = field(default_factory=list)


def html_tables(text: str) -> list[HtmlTable]:
    """All tables of the page that have a header row, in its order; of nested ones each for itself."""
    reader = _Reader()
    for kind, what in _tokens(text):
        if kind == "text":
            reader.text(what)
        elif kind == "start":
            reader.start(what)
        else:
            reader.end(what)
    tables = []
    for raw in reader.tables:
        rows = [(n, row) for n, row in enumerate(raw, start=1) if any(cell.text for cell in row)]
        at = next((i for i, (_, row) in enumerate(rows) if len(row) > 1 and _is_header(row)), None)
        if at is not None:
            below = rows[at + 1 :]
            header = [cell.name for cell in rows[at][1]]
            tables.append(HtmlTable(header, [[cell.text for cell in row] for _, row in below], [n for n, _ in below]))
    return tables


@dataclass
class _Cell:
    head: bool
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return " ".join("".join(self.parts).split())

    @property
    def name(self) -> str:
        """A column's name. Some pages put an explanation into the same cell ("Close Close price adjusted for splits.")."""
        whole = self.text.strip(" *")
        if spelling.plain(whole) in _KNOWN:
            return whole
        first = next((" ".join(part.split()) for part in self.parts if part.strip()), "").strip(" *")
        return first if spelling.plain(first) in _KNOWN else whole


def _is_header(row: list[_Cell]) -> bool:
    """Header cells, or the names of a date and of another column that we know."""
    names = {spelling.plain(cell.name) for cell in row} & (_KNOWN - {""})
    return all(cell.head for cell in row) or ("date" in names and len(names) > 1)


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    """('start' or 'end', tag's name) and ('text', what stands between tags), in the order of the page."""
    at = 0
    while at < len(text):
        begin = text.find("<", at)
        if begin < 0:
            begin = len(text)
        if begin > at:
            yield "text", unescape(text[at:begin])
        if begin == len(text):
            return
        tag = _TAG.match(text, begin)
        if tag is None:
            if text.startswith("<!--", begin):
                end = text.find("-->", begin + 4) + 3
            elif text[begin + 1 : begin + 2] in ("!", "?", "/"):
                end = text.find(">", begin) + 1
            else:
                yield "text", "<"
                end = begin + 1
            if end <= begin:
                return  # it never ends, so the rest is part of it
            at = end
            continue
        whole = _TO_ITS_END.match(text, tag.end())
        at = whole.end() if whole else text.find(">", tag.end()) + 1  # a quote that never ends is none
        if at <= begin:
            return
        name = tag[1].lower()
        if text[begin + 1] == "/":
            yield "end", name
        elif name in _SILENT:
            if text[at - 2] != "/":
                close = re.compile(f"</{name}", re.IGNORECASE).search(text, at)
                if close is None:
                    return
                at = close.start()
        else:
            yield "start", name


class _Reader:
    def __init__(self) -> None:
        self.tables: list[list[list[_Cell]]] = []
        self._open: list[list[list[_Cell]]] = []  # nested tables, the innermost last
        self._cell: list[_Cell | None] = []
        self._foot = 0
        self._cells = 0

    def start(self, tag: str) -> None:
        if tag == "table":
            table: list[list[_Cell]] = []
            self.tables.append(table)
            self._open.append(table)
            self._cell.append(None)
        elif not self._open:
            return
        elif tag == "tfoot":
            self._foot += 1
        elif tag == "tr":
            self._cell[-1] = None
            self._open[-1].append([])
        elif tag in ("td", "th") and not self._foot and self._cells < _MOST_CELLS:
            if not self._open[-1]:
                self._open[-1].append([])
            self._cells += 1
            self._cell[-1] = _Cell(tag == "th")
            self._open[-1][-1].append(self._cell[-1])
        elif tag == "br":
            self.text(" ")

    def end(self, tag: str) -> None:
        if not self._open:
            return
        if tag == "table":
            self._open.pop()
            self._cell.pop()
        elif tag == "tfoot":
            self._foot = max(0, self._foot - 1)
        elif tag in ("td", "th", "tr"):
            self._cell[-1] = None

    def text(self, data: str) -> None:
        if self._open and self._cell[-1] is not None:
            self._cell[-1].parts.append(data)
