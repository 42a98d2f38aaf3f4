"""What a run has to say to a person."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from app.printing import money, percent, say, table

_LEFT_OUT = {"merged": "merged as twins", "outside": "left for later", "quarantined": "set aside"}
_ACTED = {
    "retrain": "A challenger is due from the next run on.",
    "fall_back": "The rival serves from now on, a training is due.",
}
MOST_SYMBOLS = 25  # shown of a run; all are in the tables


def show_forecasts(forecasts: list[dict[str, Any]]) -> None:
    """One row a symbol and horizon: close, target session, median, 80 % interval, P(up)."""
    rows = []
    for number, (symbol, group) in enumerate(groupby(forecasts, key=lambda f: f["symbol"])):
        if number == MOST_SYMBOLS:
            break
        for f in group:
            interval = f"{money(f['q10'])} .. {money(f['q90'])}"
            rows.append(
                (symbol, money(f["close"]), f["horizon"], f["target_session"], money(f["q50"]), interval, percent(f["p_up"], 0))
            )
    table(("symbol", "close", "ahead", "target", "median", "80 % interval", "P(up)"), rows, left=("symbol",),
          once=("symbol", "close"))  # fmt: skip
    hidden = len({f["symbol"] for f in forecasts}) - MOST_SYMBOLS
    if hidden > 0:
        say(f"and {hidden} more symbols; see `nextclose forecast SYMBOL` or `nextclose sql 'FROM latest_forecasts'`")


def show_serving(report: dict[str, Any]) -> None:
    """Who serves and why, and how the gate decided, in a sentence each."""
    serving, decision = report.get("serving"), report.get("decision")
    if serving:
        since = f"{serving['forecaster']} of model {serving['model_id'][:16]} serves since {serving['since']}"
        say(f"{since}: {_sentence(serving['reason'])}")
    for found in report.get("drift", []):
        if found["action"] != "none":
            say(f"Drift: {_sentence(found['sentence'])} {_ACTED[found['action']]}")
    if decision:
        passed, checks = sum(c["verdict"] == "pass" for c in decision["checks"]), len(decision["checks"])
        verdict = decision["verdict"].replace("_", " ")
        more = f"`nextclose models {decision['model_id'][:8]}` shows each."
        say(f"The gate of {decision['origin']}: {decision['challenger']} {verdict}, {passed} of {checks} checks passed; {more}")
        if decision.get("approval") == "pending":
            say(f"It waits for a yes: `nextclose promote {decision['model_id'][:8]} --reason TEXT`, with --reject for a no.")


def show_refused(report: dict[str, Any]) -> None:
    """Each symbol that got no forecast, with its reason."""
    refused = report.get("refused", [])
    for entry in refused[:MOST_SYMBOLS]:
        say(f"no forecast for {entry['symbol']}: {entry['message']}")
    if len(refused) > MOST_SYMBOLS:
        say(f"and {len(refused) - MOST_SYMBOLS} more; see `nextclose sql \"FROM quarantine WHERE severity = 'refused'\"`")


def show_account(report: dict[str, Any]) -> None:
    """What became of the rows that came in, and which rules had something to say."""
    quality = report.get("quality") or {}
    rows = quality.get("rows")
    if not rows:
        return
    parts = [f"{rows['stored']:,} stored", f"{rows['unchanged']:,} unchanged", f"{rows['revised']:,} revised"]
    parts += [f"{rows[name]:,} {word}" for name, word in _LEFT_OUT.items() if rows[name]]
    say(f"{rows['received']:,} rows came in: {', '.join(parts)}")
    grave = [rule for rule in quality["rules"] if rule["severity"] != "warn"]
    for rule in grave[:5]:
        say(f"  {rule['severity']} {rule['rule']}: {rule['rows']:,} rows of {rule['symbols']:,} symbols; {rule['example']}")
    odd = len(quality["rules"]) - len(grave)
    if odd or len(grave) > 5:
        say("  see `nextclose quality` for every rule and symbol")


def show_run(report: dict[str, Any]) -> None:
    """The whole outcome of a run."""
    say()
    if report["forecasts"]:
        mode = "" if all(f["mode"] == "live" for f in report["forecasts"]) else ", made after the fact (backfill)"
        say(f"Forecasts from the close of {report['origin']}{mode}")
        say()
        show_forecasts(report["forecasts"])
        say()
    show_serving(report)
    show_account(report)
    show_refused(report)
    done = "was done before, nothing changed" if report["already_done"] else report["status"]
    say(f"Run {report['run_id']} {done}; content digest {report['digest'][:16]}")


def _sentence(text: str) -> str:
    text = text.strip()
    return text if text.endswith(".") else text + "."
