"""A server on loopback that answers as Yahoo's chart service does, well or badly, through real sockets.

    with YahooStandIn() as yahoo:
        yahoo.say("AAPL", bars([("2024-01-02", 100.0)]), splits={"2024-06-10": 4})
        YahooSource(base_url=yahoo.url).fetch(["AAPL"])

``say(symbol, …)`` puts one or several answers in line; the last one is repeated. ``requests`` lists what was asked.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from zoneinfo import ZoneInfo

CHART = "/v8/finance/chart/"


class Answer:
    """Status, content type and body of one HTTP answer, and how long to wait before it."""

    def __init__(self, body: Any, status: int = 200, kind: str = "application/json", wait: float = 0.0) -> None:
        self.body = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.status, self.kind, self.wait = status, kind, wait


def chart(
    rows: Sequence[tuple],
    splits: dict[str, float] | None = None,
    dividends: dict[str, float] | None = None,
    symbol: str = "AAPL",
    zone: str = "America/New_York",
    currency: str = "USD",
    hour: int = 9,
) -> Answer:
    """Rows of (date, close) or (date, open, high, low, close, volume); None anywhere is a null."""
    full = [(r[0], r[1], r[1], r[1], r[1], 1000) if len(r) == 2 else r for r in rows]
    at = [_stamp(r[0], zone, hour) for r in full]
    meta = {
        "symbol": symbol,
        "currency": currency,
        "instrumentType": "EQUITY",
        "exchangeTimezoneName": zone,
        "timezone": "EST",
        "gmtoffset": -18000,
        "regularMarketTime": at[-1] if at else 0,
        "priceHint": 2,
        "dataGranularity": "1d",
        "range": "",
        "validRanges": ["1d", "5d", "1mo", "max"],
        "currentTradingPeriod": {
            p: {"timezone": "EST", "start": 0, "end": 0, "gmtoffset": 0} for p in ("pre", "regular", "post")
        },
        "firstTradeDate": at[0] if at else None,
    }
    quote = {k: [r[i] for r in full] for i, k in enumerate(("open", "high", "low", "close", "volume"), start=1)}
    result: dict[str, Any] = {"meta": meta, "indicators": {"quote": [quote], "adjclose": [{"adjclose": quote["close"]}]}}
    if at:
        result["timestamp"] = at
    else:
        result["indicators"] = {"quote": [{}], "adjclose": [{}]}
    events: dict[str, Any] = {}
    if splits:
        stamped = {_stamp(d, zone, hour): n for d, n in splits.items()}
        events["splits"] = {
            str(t): {
                "date": t,
                "numerator": n if n >= 1 else 1,
                "denominator": 1 if n >= 1 else round(1 / n),
                "splitRatio": f"{n}:1",
            }
            for t, n in stamped.items()
        }
    if dividends:
        events["dividends"] = {
            str(t): {"amount": v, "date": t} for t, v in ((_stamp(d, zone, hour), v) for d, v in dividends.items())
        }
    if events:
        result["events"] = events
    return Answer({"chart": {"result": [result], "error": None}})


def _stamp(day: str, zone: str, hour: int) -> int:
    moment = datetime.fromisoformat(day)
    return int(
        moment.replace(
            hour=moment.hour or hour, minute=30 if not moment.hour else moment.minute, tzinfo=ZoneInfo(zone)
        ).timestamp()
    )


def unknown() -> Answer:
    error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
    return Answer({"chart": {"result": None, "error": error}}, status=404)


def rate_limited() -> Answer:
    return Answer("Edge: Too Many Requests", status=429, kind="text/html")


def server_error() -> Answer:
    return Answer("upstream connect error", status=500, kind="text/plain")


def web_page() -> Answer:
    return Answer("<!DOCTYPE html><html><body>Please sign in to the hotel network</body></html>", kind="text/html")


def empty() -> Answer:
    return chart([])


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that has given up closes its end


class YahooStandIn:
    """The server; ``url`` is where it listens while the ``with`` block lasts."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Answer]] = {}
        self.requests: list[tuple[str, dict[str, list[str]]]] = []
        self.crumb = Answer("crumb123", kind="text/plain")
        self._asked: dict[str, int] = {}

    def say(self, symbol: str, *answers: Answer) -> None:
        """The answers to requests for prices of ``symbol``, one after the other, the last for ever."""
        self.answers[symbol] = list(answers)
        self._asked[symbol] = 0

    def asked(self, symbol: str) -> int:
        """How many requests for prices of ``symbol`` have come."""
        return sum(path == CHART + symbol for path, _ in self.requests)

    def answer_to(self, path: str) -> Answer:
        if path.startswith(CHART):
            symbol = path.removeprefix(CHART)
            line = self.answers.get(symbol) or [unknown()]
            n = self._asked.get(symbol, 0)
            self._asked[symbol] = n + 1
            return line[min(n, len(line) - 1)]
        if path.endswith("/getcrumb"):
            return self.crumb
        if path == "/":
            return Answer("", kind="text/html")
        return Answer({"quoteSummary": {"result": None, "error": {"code": "Not Found", "description": "none"}}}, status=404)

    def __enter__(self) -> YahooStandIn:
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                place = urlsplit(self.path)
                path = unquote(place.path)
                stand_in.requests.append((path, parse_qs(place.query)))
                answer = stand_in.answer_to(path)
                time.sleep(answer.wait)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.kind)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                try:
                    self.wfile.write(answer.body)
                except OSError:
                    pass  # the client has given up waiting

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
