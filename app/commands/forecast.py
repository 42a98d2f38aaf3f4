"""``nextclose forecast``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def forecast(
    symbol: Annotated[str, Parameter(help="The ticker, as the exchange writes it.")],
    /,
    *,
    rivals: Annotated[bool, Parameter(help="Also what the other forecasters said.")] = False,
    common: Tabular = TABULAR,
) -> int:
    """The latest forecast of a symbol.

    For example:
      nextclose forecast TSLA
      nextclose forecast BRK-B --rivals --json
    """
    from app.common import answer, records
    from forecasting.errors import InputError
    from forecasting.symbols import normalise_symbol
    from storage.reading import freshness, symbol_accuracy, symbol_forecast
    from storage.snapshot import open_snapshot

    name = normalise_symbol(symbol)
    with open_snapshot(common.opened()) as con:
        rows = records(symbol_forecast(con, name))
        if not rows:
            known = [row["symbol"] for row in records(freshness(con))]
            ask = f"`nextclose run --symbols {name}` makes one"
            raise InputError(f"there is no forecast for {name} in {common.path}{_nearest(name, known)} ({ask})")
        accuracy = records(symbol_accuracy(con, name))
    served = [row for row in rows if row["serving"]]
    shown = rows if rivals else served
    told = {"symbol": name, "origin": rows[0]["origin"], "forecasts": shown, "accuracy": accuracy}
    answer(common, told, lambda: _show(name, shown, accuracy, rivals), [{"symbol": name, **row} for row in shown])
    return 0


def _show(symbol: str, rows: list[dict[str, Any]], accuracy: list[dict[str, Any]], rivals: bool) -> None:
    from app.printing import money, percent, say, table

    first = rows[0]
    after = "" if first["mode"] == "live" else ", made after the fact (backfill)"
    say(f"{symbol} closed at {money(first['close'])} on {first['origin']}; forecast from there{after}")
    say()
    columns = (
        "ahead",
        "target",
        *(("by",) if rivals else ()),
        "5 %",
        "25 %",
        "median",
        "75 %",
        "95 %",
        "80 % interval",
        "P(up)",
    )
    shown = []
    for row in rows:
        by = ((row["forecaster"] + (" *" if row["serving"] else "")),) if rivals else ()
        quantiles = tuple(money(row[q]) for q in ("q05", "q25", "q50", "q75", "q95"))
        interval = f"{money(row['q10'])} .. {money(row['q90'])}"
        shown.append((row["horizon"], row["target_session"], *by, *quantiles, interval, percent(row["p_up"], 0)))
    table(columns, shown)
    if rivals:
        say("* serves")
    else:
        say(f"by {first['forecaster']} of model {first['model_id'][:16]}, issued {first['issued_at']:%Y-%m-%d %H:%M} UTC")
    _show_accuracy(symbol, accuracy)


def _show_accuracy(symbol: str, accuracy: list[dict[str, Any]]) -> None:
    from app.printing import percent, say

    for row in accuracy:
        if row.get("n"):
            say(
                f"{row['horizon']} ahead, {row['mode']}: of {row['n']} settled forecasts of {symbol} the 80 % interval held "
                f"{percent(row.get('coverage_80'))}"
            )


def _nearest(symbol: str, known: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(symbol, known, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; it holds {', '.join(sorted(known)[:8])}" if known else "; run `nextclose run` first"
