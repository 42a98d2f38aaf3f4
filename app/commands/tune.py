"""``nextclose tune``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from app.common import TABULAR, Tabular

if TYPE_CHECKING:
    from storage.home import Home


def tune(
    study: Annotated[str | None, Parameter(help="First digits of a search that was made: shows it, and tries nothing.")] = None,
    /,
    *,
    trials: Annotated[int | None, Parameter(help="Specifications to try beside the one in use. Default: 30.")] = None,
    minutes: Annotated[float | None, Parameter(help="No trial begins after this long. Default: no bound.")] = None,
    sampler: Annotated[Literal["grid", "tpe"] | None, Parameter(help="How the next trial is chosen. Default: tpe.")] = None,
    space: Annotated[
        Path | None, Parameter(help="TOML or JSON file of what may change. Default: that of the settings.")
    ] = None,
    origin: Annotated[date | None, Parameter(help="Last session that counts as known. Default: the last stored.")] = None,
    adopt: Annotated[bool, Parameter(help="Put the best specification into the settings.")] = False,
    show: Annotated[int, Parameter(help="Trials shown, the best first.")] = 15,
    prefect: Annotated[bool, Parameter(help="Run as a flow run of the Prefect server in use.")] = False,
    common: Tabular = TABULAR,
) -> int:
    """Search for a better network on validation sessions, every trial kept; or look at a search.

    For example:
      nextclose tune --trials 20
      nextclose tune --sampler grid --space space.toml --minutes 60
      nextclose tune 3f9a --adopt
    """
    from app.common import answer

    if study is not None:
        report = _stored(common.opened(), study, adopt)
    else:
        from app.asking import asked, execute
        from flows.parameters import Tune
        from flows.tune import tune as flow

        request = asked(
            Tune, home=str(common.path), trials=trials, minutes=minutes, sampler=sampler, origin=origin, adopt=adopt,
            space=None if space is None else str(space.expanduser().absolute()),
        )  # fmt: skip
        report = execute(flow, request, prefect, quiet=common.quiet)
    answer(common, report, lambda: _show(report, max(show, 1)), report["trials"])
    return 0


def _stored(home: Home, study: str, adopt: bool) -> dict[str, Any]:
    """A search as it is stored in the snapshot."""
    from forecasting.errors import InputError
    from storage.snapshot import open_snapshot
    from storage.trials import ranked, trials_of

    with open_snapshot(home) as con:
        rows = trials_of(con, study.lower())
    found = sorted({row["study"] for row in rows})
    if len(found) != 1:
        raise InputError(
            f'{len(found)} searches begin with {study!r}; `nextclose sql "SELECT DISTINCT study FROM trials"` lists them'
        )
    report = ranked(rows)
    if adopt:
        from tasks.adopting import adopt_best

        report["adopted"] = adopt_best(home, report["best"])
    return report


def _show(report: dict[str, Any], most: int) -> None:
    from app.printing import say, signed, table

    shown = [
        (t["number"], t["state"], "-" if t["loss"] is None else f"{t['loss']:.5f}", signed(t["gain"], 2), f"{t['seconds']:.0f}",
         _in_words(t["changes"]) if t["number"] else "the specification in use", t["reason"] or "")
        for t in report["trials"][:most]
    ]  # fmt: skip
    told = any(row[-1] for row in shown)
    columns = ("trial", "state", "loss", "gain", "seconds", "what it changes", "why")
    say()
    table(columns if told else columns[:-1], shown if told else [row[:-1] for row in shown],
          "Validation loss over that of the EWMA rival, and what is saved against the specification in use",
          left=("state", "what it changes", "why"))  # fmt: skip
    hidden = len(report["trials"]) - len(shown)
    if hidden > 0:
        say(f"and {hidden} more; `nextclose tune {report['study'][:8]} --show 1000` shows them")
    say()
    best = report["best"]
    if best is None:
        say(f"Study {report['study']}: no trial could be completed.")
    elif best["number"] == 0:
        say(f"Study {report['study']}: nothing that was tried beats the specification in use.")
    elif "adopted" not in report:
        ask = f"nextclose tune {report['study'][:8]} --adopt"
        say(f"Study {report['study']}: trial {best['number']} is the best; `{ask}` puts it into the settings.")
    if report.get("adopted"):
        say(f"The settings now say {_in_words(report['adopted'])}; `nextclose retrain` puts a model of it before the gate.")
    elif "adopted" in report and best is not None and best["number"]:
        say("The settings said so before.")


def _in_words(changes: dict[str, Any]) -> str:
    import json

    return ", ".join(f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in changes.items())
