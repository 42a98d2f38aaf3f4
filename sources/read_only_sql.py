"""Whether a text is one SQL query that only reads. The first of two fences: the second is a connection that cannot write."""

from __future__ import annotations

import re
from collections.abc import Callable

# Words that change something or reach outside; as names of columns they are fine in double quotes.
_WRITES = frozenset(
    "insert update delete merge upsert drop create alter truncate rename grant revoke copy export import attach detach install "
    "load call exec execute do pragma set reset vacuum checkpoint analyze lock into begin commit rollback savepoint".split()
)
_BEGINS = ("select", "with", "from", "values", "table")
_SILENT = re.compile(
    r"'(?:[^']|'')*'"  # text
    r'|"(?:[^"]|"")*"|`[^`]*`|\[[^\]]*\]'  # names in quotes
    r"|\$(\w*)\$.*?\$\1\$"  # Postgres' other text
    r"|--[^\n]*|/\*.*?\*/",
    re.DOTALL,
)
PARAMETERS = ("symbols", "start", "end")
_PARAMETER = re.compile(r"(?<![:\w]):([A-Za-z_]\w*)")


def why_not(query: str) -> str | None:
    """What keeps the text from being one query that only reads; None: nothing.

    >>> why_not("SELECT * FROM prices"), why_not("DROP TABLE prices"), why_not("SELECT 1; DROP TABLE prices")
    (None, 'it begins with DROP', 'it is more than one statement')
    """
    if re.search(r"\\['\"`]", query) or "/*!" in query:
        return "it has a backslash before a quote or a /*! comment, which databases read differently ('' is a quote in a text)"
    bare = bare_of(query).strip()
    if "#" in bare:
        return "it has a # outside of quotes, which some databases read as a comment"
    if re.search(r"['\"`]|/\*", bare):
        return "a quote or comment in it does not end"
    if ";" in bare.rstrip("; \n\t\r"):
        return "it is more than one statement"
    words = [w.lower() for w in re.findall(r"[A-Za-z_]\w*", bare)]
    if not words:
        return "it is empty"
    if words[0] not in _BEGINS:
        return f"it begins with {words[0].upper()}"
    if found := next((w for w in words if w in _WRITES), None):
        return f"it says {found.upper()} (a column of that name goes in double quotes)"
    return None


def bare_of(query: str) -> str:
    """The query without texts, quoted names and comments, each replaced by a blank."""
    return _SILENT.sub(" ", query)


def parameters(query: str) -> frozenset[str]:
    """The names bound with a colon: of :symbols, :start and :end those that occur, and any other."""
    return frozenset(_PARAMETER.findall(bare_of(query)))


def dollar_style(query: str) -> str:
    """The query with ``:name`` written as ``$name``, which is DuckDB's way, but not inside texts and comments."""
    return _mapped(query, lambda sql: _PARAMETER.sub(r"$\1", sql), str)


def colons_escaped(query: str) -> str:
    """The query for ``sqlalchemy.text``, which would take ``:name`` inside texts and comments for a parameter."""
    return _mapped(query, str, lambda text: text.replace(":", r"\:"))


def _mapped(query: str, sql: Callable[[str], str], silent: Callable[[str], str]) -> str:
    """The query with ``sql`` applied to what says something and ``silent`` to texts, quoted names and comments."""
    out, last = [], 0
    for match in _SILENT.finditer(query):
        out += [sql(query[last : match.start()]), silent(match[0])]
        last = match.end()
    return "".join([*out, sql(query[last:])])
