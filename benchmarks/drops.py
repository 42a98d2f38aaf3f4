"""What does an evening's delivery of the whole market cost, kept as it was known?

Files of two days a symbol (4,300 symbols, the second day new, the first one again with a few revisions), one run a file:
load, check, account, store as revisions, complete, publish. Against the plain way: pandas reads the file, drops duplicates,
and DuckDB upserts into a table with a primary key, which forgets what was there before. Real drops are used where
``NEXTCLOSE_SHARED_DATA`` (or the folder beside the project) has them, a made-up market of the same size otherwise.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from benchmarks.measuring import ROOT, Helper, Report, Requests, helper_settings, options

SIZE = {"small": dict(symbols=20, drops=4), "full": dict(symbols=4300, drops=14)}
BAR = 2.0  # seconds a drop on two cores


def serve(settings: dict) -> None:
    """Take in one file after the other, as ours or the plain way; answers seconds and peak MB."""
    requests = Requests()
    take = ours(Path(settings["folder"])) if settings["who"] == "ours" else plain(Path(settings["folder"]))
    while (asked := requests.next()) is not None:
        begin = time.perf_counter()
        take(Path(asked["path"]))
        seconds = time.perf_counter() - begin
        requests.answer(seconds=seconds, peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)


def ours(folder: Path):
    """The steps of the ingest flow, at the evening of the file's day."""
    from flows.prices import bring_in_prices
    from storage.home import Home
    from tasks.opening import Asked, open_run
    from tasks.publishing import complete, publish
    from tasks.settings import settings_of

    def take(path: Path) -> None:
        now = datetime.strptime(path.name[:8], "%Y%m%d").replace(hour=23, minute=30, tzinfo=UTC)
        asked = Asked("ingest", source="files", source_options={"path": str(path)}, every_time=True)
        with open_run(asked, Home(folder / "home"), settings_of({}), now) as run:
            bring_in_prices(run)
            complete(run)
            publish(run)

    return take


def plain(folder: Path):
    """Read, drop duplicates, upsert."""
    import duckdb
    import pandas as pd

    con = duckdb.connect(str(folder / "plain.duckdb"))
    numbers = ", ".join(f"{c} DOUBLE" for c in ("open", "high", "low", "close", "volume", "adj_close"))
    con.execute(f"CREATE TABLE bars (symbol VARCHAR, date DATE, {numbers}, PRIMARY KEY (symbol, date))")

    def take(path: Path) -> None:
        frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
        frame = frame[frame["date"] != "date"].drop_duplicates(["symbol", "date"], keep="last")
        con.register("incoming", frame)
        con.execute(
            "INSERT OR REPLACE INTO bars SELECT symbol, date::DATE, open::DOUBLE, high::DOUBLE, low::DOUBLE, close::DOUBLE, "
            "volume::DOUBLE, adj_close::DOUBLE FROM incoming"
        )
        con.execute("CHECKPOINT")

    return take


def real_drops(most: int) -> list[Path]:
    """The shared drops, without the empty day."""
    folder = Path(os.environ.get("NEXTCLOSE_SHARED_DATA") or ROOT.parent / "shared" / "data") / "daily_drops"
    return [p for p in sorted(folder.glob("*.csv.gz")) if p.stat().st_size > 1000][:most] if folder.is_dir() else []


def made_up_drops(folder: Path, symbols: int, drops: int) -> list[Path]:
    """Files in the same form from the synthetic market; in each a twentieth of the first day's closes is revised."""
    from sources.synthetic import SyntheticSource

    source = SyntheticSource(symbols=symbols, sessions=drops + 1, start="2015-03-20", cents=True, events=False)
    bars = source.fetch(source.symbols()).bars.rename(columns={"session": "date"})
    bars["adj_close"] = bars["close"]
    days = sorted(bars["date"].unique())
    paths = []
    for before, day in zip(days[:-1], days[1:], strict=True):
        old, new = bars[bars["date"] == before].copy(), bars[bars["date"] == day]
        old.loc[old.index[::20], ["close", "high", "adj_close"]] += 0.01
        import pandas as pd

        path = folder / f"{day:%Y%m%d}.csv.gz"
        pd.concat([new, old]).sort_values("symbol", kind="stable").to_csv(path, index=False)
        paths.append(path)
    return paths


def measured(size: str) -> Report:
    report = Report("drops", size)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = real_drops(SIZE["full"]["drops"]) if size == "full" else []
        kind = "real drops" if paths else "made-up drops"
        paths = paths or made_up_drops(folder, **SIZE[size])
        answers: dict[str, list[dict]] = {"ours": [], "plain": []}
        with (
            Helper("benchmarks.drops", {"who": "ours", "folder": name}) as one,
            Helper("benchmarks.drops", {"who": "plain", "folder": name}) as other,
        ):
            for path in paths:
                answers["ours"].append(one.ask(path=str(path)))
                answers["plain"].append(other.ask(path=str(path)))
    section = f"{len(paths)} {kind}, one run each"
    first, rest = answers["ours"][0], answers["ours"][1:]
    seconds, against = median(a["seconds"] for a in rest), median(a["seconds"] for a in answers["plain"][1:])
    worst, peak = max(a["seconds"] for a in rest), max(a["peak_mb"] for a in answers["ours"])
    report.add(section, "the first, into an empty store", first["seconds"])
    report.add(section, "a drop, median", seconds, f"peak {peak:.0f} MB", against / seconds, "plain upsert")
    report.add(section, "the slowest", worst)
    plain_peak = max(a["peak_mb"] for a in answers["plain"])
    report.add(section, "plain: read and upsert, nothing kept", against, f"peak {plain_peak:.0f} MB")
    report.add(section, "memory", None, f"{peak:.0f} MB", plain_peak / peak, "plain upsert")
    report.at_most("seconds a drop", seconds, BAR, " s")
    return report


def main() -> None:
    asked = options(__doc__)
    measured(asked.size).show(asked.json)


if __name__ == "__main__":
    helper = helper_settings()
    if helper is None:
        main()
    else:
        sys.exit(serve(helper))
