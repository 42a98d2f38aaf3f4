"""What the page of a symbol shows: prices with the fan, past forecasts against what came true, errors, and the data behind."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from app.web import queries
from app.web.charts import Chart, Layer, band, line
from app.web.questions import ACTIONS, EVERYBODY, FINDINGS, HISTORY, QUARANTINE, RANKS
from app.web.today import flags_of
from app.web.words import ahead, money, percent
from storage.editions import Edition
from storage.explain import data_known, features_told
from storage.reading import symbol_history

SPANS = {"3m": 92, "1y": 366, "3y": 1100, "all": 100_000}
_PRICES_SHOWN = 130
_MOST_ACTIONS = 40


@dataclass(frozen=True)
class SymbolPage:
    """Everything about one symbol from one edition."""

    symbol: str
    origin: date
    close: float
    forecasts: list[dict[str, Any]]  # served, one a horizon
    others: list[dict[str, Any]]  # everybody at the chosen horizon
    horizon: int
    horizons: list[int]
    span: str
    mode: str
    modes: list[str]
    ranks: list[dict[str, Any]]
    accuracy: list[dict[str, Any]]
    fresh: dict[str, Any]
    serves: dict[str, Any]
    flags: list[tuple[str, str, str]]
    features: list[dict[str, Any]]
    known: dict[str, Any]
    actions: list[dict[str, Any]]
    revisions: list[dict[str, Any]]
    aside: list[dict[str, Any]]
    findings: list[dict[str, Any]]
    past: list[dict[str, Any]]
    charts: list[Chart]


def known_symbol(edition: Edition, symbol: str) -> bool:
    """Whether there is a forecast of it."""
    return symbol in queries.latest(edition)


def nearest(edition: Edition, symbol: str) -> list[str]:
    """Symbols that are written nearly so."""
    import difflib

    return difflib.get_close_matches(symbol, queries.symbols(edition), n=4, cutoff=0.5)


def symbol_page(edition: Edition, symbol: str, horizon: int | None, span: str, mode: str | None) -> SymbolPage | None:
    """The page; None where the symbol has no forecast."""
    latest = queries.latest(edition).get(symbol)
    if not latest:
        return None
    horizons = [row["horizon"] for row in latest]
    chosen = horizon if horizon in horizons else horizons[min(1, len(horizons) - 1)]
    first, origin = latest[0], latest[0]["origin"]
    everybody = EVERYBODY.rows(edition, symbol=[symbol], since=origin, until=origin)
    since = origin - timedelta(days=SPANS[span]) if span != "all" else queries.LONG_AGO
    every = HISTORY.rows(edition, symbol=[symbol], since=since, until=origin)[::-1]
    accuracy = accuracy_of(every)
    modes = sorted({row["mode"] for row in every}) or [first["mode"]]
    shown = mode if mode in modes else ("live" if "live" in modes else modes[0])
    past = [row for row in every if row["horizon"] == chosen and row["mode"] == shown]
    fresh = queries.fresh(edition).get(symbol, {})
    serves = queries.serving(edition, first["model_id"], first["forecaster"])
    actions = ACTIONS.rows(edition, symbol=[symbol], limit=_MOST_ACTIONS)
    cursor = edition.cursor()
    prices = symbol_history(cursor, symbol, _PRICES_SHOWN).rows
    months = by_month(past)
    return SymbolPage(
        symbol, origin, first["close"], latest, [row for row in everybody if row["horizon"] == chosen], chosen, horizons, span,
        shown, modes, RANKS.rows(edition, symbol=[symbol]), accuracy, fresh, serves, flags_of(first, fresh, serves),
        features_told(cursor, symbol, origin, first["run_id"]), data_known(cursor, symbol, origin, first["issued_at"]), actions,
        queries.revisions(edition, symbol), QUARANTINE.rows(edition, symbol=[symbol], limit=50),
        FINDINGS.rows(edition, symbol=[symbol], limit=50), past,
        [
            fan_chart(symbol, prices, latest, actions, fresh.get("currency")), past_chart(symbol, chosen, past, shown),
            errors_chart(symbol, chosen, months), coverage_chart(symbol, chosen, months),
        ],
    )  # fmt: skip


def accuracy_of(every: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """How the settled ones of these forecasts did, one row a horizon and mode."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in every:
        if row["settled"]:
            groups.setdefault((row["horizon"], row["mode"]), []).append(row)
    return [{"horizon": h, "mode": mode, **_means(rows)} for (h, mode), rows in sorted(groups.items())]


def by_month(past: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same by month of the origin, of forecasts of one horizon and mode."""
    groups: dict[date, list[dict[str, Any]]] = {}
    for row in past:
        if row["settled"]:
            groups.setdefault(row["origin"].replace(day=1), []).append(row)
    return [{"month": month, **_means(rows)} for month, rows in sorted(groups.items())]


def _means(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def mean(values: list[float]) -> float | None:
        return sum(values) / len(values) if values else None

    return {
        "n": len(rows), "mae": mean([row["abs_error"] for row in rows]),
        "mae_persistence": mean([abs(row["close_at_target"] - row["close"]) / row["close"] for row in rows]),
        "coverage_80": mean([row["inside_80"] for row in rows]), "coverage_90": mean([row["inside_90"] for row in rows]),
        "direction_hit_rate": mean([row["direction_hit"] for row in rows if row["direction_hit"] is not None]),
    }  # fmt: skip


def fan_chart(
    symbol: str, prices: list[tuple], latest: list[dict[str, Any]], actions: list[dict[str, Any]], currency: str | None
) -> Chart:
    """The closes in today's shares, the fan from the last of them, splits and dividends marked."""
    days, closes = [row[0] for row in prices], [row[2] for row in prices]
    first, x = latest[0], [latest[0]["origin"], *(f["target_session"] for f in latest)]
    close, layers = first["close"], [line("close", "actual", days, closes)]
    for name, role, low, high in (
        ("90 %", "wide", "q05", "q95"),
        ("80 %", "middle", "q10", "q90"),
        ("50 %", "narrow", "q25", "q75"),
    ):
        layers.append(
            band(f"{name} interval", role, x, [close, *(f[low] for f in latest)], [close, *(f[high] for f in latest)])
        )
    layers.append(line("forecast median", "ours", x, [close, *(f["q50"] for f in latest)]))
    marked = [a for a in actions if days and days[0] <= a["session"] <= days[-1]]
    if marked:
        at = dict(zip(days, closes, strict=True))
        placed = [a for a in marked if a["session"] in at]
        text = [f"{a['kind']} {a['value']:g}" for a in placed]
        layers.append(
            Layer(
                "marks",
                "splits and dividends",
                "naive",
                [a["session"] for a in placed],
                [at[a["session"]] for a in placed],
                text=text,
            )
        )
    last = latest[-1]
    about = (
        f"closes of {symbol} up to {first['origin']} and the forecast from there: in {ahead(last['horizon'])} "
        f"{money(last['q50'])}, between {money(last['q10'])} and {money(last['q90'])} in four of five cases"
    )
    return Chart(
        "fan", f"{symbol}: closes and the fan of the forecast", about, tuple(layers), "", _unit(currency), y_form="price"
    )


def past_chart(symbol: str, horizon: int, past: list[dict[str, Any]], mode: str) -> Chart:
    """What was said of each target session beside what came true; persistence is the close at the origin."""
    x = [row["target_session"] for row in past]
    layers = (
        band("80 % interval", "middle", x, [row["q10"] for row in past], [row["q90"] for row in past]),
        line("last close (persistence)", "naive", x, [row["close"] for row in past], dash=True),
        line("forecast median", "ours", x, [row["q50"] for row in past]),
        line("what came true", "actual", x, [row["close_at_target"] for row in past]),
    )
    settled = [row for row in past if row["settled"]]
    held = sum(row["inside_80"] for row in settled) / len(settled) if settled else None
    about = (
        f"{len(settled)} settled forecasts of {symbol}, {ahead(horizon)} ahead, {mode}; the 80 % interval held {percent(held)}"
    )
    title = f"Forecast against what came true, {ahead(horizon)} ahead, {'live' if mode == 'live' else 'made after the fact'}"
    return Chart("past", title, about, layers, "session that was forecast", "close", y_form="price")


def errors_chart(symbol: str, horizon: int, months: list[dict[str, Any]]) -> Chart:
    x = [row["month"] for row in months]
    layers = (
        line("median of the forecast", "ours", x, [row["mae"] for row in months]),
        line("last close (persistence)", "naive", x, [row["mae_persistence"] for row in months], dash=True),
    )
    about = f"mean distance from what came true by month, {symbol}, {ahead(horizon)} ahead, beside that of the last close"
    return Chart("errors", "Mean absolute error by month", about, layers, "", "share of the close", y_form="percent")


def coverage_chart(symbol: str, horizon: int, months: list[dict[str, Any]]) -> Chart:
    x = [row["month"] for row in months]
    layers = (
        line("80 % interval held", "ours", x, [row["coverage_80"] for row in months]),
        line("90 % interval held", "second", x, [row["coverage_90"] for row in months]),
        line("80 % promised", "promise", x, [0.8 for _ in months], dash=True),
        line("90 % promised", "promise", x, [0.9 for _ in months], dash=True),
    )
    about = f"share of outcomes inside the intervals by month, {symbol}, {ahead(horizon)} ahead"
    return Chart("coverage", "Coverage by month", about, layers, "", "share of outcomes", y_form="percent", range_y=(0.0, 1.05))


def _unit(currency: str | None) -> str:
    return f"close, {currency}" if currency else "close"
