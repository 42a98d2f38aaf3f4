"""What the page Today shows: a row a symbol, sorted and filtered on the server; scripts only make that quicker."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from app.web import queries
from app.web.calendars import Lag
from app.web.questions import RANKS
from app.web.svg import fifths, meter, spark
from app.web.words import ahead, money, percent
from storage.editions import Edition

PAGE = 500
_SPARK_DAYS = 60


@dataclass(frozen=True)
class Row:
    """One symbol. ``flags`` are words for what is not as it should be: late, fallback, after the fact."""

    symbol: str
    close: float
    origin: Any
    currency: str
    spark: str
    horizons: dict[int, dict[str, Any]]
    rank: dict[str, Any] | None
    forecaster: str
    model_id: str
    since: Any
    flags: list[tuple[str, str, str]]  # (class, word, sentence)
    keys: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Today:
    rows: list[Row]
    found: int
    total: int
    page: int
    pages: int
    horizons: list[int]
    origins: list[Any]
    forecasters: list[str]


def everything(edition: Edition) -> list[Row]:
    """All symbols with a forecast, made once for the edition."""
    return edition.kept("today", lambda: _make(edition))


def chosen(edition: Edition, *, q: str, sort: str, down: bool, who: str, only: str, page: int) -> Today:
    """The rows that fit: ``q`` in the symbol, served by ``who``, ``only`` those flagged so; sorted by a key."""
    rows = everything(edition)
    wanted = [row for row in rows if q.upper() in row.symbol and (not who or row.forecaster == who)]
    if only:
        wanted = [row for row in wanted if any(flag[0] == only for flag in row.flags)]
    horizons = sorted({h for row in rows for h in row.horizons})
    if any(sort in row.keys for row in rows):
        there = [row for row in wanted if row.keys.get(sort) is not None]
        missing = [row for row in wanted if row.keys.get(sort) is None]
        wanted = sorted(there, key=lambda row: (row.keys[sort], row.symbol), reverse=down) + missing
    pages = max(1, -(-len(wanted) // PAGE))
    page = min(max(page, 1), pages)
    return Today(
        wanted[(page - 1) * PAGE : page * PAGE], len(wanted), len(rows), page, pages, horizons,
        sorted({row.origin for row in rows}, reverse=True), sorted({row.forecaster for row in rows}),
    )  # fmt: skip


def _make(edition: Edition) -> list[Row]:
    latest, fresh = queries.latest(edition), queries.fresh(edition)
    if not latest:
        return []
    newest = max(rows[0]["origin"] for rows in latest.values())
    ranks = {(row["symbol"], row["horizon"], row["origin"]): row for row in RANKS.rows(edition, limit=queries.ALL)}
    ranked = sorted({horizon for _, horizon, _ in ranks})
    middle = 5 if 5 in ranked else ranked[len(ranked) // 2] if ranked else 0
    closes = queries.closes(edition, newest - timedelta(days=_SPARK_DAYS))
    pairs = {(rows[0]["model_id"], rows[0]["forecaster"]) for rows in latest.values()}
    served = {pair: queries.serving(edition, *pair) for pair in pairs}
    return [
        _row(symbol, rows, fresh.get(symbol, {}), ranks, ranked, middle, closes.get(symbol, []), served)
        for symbol, rows in latest.items()
    ]


def _row(
    symbol: str, forecasts: list[dict[str, Any]], fresh: dict[str, Any], ranks: dict[Any, dict[str, Any]], ranked: list[int],
    middle: int, closes: list[float], served: dict[tuple[str, str], dict[str, Any]],
) -> Row:  # fmt: skip
    first = forecasts[0]
    close, keys, horizons = first["close"], {"symbol": symbol, "close": first["close"]}, {}
    for f in forecasts:
        h, move = f["horizon"], f["q50"] / close - 1
        keys |= {f"move{h}": move, f"up{h}": f["p_up"], f"wide{h}": (f["q90"] - f["q10"]) / close}
        said = f"chance of a higher close in {ahead(h)}: {percent(f['p_up'])}"
        horizons[h] = {**f, "move": move, "meter": meter(f["p_up"], said)}
    fan = [(f["horizon"], [f[q] for q in queries.QUANTILES]) for f in forecasts]
    last = forecasts[-1]
    about = (
        f"{symbol}: {money(close)} now; in {ahead(last['horizon'])} {money(last['q50'])}, "
        f"between {money(last['q10'])} and {money(last['q90'])} in four of five cases"
    )
    rank = None
    if (found := ranks.get((symbol, middle, first["origin"]))) is not None:
        shares = [found[f"p{i}"] for i in range(1, 6)]
        said = f"in {ahead(middle)}, lowest to highest fifth of {found['symbols']}: {', '.join(percent(p) for p in shares)}"
        rank = {**found, "picture": fifths(shares, said), "said": said}
        keys |= {"top": found["p5"], "bottom": found["p1"]}
    serves = served[first["model_id"], first["forecaster"]]
    keys |= {"who": first["forecaster"], "origin": first["origin"]}
    return Row(
        symbol, close, first["origin"], fresh.get("currency") or "", spark(closes, fan, about), horizons, rank,
        first["forecaster"],
        first["model_id"], serves["since"], flags_of(first, fresh, serves), keys,
    )  # fmt: skip


def flags_of(forecast: dict[str, Any], fresh: dict[str, Any], serves: dict[str, Any]) -> list[tuple[str, str, str]]:
    """What a reader must know before the figures: late prices, a forecast from an older close, a rival that stands in."""
    flags = []
    behind, last = fresh.get("sessions_behind") or 0, fresh.get("last_session")
    if behind:
        flags.append(("late", "late", f"its prices end on {last}, {ahead(behind)} before those of others on its exchange"))
    if last is not None and forecast["origin"] < last:
        flags.append(("stale", "stale", f"forecast from {forecast['origin']}, although its prices reach {last}"))
    if forecast["forecaster"] != "lstm":
        why = serves["reason"] or "the network does not serve"
        flags.append(("fallback", "fallback", f"{forecast['forecaster']} stands in for the network: {why}"))
    if forecast["mode"] != "live":
        flags.append(("backfill", "after the fact", "computed later from what was known at its origin"))
    return flags


def banner(lags: list[Lag], any_rows: bool) -> tuple[str, str] | None:
    """(class, sentence) about the whole: sessions have closed that are not in the snapshot."""
    late = [lag for lag in lags if lag.sessions > 0]
    if not late or not any_rows:
        return None
    worst = max(late, key=lambda lag: lag.sessions)
    counted = "" if worst.exact else " (weekdays counted, the exchange's holidays are not looked up yet)"
    return (
        "stale" if worst.sessions > 1 else "late",
        f"The newest prices of {worst.calendar} are of {worst.newest}, and {worst.sessions:,} "
        f"{'session has' if worst.sessions == 1 else 'sessions have'} closed since{counted}. ",
    )


def ranked(today_: Today) -> int | None:
    """The horizon of the rank forecasts that are shown."""
    return next((row.rank["horizon"] for row in today_.rows if row.rank), None)


def sort_links(today_: Today) -> list[tuple[str, str]]:
    """(key, label) of what can be sorted by."""
    links = [("symbol", "symbol"), ("close", "last close")]
    for h in today_.horizons:
        links += [
            (f"move{h}", f"median move, {ahead(h)}"),
            (f"up{h}", f"P(up), {ahead(h)}"),
            (f"wide{h}", f"width of 80 %, {ahead(h)}"),
        ]
    return [
        *links,
        ("top", "chance of the highest fifth"),
        ("bottom", "chance of the lowest fifth"),
        ("who", "who serves"),
        ("origin", "origin"),
    ]
