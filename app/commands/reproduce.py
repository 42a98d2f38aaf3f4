"""``nextclose reproduce``."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from app.common import TABULAR, Tabular

if TYPE_CHECKING:
    from tasks.reproducing import Reproduction


def reproduce(
    forecast: Annotated[str, Parameter(help="First digits of a forecast's id, or the ticker.")],
    origin: Annotated[date | None, Parameter(help="With a ticker: the session that was forecast from.")] = None,
    horizon: Annotated[int | None, Parameter(help="Sessions ahead. Default: every horizon.")] = None,
    forecaster: Annotated[str | None, Parameter(help="Whose forecast. Default: whoever served.")] = None,
    /,
    *,
    common: Tabular = TABULAR,
) -> int:
    """Make a forecast of the ledger again: the same bits, or the reason why not.

    It is made from the data that were known when it was issued and from the model folder that it names; the chances of the
    fifths, where they were issued at that horizon, from the forecasts of all symbols that were ranked together. The code is 0
    where every bit is the same, 12 where one is not, 8 where the model folder is missing or was changed.

    For example:
      nextclose reproduce AAPL 2013-02-01 5
      nextclose reproduce AAPL 2013-02-01 5 ewma --json
      nextclose reproduce AAPL 2013-02-01 20 joint_bootstrap
      nextclose reproduce b18f38819d4e
    """
    import os

    from app.common import answer
    from storage.snapshot import open_snapshot
    from tasks.own_features import use_own_features
    from tasks.reproducing import OTHER_BITS, SAME_BITS, as_it_was
    from tasks.reproducing import reproduce as again
    from tasks.reproducing_ranks import reproduce_ranks
    from tasks.settings import read_settings

    home = common.opened()
    settings = read_settings(home.settings, os.environ)
    use_own_features(settings, home)
    minutes = settings.source.final_after_minutes
    with open_snapshot(home) as con:
        rows, ranks_alone = _chosen(con, forecast, origin, horizon, forecaster)
        then = as_it_was(con, home, rows[0], minutes)
        found = [] if ranks_alone else [(row, again(con, then, row)) for row in rows]
        ranks = [one for row in rows for one in reproduce_ranks(con, then, row, forecaster if origin else row["forecaster"])]
    told = {"forecasts": [_plain(*one) for one in found], "ranks": [_plain(*one) for one in ranks]}
    answer(common, told, lambda: [_show(*one) for one in (*found, *ranks)], _numbers(told))
    return SAME_BITS if all(result.same for _, result in (*found, *ranks)) else OTHER_BITS


def _chosen(
    con: Any, forecast: str, origin: date | None, horizon: int | None, forecaster: str | None
) -> tuple[list[dict[str, Any]], bool]:
    """The rows of the ledger that were asked for, of one symbol, origin and forecaster; whether only their ranks are wanted,
    because the forecaster makes nothing else."""
    from forecasting.errors import InputError
    from forecasting.symbols import normalise_symbol
    from storage.explain import find_forecast, forecasts_from, ranks_issued

    if origin is None:
        return [find_forecast(con, forecast)], False
    rows = forecasts_from(con, normalise_symbol(forecast), origin, horizon)
    chosen = [row for row in rows if (row["forecaster"] == forecaster if forecaster else row["serving"])]
    if chosen:
        return chosen, False
    served = [row for row in rows if row["serving"]]
    ranked = {rank["forecaster"] for row in served for rank in ranks_issued(con, row["symbol"], origin, row["horizon"])}
    if forecaster in ranked:
        return served, True
    names = ", ".join(sorted({row["forecaster"] for row in rows} | ranked))
    raise InputError(f"no forecast by {forecaster!r:.40}; there are those of {names}")


def _plain(row: dict[str, Any], result: Reproduction) -> dict[str, Any]:
    from storage.explain import id_of

    key = {name: row[name] for name in ("symbol", "origin", "horizon", "forecaster", "model_id", "issued_at", "data_digest")}
    named = {} if "symbols" in row else {"forecast_id": id_of(row)}
    return {
        **named, **key, "same_bits": result.same, "largest_difference": result.difference,
        "data_as_recorded": result.data_as_recorded, "stored": result.stored, "again": result.again,
        "reasons": [vars(reason) for reason in result.reasons],
    }  # fmt: skip


def _numbers(told: dict[str, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    """One row a number: of which forecast, as it is stored and as it was made again."""
    names = ("forecast_id", "symbol", "origin", "horizon", "forecaster", "same_bits")
    return [
        {"what": what} | {name: one.get(name) for name in names} | {"number": n, "stored": v, "again": one["again"].get(n)}
        for what, made in told.items() for one in made for n, v in one["stored"].items()
    ]  # fmt: skip


def _show(row: dict[str, Any], result: Reproduction) -> None:
    from app.printing import money, say, table
    from storage.explain import id_of
    from tasks.reproducing import TOLERANCE

    who = f"{row['symbol']} from {row['origin']}, {row['horizon']} ahead, by {row['forecaster']} of {row['model_id'][:16]}"
    ranked = f", its fifth among {row['symbols']}" if "symbols" in row else f", id {id_of(row)[:12]}"
    what = f"{who}, issued {row['issued_at']:%Y-%m-%d %H:%M} UTC{ranked}"
    if result.same:
        data = "the recorded data" if result.data_as_recorded else "data with another digest than the recorded one"
        say(f"{what}: the same bits, {len(result.stored)} numbers, from {data} ({str(row['data_digest'])[:16]})")
        return
    say(f"{what}: not the same bits")
    if result.again:
        shown = [(n, f"{result.stored[n]!r}", f"{result.again[n]!r}", money(result.again[n] - result.stored[n]))
                 for n in result.stored if result.stored[n] != result.again[n]]  # fmt: skip
        table(("number", "stored", "again", "difference"), shown, left=("number",))
        within = "within" if result.difference <= TOLERANCE else "beyond"
        say(f"largest relative difference {result.difference:.1e}, {within} the {TOLERANCE:g} stated for other machines")
    for reason in result.reasons:
        say(f"{reason.code}: {reason.sentence}")
