"""``nextclose demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app.common import TABULAR, Tabular

DEMO_HOME = "nextclose-demo"
REPLAY = 60


def demo(*, common: Tabular = TABULAR) -> int:
    """The whole product on the prices that the project carries; no network, no server.

    Five US stocks as traded, 2000 to 2013: trains as of 60 sessions before the last, lets the gate decide, replays those 60
    sessions, scores them, and forecasts from the last one. The data goes into ./nextclose-demo (or --home DIR); run it
    again and nothing changes.

    For example:
      nextclose demo
      nextclose demo --home /tmp/demo --json
    """
    from app.asking import asked, execute, exit_code
    from app.common import answer
    from app.printing import say
    from flows.daily import daily
    from flows.parameters import Daily

    home = (common.home or Path(DEMO_HOME)).expanduser().absolute()
    if not common.quiet:
        say(f"Five US stocks, 2000 to 2013, as the market saw them; everything goes into {home}")
    request = asked(Daily, home=str(home), source="bundled", replay=REPLAY)
    report = execute(daily, request, quiet=common.quiet)
    answer(common, report, lambda: _show(report, home), report["forecasts"])
    return exit_code(report)


def _show(report: dict[str, Any], home: Path) -> None:
    from app.outcome import show_run

    show_run(report)
    _show_scores(home)
    _show_next(home)


def _show_scores(home: Path) -> None:
    from app.commands.scoreboard import show_scoreboard
    from app.printing import say
    from storage.home import Home
    from storage.reading import scoreboard
    from storage.snapshot import open_snapshot

    say()
    with open_snapshot(Home(home)) as con:
        show_scoreboard(scoreboard(con), f"How the last {REPLAY} sessions' forecasts turned out")


def _show_next(home: Path) -> None:
    import shlex

    from app.printing import say

    where = shlex.quote(str(home))
    say()
    say("What to type next (`sh start` in front, from the project's folder, where nextclose is not on the PATH):")
    say(f"  nextclose web --home {where}")
    say(f"  nextclose forecast AAPL --home {where}")
    say(f"  nextclose scoreboard --home {where}")
    say(f"  nextclose sql 'FROM latest_forecasts' --home {where}")
    say("  nextclose run --symbols TSLA,AAPL        the same with today's prices, from Yahoo")
