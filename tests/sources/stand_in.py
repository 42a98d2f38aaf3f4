"""A server on loopback that answers what a test tells it to, well or badly, through real sockets.

    with StandIn() as server:
        server.say("/query", Answer({"a": 1}), Answer("busy", status=429))
        Web("x", Meter(Cost()), base_url=server.url).get("https://real.example/query")

``say(path, …)`` puts one or several answers in line; the last one is repeated. ``requests`` lists what was asked: path and
query; ``headers`` what came with each.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

Query = dict[str, list[str]]


class Answer:
    """Status, content type and body of one HTTP answer, and how long to wait before it.

    ``cut``: the connection ends after that many bytes of the body (0: before any answer). ``drip``: seconds between
    every ten bytes. ``headers``: more of them.
    """

    def __init__(
        self,
        body: Any,
        status: int = 200,
        kind: str = "application/json",
        wait: float = 0.0,
        headers: Mapping[str, str] | None = None,
        cut: int | None = None,
        drip: float = 0.0,
    ) -> None:
        self.body = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.status, self.kind, self.wait, self.headers, self.cut, self.drip = (
            status,
            kind,
            wait,
            dict(headers or {}),
            cut,
            drip,
        )


def redirect(to: str, status: int = 302) -> Answer:
    return Answer("", status=status, kind="text/plain", headers={"Location": to})


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that has given up closes its end


class StandIn:
    """The server; ``url`` is where it listens while the ``with`` block lasts."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, Query]] = []
        self.headers: list[dict[str, str]] = []
        self.lines: dict[str, list[Answer | Callable[[Query], Answer]]] = {}
        self._said: dict[str, int] = {}

    def say(self, path: str, *answers: Answer | Callable[[Query], Answer]) -> None:
        """The answers to requests for ``path``, one after the other, the last for ever; a function gets the query."""
        self.lines[path], self._said[path] = list(answers), 0

    def asked(self, path: str) -> int:
        """How many requests for ``path`` have come."""
        return sum(p == path for p, _ in self.requests)

    def answer_to(self, path: str, query: Query) -> Answer:
        line = self.lines.get(path)
        if not line:
            return Answer("nothing here", status=404, kind="text/plain")
        n = self._said[path]
        self._said[path] = n + 1
        answer = line[min(n, len(line) - 1)]
        return answer(query) if callable(answer) else answer

    def __enter__(self):
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else head and body of an answer are 40 ms apart

            def do_GET(self) -> None:
                place = urlsplit(self.path)
                path, query = unquote(place.path), parse_qs(place.query, keep_blank_values=True)
                stand_in.requests.append((path, query))
                stand_in.headers.append({k.lower(): v for k, v in self.headers.items()})
                answer = stand_in.answer_to(path, query)
                time.sleep(answer.wait)
                if answer.cut == 0:
                    return self._cut()
                self.send_response_only(answer.status)  # without a date: a test may give one
                headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body)), **answer.headers}
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    self._send(answer)
                except OSError:
                    pass  # the client has given up waiting

            do_POST = do_GET

            def _send(self, answer: Answer) -> None:
                if answer.drip:
                    for at in range(0, len(answer.body), 10):
                        self.wfile.write(answer.body[at : at + 10])
                        time.sleep(answer.drip)
                else:
                    self.wfile.write(answer.body[: answer.cut])
                if answer.cut is not None:
                    self._cut()

            def _cut(self) -> None:
                self.close_connection = True
                self.wfile.flush()
                self.connection.shutdown(socket.SHUT_RDWR)

            def log_message(self, *args: Any) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()
