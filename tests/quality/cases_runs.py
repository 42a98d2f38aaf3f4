"""Bad inputs that take a run, a store or a source that answers: what the whole does about each."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Any

import pandas as pd

from app.cli import execute
from flows.prices import bring_in_prices
from forecasting.errors import NextcloseError, SettingError, StaleSymbol, UnknownSymbol
from forecasting.inputs import make_inputs, rows_at
from forecasting.panel import Panel
from forecasting.quality.accounts import findings_of, verdict_of
from forecasting.quality.thresholds import QualityThresholds
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, Fetched, typed_frame
from sources.registry import _registered, register_source
from sources.yahoo import YahooSource
from storage.bars import read_actions, read_bars
from storage.home import Home
from storage.reading import ask
from storage.snapshot import open_snapshot
from tasks.opening import Asked, open_run
from tasks.publishing import complete
from tasks.settings import settings_of
from tests.quality.table import ACCEPT, At, bad_input, check, days_of, delivery_of, good, scaled
from tests.sources.yahoo_stand_in import YahooStandIn, chart, empty

DAYS = days_of()


class Told:
    """A live source that says what the row of the table puts into it."""

    name = "told"
    bars: pd.DataFrame = typed_frame(BAR_COLUMNS)
    actions: pd.DataFrame = typed_frame(ACTION_COLUMNS)
    unknown: tuple[str, ...] = ()

    def symbols(self) -> None:
        return None

    def identity(self) -> str:
        return "told"

    def fetch(self, symbols: Any, start: date | None = None, end: date | None = None) -> Fetched:
        failures = {s: UnknownSymbol("told", s, "answered 404", "check the spelling") for s in symbols if s in Told.unknown}
        bars = Told.bars[Told.bars["symbol"].isin(list(symbols)) & ~Told.bars["symbol"].isin(Told.unknown)]
        bars = bars[(bars["session"] >= str(start or "1900-01-01")) & (bars["session"] <= str(end or "2999-01-01"))]
        return Fetched(bars.reset_index(drop=True), Told.actions, failures=failures)

    @classmethod
    def says(cls, *frames: pd.DataFrame, unknown: tuple[str, ...] = ()) -> None:
        cls.bars, cls.unknown = pd.concat(frames, ignore_index=True), unknown


def told(symbol: str, frame: pd.DataFrame | None = None) -> pd.DataFrame:
    """``good`` bars as a source delivers them."""
    frame = good() if frame is None else frame
    named = frame.rename(columns={"Date": "session"} | {c: c.lower() for c in frame.columns[1:]})
    return typed_frame(BAR_COLUMNS, named.assign(symbol=symbol)[list(BAR_COLUMNS)])


@contextmanager
def ingested(home: Home, symbols: tuple[str, ...], session: str) -> Any:
    """A run on the evening of ``session`` in which prices came in."""
    if "told" not in _registered:
        register_source("told", Told)
    evening = datetime.fromisoformat(session).replace(hour=23, tzinfo=UTC)
    with open_run(
        Asked("ingest", symbols=symbols, every_time=True), home, settings_of({"source": {"name": "told"}}), evening
    ) as run:
        bring_in_prices(run)
        yield run
        complete(run)


def evening(session: str) -> datetime:
    return datetime.fromisoformat(session).replace(hour=23, minute=30, tzinfo=UTC)


def fetched(yahoo: YahooStandIn, start: date, end: date | None = None) -> Fetched:
    return YahooSource(base_url=yahoo.url, timeout_seconds=2.0).fetch(["AAPL"], start, end)


@bad_input("B01", "empty frame, known ticker, calendar says session", "failed, to be tried again")
def empty_answer(at: At) -> str:
    with YahooStandIn() as yahoo:
        yahoo.say("AAPL", empty())
        error = fetched(yahoo, date(2024, 3, 4), date(2024, 3, 28)).failures["AAPL"]
    assert error.kind not in ("no_session", "unknown_symbol")
    assert verdict_of(findings_of(failures={"AAPL": error})) == "reject"
    return "failed, to be tried again" if error.retry else "final"


@bad_input("B02", "empty frame on a holiday", ACCEPT)
def empty_holiday(at: At) -> str:
    with YahooStandIn() as yahoo:
        yahoo.say("AAPL", chart([("2024-07-03", 25.0), ("2024-07-05", 26.0)]))  # it answers with all there is since then
        answer = fetched(yahoo, date(2024, 7, 4), date(2024, 7, 4))
    assert answer.bars.empty and answer.failures["AAPL"].kind == "no_session" and not answer.failures["AAPL"].retry
    return check(delivery_of(answer), evening("2024-07-05"), QualityThresholds()).verdict


@bad_input("B13", "two rows for today: final and live", "the final one after the close, none before")
def live_row(at: At) -> str:
    with YahooStandIn() as yahoo:
        yahoo.say("AAPL", chart([("2024-03-26", 25.0), ("2024-03-27", 26.0), ("2024-03-27T16:00:01", 26.5)]))
        answer = delivery_of(fetched(yahoo, date(2024, 3, 1), date(2024, 3, 27)))
    for hour, last, verdict in ((15, "2024-03-26", "quarantine"), (23, "2024-03-27", ACCEPT)):
        found = check(answer, datetime(2024, 3, 27, hour, tzinfo=UTC), QualityThresholds())
        assert found.verdict == verdict and str(found.cleaned.bars["session"].iloc[-1].date()) == last
        assert not found.cleaned.bars["session"].duplicated().any()
    return "the final one after the close, none before"


@bad_input("B32", "20:1 split, adjusted history arrives", "a revision of all rows, the old ones readable as of then")
def restated_history(at: At) -> str:
    first, second = at.folder / "2022-06-03.csv", at.folder / "2022-06-10.csv"
    bars = good(price=2400.0, start="2022-03-07", n=66).assign(ticker="AMZN")
    bars.iloc[:62].to_csv(first, index=False)
    scaled(bars, 1 / 20).round(6).to_csv(second, index=False)
    home = at.folder / "home"
    for prices in (first, second):
        assert execute(["ingest", "--home", str(home), "--prices", str(prices), "--json"]) == 0
    with open_snapshot(Home(home)) as con:
        then = ask(con, "SELECT min(known_at) FROM store.bars").rows[0][0]
        now, old = read_bars(con), read_bars(con, as_of=then)
        counts = ask(con, "SELECT received, stored, unchanged, revised, quarantined FROM quality ORDER BY known_at").rows
    assert counts == [(62, 62, 0, 0, 0), (66, 4, 0, 62, 0)]
    assert old["close"].tolist() == bars["Close"].iloc[:62].tolist()
    assert now["close"].tolist() == (bars["Close"] / 20).round(6).tolist()
    return "a revision of all rows, the old ones readable as of then"


@bad_input("B37", "dividend restated by 0.01", "a revision")
def restated_dividend(at: At) -> str:
    home = at.folder / "home"
    for amount in (0.24, 0.25):
        bars = good().assign(**{"Adj Close": good()["Close"], "Dividends": 0.0, "Stock Splits": 0.0})
        bars.loc[30, "Dividends"] = amount
        bars.loc[:29, "Adj Close"] = (bars["Close"][:30] * (1 - amount / bars["Close"][29])).round(6)
        assert execute(["ingest", "--home", str(home), "--prices", str(at.write(bars)), "--json"]) == 0
    with open_snapshot(Home(home)) as con:
        then = ask(con, "SELECT min(known_at) FROM store.actions").rows[0][0]
        assert read_actions(con, as_of=then)["value"].tolist() == [0.24]
        assert read_actions(con)["value"].tolist() == [0.25]
    return "a revision"


@bad_input("B48", "renamed ticker (old: 404, new: same history)", "suggests the new one, never merges")
def renamed(at: At) -> str:
    home = Home(at.folder / "home")
    Told.says(told("EQR"))
    with ingested(home, ("EQR",), DAYS[40]):
        pass
    Told.says(told("VMRK"), unknown=("EQR",))
    with ingested(home, ("EQR", "VMRK"), DAYS[41]) as run:
        assert any("EQR is not known any more, and VMRK has the same closes" in note for note in run.notes), run.notes
        with run.db.reading() as con:
            assert read_bars(con).groupby("symbol").size().to_dict() == {"EQR": 41, "VMRK": 42}
    return "suggests the new one, never merges"


@bad_input("B49", "delisted: last row 20 sessions old", "inactive, no forecast after")
def delisted(at: At) -> str:
    home = Home(at.folder / "home")
    Told.says(told("AAPL"), told("GONE", good().iloc[:30]))
    with ingested(home, ("AAPL", "GONE"), DAYS[48]) as run:
        assert _trades_until(run)["GONE"] is None  # silent for 19 sessions
    with ingested(home, ("AAPL", "GONE"), DAYS[50]) as run:
        assert _trades_until(run) == {"AAPL": None, "GONE": DAYS[29]}
        with run.db.reading() as con:
            bars = read_bars(con)
    inputs = make_inputs(Panel.from_frames(bars), ("ret",), (1,))
    rows, refused = rows_at(inputs, ["AAPL", "GONE"], date.fromisoformat(DAYS[50]), 20)
    assert list(rows) == ["AAPL"] and isinstance(refused["GONE"], StaleSymbol)
    return "inactive, no forecast after"


@bad_input("B50", "404 for one known-good ticker once", "tried again the next day, not delisted")
def once_unknown(at: At) -> str:
    home = Home(at.folder / "home")
    Told.says(told("AAPL"), told("MSFT"))
    with ingested(home, ("AAPL", "MSFT"), DAYS[40]):
        pass
    Told.says(told("AAPL"), told("MSFT"), unknown=("MSFT",))
    with ingested(home, ("AAPL", "MSFT"), DAYS[41]) as run:
        assert [(r.symbol, r.reason) for r in run.refusals.values()] == [("MSFT", "unknown_symbol")]
        assert _trades_until(run) == {"AAPL": None, "MSFT": None}
    Told.says(told("AAPL"), told("MSFT"))
    with ingested(home, ("AAPL", "MSFT"), DAYS[42]) as run:
        assert not run.refusals
        with run.db.reading() as con:
            assert read_bars(con).groupby("symbol").size().to_dict() == {"AAPL": 43, "MSFT": 43}
    return "tried again the next day, not delisted"


def _trades_until(run: Any) -> dict[str, str | None]:
    """The last word of the universe on each symbol."""
    with run.db.reading() as con:
        found = con.execute(
            "SELECT symbol, arg_max(coalesce(valid_to::VARCHAR, '-'), revision) FROM store.universe GROUP BY symbol"
        ).fetchall()
    return {symbol: None if until == "-" else until for symbol, until in found}


@bad_input("B51", "tickers NA, NULL, NAN, ON, OFF, TRUE, FALSE, YES, NO, N, Y, INF, 1E5, E, MAR1", "round trip unchanged")
def words_as_tickers(at: At) -> str:
    names = sorted("NA NULL NAN ON OFF TRUE FALSE YES NO N Y INF 1E5 E MAR1".split())
    home = at.folder / "home"
    home.mkdir()
    (home / "settings.toml").write_text(f"[universe]\nsymbols = {json.dumps(names)}\n")
    prices = at.write(pd.concat([good().assign(ticker=name) for name in names]), "panel.csv")
    assert at.verdict(prices) == ACCEPT and [a.symbol for a in at.reports[-1].accounts] == names
    assert execute(["ingest", "--home", str(home), "--prices", str(prices), "--json"]) == 0
    with open_snapshot(Home(home)) as con:
        assert ask(con, "SELECT symbol, count(*) FROM prices GROUP BY ALL ORDER BY symbol").rows == [(n, 60) for n in names]
    return "round trip unchanged"


@bad_input("B61", "one bad ticker of several", "the others are forecast")
def one_bad_ticker(at: At) -> str:
    code, report = at.run("--symbols", "AAA,BBB,CCC,ZZZZ", "--origin", "2021-04-01")
    assert {f["symbol"] for f in report["forecasts"]} == {"AAA", "BBB", "CCC"}
    assert [(r["symbol"], r["reason"]) for r in report["refused"]] == [("ZZZZ", "unknown_symbol")]
    return "the others are forecast" if code == 0 else f"code {code}"


@bad_input("B62", "60 % of tickers fail", "degraded, with a code of its own")
def most_fail(at: At) -> str:
    code, report = at.run("--symbols", "AAA,BBB,XXXX,YYYY,ZZZZ", "--origin", "2021-04-05")
    assert code == 10 and {f["symbol"] for f in report["forecasts"]} == {"AAA", "BBB"}
    return f"{report['status']}, with a code of its own"


@bad_input(
    "B63", "config: unknown key, wrong type, negative horizon, duplicate ticker, 0 tickers, 10,000 tickers", "refused by name"
)
def bad_settings(at: At) -> str:
    for values, key in (
        ({"sauce": {}}, "sauce"),
        ({"quality": {"unit_tollerance": 1.3}}, "quality.unit_tollerance"),
        ({"lstm": {"epochs": "many"}}, "lstm.epochs"),
        ({"lstm": {"horizons": [-1]}}, "lstm.horizons"),
        ({"universe": {"symbols": ["AAPL", "aapl"]}}, "universe.symbols"),
        ({"universe": {"symbols": []}}, "universe.symbols"),
        ({"universe": {"symbols": [f"S{i}" for i in range(10_000)]}}, "universe.symbols"),
    ):
        try:
            settings_of(values)
        except SettingError as error:
            assert key in str(error) and "\n" not in str(error), error
        except NextcloseError as error:
            raise AssertionError(f"{values} is refused without its key: {error}") from error
        else:
            raise AssertionError(f"{values} was accepted")
    return "refused by name"
