"""What stands around every answer: one edition a request, ETag and Last-Modified, finished answers kept, gzip, headers."""

from __future__ import annotations

import gzip
import hashlib
import logging
import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from functools import cache
from typing import Any

from fastapi.concurrency import run_in_threadpool

from app.web.formats import chosen
from app.web.static_files import style_hashes
from forecasting.errors import StorageError
from storage.editions import Edition, Editions

log = logging.getLogger("nextclose.web")

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@cache
def security() -> list[tuple[bytes, bytes]]:
    """The headers of every answer. No inline script and no inline style is run; what Plotly inserts is named by its hash."""
    policy = (
        f"default-src 'none'; script-src 'self'; style-src 'self' {' '.join(style_hashes())}; img-src 'self' data: blob:; "
        "connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return [(name.encode(), value.encode()) for name, value in {"content-security-policy": policy, **_HEADERS}.items()]


#: Below these nothing is kept: files have headers of their own, the others answer for this moment.
UNKEPT = ("/static/", "/api/v1/health", "/api/v1/runs/started", "/contributions", "/prefect")
MOST_MADE = 48  # answers made side by side: more would wait for the same threads
_SMALLEST_GZIP, _LARGEST_KEPT = 800, 8 * 1024 * 1024


@dataclass(frozen=True)
class Answer:
    """A finished answer; ``packed`` is its gzip, empty where that is no smaller."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    packed: bytes

    @property
    def size(self) -> int:
        return len(self.body) + len(self.packed) + 500


@dataclass
class Kept:
    """Finished answers by what was asked of which edition, the least used thrown out when ``most`` bytes are full."""

    most: int
    size: int = 0
    answers: OrderedDict[str, Answer] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def get(self, key: str) -> Answer | None:
        with self.lock:
            answer = self.answers.get(key)
            if answer is not None:
                self.answers.move_to_end(key)
            return answer

    def put(self, key: str, answer: Answer) -> None:
        with self.lock:
            if key not in self.answers and answer.size <= self.most:
                self.answers[key] = answer
                self.size += answer.size
            while self.size > self.most:
                self.size -= self.answers.popitem(last=False)[1].size


class Answering:
    """ASGI middleware. ``epoch`` tells what else an answer depends on: the sessions that the calendars expect by now."""

    def __init__(self, app: Any, editions: Editions, epoch: Callable[[Edition], str], cache_mb: int, version: str) -> None:
        self.app, self.editions, self.epoch, self.version = app, editions, epoch, version
        self.kept = Kept(cache_mb * 1024 * 1024)
        self._making = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        reading = scope["method"] in ("GET", "HEAD")
        if not reading or any(part in scope["path"] for part in UNKEPT):
            if scope["path"].startswith("/static/"):
                scope.setdefault("state", {}).update(edition=None, problem="")
            else:
                await self._edition_into(scope)
            await self.app(_as_get(scope), receive, _without_body(send) if scope["method"] == "HEAD" else send)
            return
        edition = await self._edition_into(scope)
        if edition is None:
            await self.app(_as_get(scope), receive, _without_body(send) if scope["method"] == "HEAD" else send)
            return
        await self._kept_or_made(scope, receive, send, edition)

    async def _edition_into(self, scope: Scope) -> Edition | None:
        """The edition that this whole request is answered from; also when a publish comes in the middle of it."""
        edition, problem = self.editions.at_hand(), ""
        if edition is None:
            try:
                edition = await run_in_threadpool(self.editions.current)
            except StorageError as error:
                problem = str(error)
        scope.setdefault("state", {}).update(edition=edition, problem=problem)
        return edition

    async def _kept_or_made(self, scope: Scope, receive: Receive, send: Send, edition: Edition) -> None:
        asked = dict(scope["headers"])
        accept = asked.get(b"accept", b"").decode("latin-1") if scope["path"].startswith("/api/") else ""
        query = scope["query_string"].decode("latin-1")
        form = chosen(None, accept) if "format=" not in query else ""
        epoch = "" if scope["path"].startswith("/api/") else self.epoch(edition)
        told = f"{self.version}|{edition.id}|{epoch}|{scope['path']}?{query}|{form}"
        key = hashlib.sha256(told.encode()).hexdigest()[:32]
        tag = f'W/"{key}"'.encode()
        published = _http_date(edition.published_at)
        same = any(part.strip() == tag for part in asked.get(b"if-none-match", b"").split(b","))
        if b"if-none-match" not in asked and published and scope["path"].startswith("/api/"):
            same = asked.get(b"if-modified-since") == published  # equal, not later: a restored snapshot may be older
        if same:
            await _send(
                send, 304, [(b"etag", tag), (b"cache-control", b"no-cache"), (b"vary", b"accept, accept-encoding")], b""
            )
            return
        answer = self.kept.get(key)
        if answer is None:
            if self._making >= MOST_MADE:
                await refuse(send, f"{MOST_MADE} other answers are being made")
                return
            self._making += 1
            try:
                answer = await self._made(scope, receive)
            finally:
                self._making -= 1
            headers = [(n, v) for n, v in answer.headers if n not in (b"content-length", b"cache-control", b"vary")]
            headers += [(b"cache-control", b"no-cache"), (b"vary", b"accept, accept-encoding")]
            if answer.status == 200:
                headers.append((b"etag", tag))
                if published:
                    headers.append((b"last-modified", published))
            packed = b""
            if len(answer.body) >= _SMALLEST_GZIP and _packs(headers):
                packed = await run_in_threadpool(gzip.compress, answer.body, 4)
            answer = Answer(answer.status, headers, answer.body, packed)
            if answer.status == 200 and answer.size <= _LARGEST_KEPT:
                self.kept.put(key, answer)
        headers, body = answer.headers, answer.body
        if answer.packed and b"gzip" in asked.get(b"accept-encoding", b"").lower():
            headers, body = [*headers, (b"content-encoding", b"gzip")], answer.packed
        await _send(send, answer.status, headers, body, head=scope["method"] == "HEAD")

    async def _made(self, scope: Scope, receive: Receive) -> Answer:
        """The whole answer of the app behind."""
        status, headers, parts = 500, [], []

        async def collect(message: MutableMapping[str, Any]) -> None:
            nonlocal status, headers
            if message["type"] == "http.response.start":
                status, headers = message["status"], list(message["headers"])
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))

        try:
            await self.app(_as_get(scope), receive, collect)
        except Exception:  # the app has answered with a 500 where it could; the reason belongs into the log alone
            log.exception("a fault of ours at %s", scope["path"])
            status = 500
        return Answer(status, headers, b"".join(parts), b"")


def _http_date(instant: datetime | None) -> bytes | None:
    """As HTTP writes it."""
    return None if instant is None else format_datetime(instant.astimezone(UTC), usegmt=True).encode()


def _as_get(scope: Scope) -> Scope:
    """HEAD is GET without the body; the routes know GET alone."""
    return {**scope, "method": "GET"} if scope["method"] == "HEAD" else scope


def _packs(headers: list[tuple[bytes, bytes]]) -> bool:
    kind = dict(headers).get(b"content-type", b"")
    return kind.startswith((b"text/", b"application/json", b"image/svg", b"application/vnd.apache.arrow"))


def with_security(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *security()]
        await send(message)

    return sending


def _without_body(send: Send) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return sending


async def refuse(send: Send, why: str) -> None:
    """503 at once, and when to come again: a request is not left waiting for others."""
    body = b'{"detail": "%s; ask again in a moment"}' % why.encode()
    log.warning("refused for load: %s", why)
    await _send(send, 503, [(b"content-type", b"application/json"), (b"retry-after", b"2")], body)


async def _send(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes, head: bool = False) -> None:
    sized = headers if status == 304 else [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": b"" if head or status == 304 else body})
