"""``nextclose shell``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def shell(
    *,
    limit: Annotated[int, Parameter(help="Most rows that a statement is answered with.")] = 1000,
    timeout: Annotated[float, Parameter(help="Most seconds that a statement may take.")] = 30.0,
    common: Tabular = TABULAR,
) -> int:
    """Ask the published tables one thing after the other, read-only, until Ctrl-D.

    A statement ends with a semicolon and may go over several lines; each sees the newest publish. The tabulator completes
    names of views and columns, the arrows bring back what was typed, .help lists what else the shell knows. Each statement runs
    in a process of its own that can neither write nor read files and is stopped when it takes too long or too much memory.

    Statements can also come from a file or a pipe; the first that is refused then ends it, with the code 2.

    For example:
      nextclose shell
      echo "FROM scoreboard;" | nextclose shell --csv
    """
    import sys

    from app.commands.sql import check_limits
    from app.sql_shell import Shell
    from forecasting.errors import StorageError

    check_limits(limit, timeout)
    home = common.opened()
    if not home.snapshot.exists():
        raise StorageError(f"nothing is published in {home.path} yet; run `nextclose run` or `nextclose demo` first")
    return Shell(home, common, limit, timeout).run(sys.stdin)
