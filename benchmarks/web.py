"""How fast does the web app answer, and what does it take?

A made-up store of 500 symbols with ten years of forecasts by four forecasters (small: 20 symbols, 40 origins),
a real process of
``nextclose web``, and requests over loopback from this one: start-up to the first answer; every page, what is kept and what is
asked for the first time; the hot endpoint (the latest forecasts of one symbol) at a steady 300 requests a second, 500 symbols
in turn; the memory of the process after all of it.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

import httpx

from benchmarks.made_store import MODELS, RUN, Shape, make_store, symbol_name
from benchmarks.measuring import ROOT, Report, options
from storage.home import Home

SIZE = {
    "small": Shape(symbols=20, sessions=80, origins=40, forecasters=("lstm", "ewma")),
    "full": Shape(symbols=500, sessions=2600, origins=2520, forecasters=("lstm", "persistence", "ewma", "har")),
}
PAGES = {
    "today": "/", "symbol": "/symbols/{symbol}", "scoreboard": "/scoreboard", "models": "/models",
    "model": f"/models/{MODELS[0]}",
    "data": "/data", "runs": "/runs", "run": f"/runs/{RUN}",
}  # fmt: skip
RATE = 300  # requests a second


@contextmanager
def served(home: Path):
    """(address, seconds from the start of the process to its first answer, process)."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "app.cli", "web", "--home", str(home), "--port", "0", "--json"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        address = json.loads(process.stdout.readline())["address"]
        while True:
            try:
                httpx.get(f"{address}/api/v1/runs?limit=1", timeout=60).raise_for_status()
                break
            except httpx.TransportError:
                time.sleep(0.01)
        yield address, time.perf_counter() - begun, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def megabytes(process: subprocess.Popen) -> float:
    """Resident memory of the process now, its highest so far being no larger than what it was bounded to."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def warm(client: httpx.Client) -> float:
    """Wait until the dear parts of the edition are made; the seconds that it took."""
    begun = time.perf_counter()
    while client.get("/scoreboard").status_code != 200:
        time.sleep(0.2)
    client.get("/")
    return time.perf_counter() - begun


def pages(report: Report, client: httpx.Client, process: subprocess.Popen, shape: Shape, rounds: int) -> float:
    """Times of every page; returns the worst 99th percentile. Symbols and filters vary, so that most answers are made anew."""
    worst = 0.0
    for name, path in PAGES.items():
        fresh, kept, before = [], [], _cpu(process)
        for nth in range(rounds):
            address = path.format(symbol=symbol_name(nth % shape.symbols))
            if name == "today":
                address += f"?sort=up{(1, 5, 20)[nth % 3]}&dir={('up', 'down')[nth % 2]}&only={'' if nth < 6 else 'fallback'}"
            for times in (fresh, kept):
                begun = time.perf_counter()
                client.get(address).raise_for_status()
                times.append(time.perf_counter() - begun)
        ordered = sorted(fresh + kept)
        p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
        worst = max(worst, p99)
        report.add("pages", f"{name}, first asked", sorted(fresh)[len(fresh) // 2], "median")
        report.add("pages", f"{name}, kept", sorted(kept)[len(kept) // 2], "median")
        report.add(
            "pages",
            f"{name}, both",
            p99,
            f"99th percentile of {len(ordered)}; {1000 * (_cpu(process) - before) / len(ordered):.1f} ms of CPU each",
        )
    return worst


async def steady(address: str, shape: Shape, seconds: float, rate: int) -> list[float]:
    """Send at an even pace whatever the answers do (an open loop); the seconds from when each was due to its end.

    Plain sockets: a client library would take more of the two cores than the server does.
    """
    host, port = address.removeprefix("http://").split(":")
    waiting: asyncio.Queue[tuple[float, str]] = asyncio.Queue()
    taken: list[float] = []

    async def connection() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while True:
            due, path = await waiting.get()
            writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\naccept-encoding: gzip\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise ValueError(head.splitlines()[0].decode())
            length = next(line for line in head.lower().splitlines() if line.startswith(b"content-length"))
            await reader.readexactly(int(length.split(b":")[1]))
            taken.append(time.perf_counter() - due)
            waiting.task_done()

    connections = [asyncio.create_task(connection()) for _ in range(16)]
    begun = time.perf_counter()
    for nth in range(int(seconds * rate)):
        due = begun + nth / rate
        if (wait := due - time.perf_counter()) > 0:
            await asyncio.sleep(wait)
        waiting.put_nowait((due, f"/api/v1/forecasts/latest?symbol={symbol_name(nth % shape.symbols)}"))
    await asyncio.wait([asyncio.create_task(waiting.join()), *connections], return_when=asyncio.FIRST_COMPLETED)
    for task in connections:
        task.cancel()
    for result in await asyncio.gather(*connections, return_exceptions=True):
        if isinstance(result, Exception):
            raise result
    return taken


def main() -> None:
    chosen = options(__doc__)
    shape, full = SIZE[chosen.size], chosen.size == "full"
    report = Report("web", chosen.size)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(os.environ.get("WEB_BENCHMARK_STORE") or make_store(Home(Path(folder) / "home"), shape).path)
        starts = []
        for _ in range(5 if full else 1):
            with served(home) as (_, seconds, _):
                starts.append(seconds)
        report.add("start", "to the first answer", sorted(starts)[len(starts) // 2], "median")
        with served(home) as (address, _, process), httpx.Client(base_url=address, timeout=300) as client:
            report.add("start", "dear parts of an edition, beside", warm(client), "the first page may wait for them")
            worst = pages(report, client, process, shape, 60 if full else 4)
            before = _cpu(process)
            taken = asyncio.run(steady(address, shape, 20 if full else 1, RATE if full else 50))
            cuts = quantiles(taken, n=100)
            report.add("hot endpoint", "median", cuts[49], f"{RATE if full else 50} requests/s, {len(taken)} in all")
            report.add("hot endpoint", "99th percentile", cuts[98], f"{_cpu(process) - before:.1f} s of CPU")
            memory = megabytes(process)
            report.add("memory", "peak of the process", None, f"{memory:.0f} MB")
    report.at_most("start-up, s", sorted(starts)[len(starts) // 2], 1.5)
    report.at_most("every page, 99th percentile, ms", 1000 * worst, 100)
    report.at_most("hot endpoint, 99th percentile, ms", 1000 * cuts[98], 20)
    report.at_most("memory, MB", memory, 1500)
    report.show(chosen.json)


def _cpu(process: subprocess.Popen) -> float:
    """Seconds of CPU that the process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
