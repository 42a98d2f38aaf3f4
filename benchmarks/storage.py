"""What does keeping everything cost, and how fast does it come back?

The product's append (known keys skipped, changed values kept as revisions, no index) against a table with PRIMARY KEY and
``INSERT OR IGNORE`` / ``ON CONFLICT DO UPDATE``, both in DuckDB files of their own under the same memory limit: loading
everything, loading it again, one more day. Then the newest forecasts, publishing, opening the file, and checking bars.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from benchmarks.measuring import Report, count_text, interleaved, options, speedup
from forecasting.quality.cleaning import clean_bars
from forecasting.schemas import Bars
from storage.bars import BAR_KEY, append_bars, read_bars
from storage.connection import open_database
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.manifest import content_digest
from storage.snapshot import publish

NOW = datetime(2024, 1, 2, 22, tzinfo=UTC)
FIRST = date(2004, 1, 5)
MEMORY_MB = 8192
COLUMNS = ("open", "high", "low", "close", "volume")
FORECASTERS = ("lstm", "persistence", "drift", "ewma", "ridge")


@dataclass(frozen=True)
class Shape:
    symbols: int
    sessions: int
    chunk: int  # symbols loaded in one transaction
    origins: int  # of forecasts
    loads: int  # rounds of whole loads
    days: int  # rounds of single days

    @property
    def rows(self) -> int:
        return self.symbols * self.sessions


SIZE = {
    "small": (Shape(10, 40, 5, 6, 1, 2),),
    "full": (Shape(500, 5_000, 50, 333, 3, 7), Shape(8_000, 2_500, 1_000, 167, 1, 5)),  # 2.5M and 20M rows of each
}


def bars_of(shape: Shape, first_symbol: int, symbols: int, first_session: int, sessions: int) -> pd.DataFrame:
    """Bars with prices in cents, in (symbol, session) order; the same arguments give the same bars."""
    draw = np.random.default_rng([first_symbol, first_session])
    close = np.round(50 * np.exp(np.cumsum(0.01 * draw.standard_normal((symbols, sessions)), axis=1)), 2).ravel()
    open_ = np.round(close * np.exp(0.005 * draw.standard_normal(close.size)), 2)
    names = np.array([f"S{i:05d}" for i in range(first_symbol, first_symbol + symbols)], dtype=object)
    days = np.datetime64(FIRST, "D") + np.arange(first_session, first_session + sessions)
    return pd.DataFrame({
        "symbol": pd.Series(np.repeat(names, sessions), dtype="str"),
        "session": np.tile(days.astype("datetime64[us]"), symbols),
        "open": open_, "high": np.maximum(open_, close) + 0.5, "low": np.minimum(open_, close) * 0.99, "close": close,
        "volume": np.rint(np.exp(13 + draw.standard_normal(close.size))),
    })  # fmt: skip


def chunks(shape: Shape) -> Iterator[pd.DataFrame]:
    for begin in range(0, shape.symbols, shape.chunk):
        yield bars_of(shape, begin, min(shape.chunk, shape.symbols - begin), 0, shape.sessions)


class Product:
    """The product's own file."""

    def __init__(self, folder: Path) -> None:
        self.home = Home(folder)
        self.home.ensure_writable()
        self.db = Database(self.home, memory_mb=MEMORY_MB)
        self.steps = 0

    @contextmanager
    def writing(self):
        """A whole write as a run does it: transaction, ledger row, commit, read-back."""
        self.steps += 1
        with self.db.writing(self.lease, "bench", f"step {self.steps}") as tx:
            yield tx

    @contextmanager
    def leased(self) -> Iterator[Product]:
        with hold_lease(self.home, self.db, "benchmark") as self.lease:
            yield self

    def append(self, frame: pd.DataFrame) -> None:
        with self.writing() as tx:
            append_bars(tx, frame, "benchmark", "as_traded", NOW)

    @property
    def size(self) -> int:
        self.db.checkpoint()
        return self.home.database.stat().st_size


class Keyed:
    """A table with a primary key, as most projects write it; ``how`` says what becomes of a key that is there."""

    IGNORE = "INSERT OR IGNORE INTO bars BY NAME SELECT *, {rest} FROM frame"
    UPDATE = "INSERT INTO bars BY NAME SELECT *, {rest} FROM frame ON CONFLICT DO UPDATE SET " + ", ".join(
        f"{c} = excluded.{c}" for c in COLUMNS
    )
    REST = f"'benchmark' AS source, 'as_traded' AS basis, 0 AS revision, TIMESTAMPTZ '{NOW}' AS known_at, 'bench' AS run_id"

    def __init__(self, path: Path, key: bool = True) -> None:
        self.path = path
        with self.connected() as con:
            columns = ", ".join(f"{c} DOUBLE" for c in COLUMNS)
            end = ", PRIMARY KEY (symbol, session)" if key else ""
            con.execute(
                f"CREATE TABLE bars (symbol VARCHAR NOT NULL, session DATE NOT NULL, {columns}, source VARCHAR, "
                f"basis VARCHAR, revision INTEGER, known_at TIMESTAMPTZ, run_id VARCHAR{end})"
            )

    @contextmanager
    def connected(self) -> Iterator[duckdb.DuckDBPyConnection]:
        con = duckdb.connect(str(self.path), config={"memory_limit": f"{MEMORY_MB}MiB"})
        try:
            con.execute("SET TimeZone = 'UTC'")
            yield con
        finally:
            con.close()

    def insert(self, frame: pd.DataFrame, how: str, con: duckdb.DuckDBPyConnection | None = None) -> None:
        if con is None:
            with self.connected() as con:
                return self.insert(frame, how, con)
        con.execute("BEGIN")
        con.register("frame", frame)
        con.execute(how.format(rest=self.REST))
        con.unregister("frame")
        con.execute("COMMIT")

    @property
    def size(self) -> int:
        with self.connected() as con:
            con.execute("CHECKPOINT")
        return self.path.stat().st_size


def loads(report: Report, shape: Shape, folder: Path) -> tuple[Product, Keyed, dict[str, float]]:
    """Loading everything into empty files, and loading it again; returns the filled stores and the ratios."""
    section, product, keyed = f"{count_text(shape.rows)} rows, {shape.chunk} symbols a transaction", None, None
    names = ("ours", "INSERT OR IGNORE, PRIMARY KEY", "INSERT, no key, no check", "ON CONFLICT DO UPDATE, PRIMARY KEY")
    times: dict[str, list[float]] = {n: [] for n in (*names[:3], *(f"{names[i]}, again" for i in (0, 1, 3)))}
    for turn in range(shape.loads):
        product, keyed = Product(folder / f"ours{turn}"), Keyed(folder / f"keyed{turn}.duckdb")
        bare = Keyed(folder / f"bare{turn}.duckdb", key=False)
        plain = Keyed.IGNORE.replace(" OR IGNORE", "")
        with product.leased():
            for suffix in ("", ", again"):
                seconds = dict.fromkeys(names, 0.0)
                for frame in chunks(shape):
                    calls = {names[0]: lambda: product.append(frame), names[1]: lambda: keyed.insert(frame, Keyed.IGNORE)}  # noqa: B023
                    if suffix:
                        calls[names[3]] = lambda: keyed.insert(frame, Keyed.UPDATE)  # noqa: B023
                    else:
                        calls[names[2]] = lambda: bare.insert(frame, plain)  # noqa: B023
                    for name, (took,) in interleaved(calls, 1).items():
                        seconds[name] += took
                for name in calls:
                    times[name + suffix].append(seconds[name])
        bare.path.unlink()
        if turn < shape.loads - 1:
            keyed.path.unlink()
            product.home.database.unlink()
    ratios = {n: speedup(times, names[0] + (", again" if n.endswith("again") else ""), n) for n in times}
    for name, seconds in times.items():
        ratio = None if name.startswith(names[0]) else ratios[name]
        rate = f"{count_text(shape.rows / median(seconds))} rows/s"
        report.add(section, name, median(seconds), rate, ratio, "the time of ours" if ratio else "")
    report.add(section, "file, ours", None, f"{product.size / 1e6:.0f} MB")
    report.add(section, "file, PRIMARY KEY", None, f"{keyed.size / 1e6:.0f} MB", keyed.size / product.size, "the size of ours")
    return product, keyed, ratios


class NextDays:
    """Draws one session after the other; ``again`` sessions before it are sent once more as they are stored."""

    def __init__(self, shape: Shape, product: Product) -> None:
        self.shape, self.product, self.next, self.frame = shape, product, shape.sessions, pd.DataFrame()

    def draw(self, again: int) -> None:
        self.frame = bars_of(self.shape, 0, self.shape.symbols, self.next, 1)
        if again:
            with self.product.db.reading() as con:
                known = read_bars(con, since=FIRST + timedelta(days=self.next - again))
            parts = [known[list(self.frame.columns)], self.frame]
            self.frame = pd.concat(parts, ignore_index=True).sort_values(list(BAR_KEY), ignore_index=True)
        self.next += 1


def days(report: Report, shape: Shape, product: Product, keyed: Keyed) -> dict[str, float]:
    """One more session of every symbol, and the same with the ten before it sent again, as every live day does.

    With the file open already, and with opening and closing it, which a run does at every step.
    """
    section = f"one more day of {shape.symbols:,} symbols into {count_text(shape.rows)} rows"
    drawn, found = NextDays(shape, product), {}

    def measure(ours: str, theirs: str, again: int, con: duckdb.DuckDBPyConnection | None) -> None:
        calls = {
            ours: lambda: product.append(drawn.frame),
            theirs: lambda: keyed.insert(drawn.frame, Keyed.UPDATE, con),
        }
        times = interleaved(calls, shape.days, {ours: lambda: drawn.draw(again)})
        found[ours], found[f"ratio {ours}"] = median(times[ours]), speedup(times, ours, theirs)
        report.add(section, ours, found[ours], f"{len(drawn.frame):,} rows")
        report.add(section, theirs, median(times[theirs]), "", found[f"ratio {ours}"], "the time of ours")

    for title, again in (("", 0), (" and the 10 before it again", 10)):
        ours, theirs = f"ours{title}", f"ON CONFLICT DO UPDATE, PRIMARY KEY{title}"
        with product.leased():
            measure(f"{ours}, file opened for it", f"{theirs}, file opened for it", again, None)
            with product.db.kept_open(), keyed.connected() as con:
                measure(ours, theirs, again, con)
    return found


def fill_forecasts(product: Product, shape: Shape) -> int:
    """A ledger of ``origins`` days, written straight in SQL in the order in which the days come; how many rows."""
    quantiles = ", ".join(f"100 * {1 + 0.02 * i:.2f} AS q{q}" for i, q in enumerate(("05", "10", "25", "50", "75", "90", "95")))
    with product.writing() as tx:
        tx.execute(
            f"""INSERT INTO store.forecasts BY NAME
            SELECT format('S{{:05d}}', s) AS symbol, DATE '2020-01-01' + d::INT AS origin, h AS horizon, f AS forecaster,
                DATE '2020-01-01' + d::INT + h AS target_session, 'm' AS model_id, f = 'lstm' AS serving, 'live' AS mode,
                100 + s % 7 AS close, 0.01 AS scale, {quantiles}, 0.5 AS p_up, 'x' AS data_digest, 'bench' AS run_id,
                TIMESTAMPTZ '{NOW}' AS issued_at, TIMESTAMPTZ '{NOW}' AS as_of
            FROM range({shape.origins}) AS days(d), range({shape.symbols}) AS symbols(s),
                (SELECT unnest([1, 5, 20]) AS h), (SELECT unnest({list(FORECASTERS)}) AS f)
            ORDER BY d, s, h, f"""
        )
    return shape.origins * shape.symbols * 3 * len(FORECASTERS)


def newest(report: Report, shape: Shape, product: Product) -> tuple[float, float]:
    """The newest served forecast of every symbol and of one; (seconds of ours, how many times slower row_number is)."""
    with product.leased():
        count = fill_forecasts(product, shape)
    section = f"newest forecasts of {shape.symbols:,} symbols among {count_text(count)} rows"
    with product.db.reading() as con:
        [(names,)] = con.execute("SELECT string_agg(column_name, ', ') FROM (DESCRIBE latest_forecasts)").fetchall()
        # Arrow tables come without a Python object a cell, so the query is what is timed
        ranked = (
            f"SELECT {names} FROM store.forecasts WHERE serving QUALIFY row_number() "
            "OVER (PARTITION BY symbol, horizon ORDER BY origin DESC) = 1 ORDER BY symbol, horizon"
        )
        calls = {
            "ours: latest_forecasts": lambda: con.sql("FROM latest_forecasts").to_arrow_table(),
            "row_number": lambda: con.sql(ranked).to_arrow_table(),
            "ours: one symbol": lambda: con.sql("FROM latest_forecasts WHERE symbol = 'S00003'").to_arrow_table(),
            "for comparison: WHERE origin = max(origin)": lambda: con.sql(
                f"SELECT {names} FROM store.forecasts WHERE serving AND origin = (SELECT max(origin) FROM store.forecasts)"
            ).to_arrow_table(),
        }
        for call in calls.values():
            call()
        times = interleaved(calls, max(3, shape.days))
    ratio = speedup(times, "ours: latest_forecasts", "row_number")
    for name, seconds in times.items():
        own = ratio if name == "row_number" else None
        report.add(section, name, median(seconds), "", own, "the time of ours" if own else "")
    return median(times["ours: latest_forecasts"]), ratio


def publishing(report: Report, shape: Shape, product: Product) -> None:
    """The snapshot: the first one, one after a day more, and the digest over everything."""
    section = f"publishing {count_text(shape.rows)} bars and {count_text(shape.rows)} forecasts"
    day = bars_of(shape, 0, shape.symbols, shape.sessions + 5_000, 1)
    with product.leased():
        calls = {"first snapshot": lambda: publish(product.db, product.home, "bench", NOW)}
        (first,) = interleaved(calls, 1)["first snapshot"]
        product.append(day)
        (second,) = interleaved(calls, 1)["first snapshot"]
    with product.db.reading() as con:
        (whole,) = interleaved({"digest": lambda: content_digest(con)}, 1)["digest"]
    report.add(section, "first snapshot", first, f"{product.home.snapshot.stat().st_size / 1e6:.0f} MB")
    report.add(section, "snapshot after one day more", second, "", first / second, "faster than the first")
    report.add(section, "digest over all rows (verify)", whole)


def openings(report: Report, folder: Path) -> float:
    """A burst of one question to a new home's file: with the engine that the process keeps, and with an engine a burst."""
    section, db = "one question to a closed file of 35 tables", Database(Home(folder))
    asked = "SELECT count(*) FROM prices"

    def kept() -> None:
        with db.reading() as con:
            con.execute(asked).fetchone()

    def anew() -> None:
        with open_database(db.home.database) as con:
            con.execute(asked).fetchone()

    times = interleaved({"engine kept, file attached": kept, "engine made and closed": anew}, 20)
    ratio = speedup(times, "engine kept, file attached", "engine made and closed")
    for name, seconds in times.items():
        own = ratio if "closed" in name else None
        report.add(section, name, median(seconds), "", own, "the time of the kept one" if own else "")
    return ratio


CHECKS = """
WITH judged AS (
    SELECT count(*) FILTER (NOT regexp_full_match(symbol, '[A-Z0-9^][A-Z0-9.^=&-]{0,19}') OR symbol IS NULL OR session IS NULL
        OR NOT (open > 0 AND open < 1e9) OR NOT (high > 0 AND high < 1e9) OR NOT (low > 0 AND low < 1e9)
        OR NOT coalesce(close > 0 AND close < 1e9, false) OR NOT (volume >= 0) OR high < low * 0.9999) AS broken FROM frame
), doubled AS (
    SELECT count(*) AS n FROM (SELECT 1 FROM frame GROUP BY symbol, session HAVING count(*) > 1)
)
SELECT broken, n FROM judged, doubled
"""


def checks(report: Report, frame: pd.DataFrame, repeats: int) -> float:
    """pandera's schema of clean bars with uniqueness against the same rules in SQL; how many times slower pandera is."""
    section, con = f"checking {count_text(len(frame))} bars, duplicates included", duckdb.connect()
    con.register("frame", pa.Table.from_pandas(frame, preserve_index=False))  # as it lies in a landing file
    limit = frame["session"].max().date()
    calls = {
        "SQL": lambda: con.execute(CHECKS).fetchall(),
        "pandera, schema Bars": lambda: Bars.validate(frame, lazy=True),
        "cleaning, with its reasons": lambda: clean_bars(frame, None, limit),
    }
    if len(frame) > 5_000_000:
        del calls["cleaning, with its reasons"]
    times = interleaved(calls, repeats)
    ratio = speedup(times, "SQL", "pandera, schema Bars")
    for name, seconds in times.items():
        rate = f"{count_text(len(frame) / median(seconds))} rows/s"
        own = ratio if name.startswith("pandera") else None
        report.add(section, name, median(seconds), rate, own, "the time of SQL" if own else "")
    con.close()
    return ratio


def main(arguments: list[str] | None = None) -> Report:
    chosen = options(__doc__, arguments)
    report = Report("storage", chosen.size)
    report.notes.append(
        f"memory limit of DuckDB {MEMORY_MB} MiB on both sides (the product's default is 1024, too little for the index)"
    )
    for number, shape in enumerate(SIZE[chosen.size]):
        with tempfile.TemporaryDirectory(prefix="nextclose-bench-") as name:
            product, keyed, ratios = loads(report, shape, Path(name))
            day = days(report, shape, product, keyed)
            keyed.path.unlink()
            latest, ranked = newest(report, shape, product)
            if number == 0:
                publishing(report, shape, product)
                opening = openings(report, Path(name) / "fresh")
    last = SIZE[chosen.size][-1]
    frames = [bars_of(last, 0, n, 0, 1) for n in (500, 8_000)] if chosen.size == "full" else []
    for frame in frames:
        checks(report, frame, 7)
    whole = pd.concat(list(chunks(last)), ignore_index=True)
    validation = checks(report, whole.iloc[: SIZE[chosen.size][0].rows], 3)
    if chosen.size == "full":
        validation = checks(report, whole, 1)
    report.at_least("one day of 8,000 into 20M rows over ON CONFLICT with a key", day["ratio ours"], 3)
    report.at_most("one day of 8,000 into 20M rows (ambitious)", day["ours"] * 1e3, 10, " ms")
    report.at_least("a burst with a kept engine over one with an engine of its own", opening, 2)
    again = "the same 20M rows again over {} with a key"
    report.at_least(again.format("INSERT OR IGNORE"), ratios["INSERT OR IGNORE, PRIMARY KEY, again"], 4)
    report.at_most("newest forecast of every symbol among 20M rows", latest * 1e3, 10, " ms")
    report.at_least("newest forecasts over row_number (ambitious)", ranked, 20)
    report.at_least("checking 20M rows in SQL over pandera", validation, 1.5)
    report.show(chosen.json)
    return report


if __name__ == "__main__":
    main()
