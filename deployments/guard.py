"""What stands before the Prefect server: a request must name this host and come from this origin.

Prefect 3.8.8 answers any ``Host`` (so that a foreign name made to point here could be read by that name's pages), shakes
hands on three web sockets before it asks for the password, and shows its API's documentation to everybody (tried).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

CLOSED = frozenset({"/docs", "/redoc", "/openapi.json", "/docs/oauth2-redirect"})
POLICY_VIOLATION = 1008


class Guard:
    """An ASGI application around another one; ``hosts`` and ``origins`` are what a request may say."""

    def __init__(self, app: App, hosts: Iterable[str], origins: Iterable[str]) -> None:
        self._app, self._hosts, self._origins = app, frozenset(hosts), frozenset(origins)
        sockets = " ".join(origin.replace("http", "ws", 1) for origin in sorted(self._origins))
        self._headers = [
            (b"x-frame-options", b"DENY"),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"no-referrer"),
            (
                b"content-security-policy",
                # The UI builds code and styles at run time; what it cannot do is speak to anybody else.
                "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self'; "
                f"connect-src 'self' {' '.join(sorted(self._origins))} {sockets}".encode(),
            ),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, self._with_headers(send) if scope["type"] == "http" else send)
        elif scope["type"] == "websocket":
            await receive()  # the handshake; closing before accepting it answers 403
            await send({"type": "websocket.close", "code": POLICY_VIOLATION})
        else:
            await _answer(send, *refusal)

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason where the request is not let in."""
        said = {name.lower(): value.decode("latin-1").lower() for name, value in scope["headers"]}
        hosts = [value for name, value in scope["headers"] if name.lower() == b"host"]
        if len(hosts) != 1 or said[b"host"] not in self._hosts:
            return 400, "this server goes by another name; see serve.url and serve.names in the settings"
        if b"origin" in said and said[b"origin"] not in self._origins:
            return 403, "pages of another origin may not speak to this server"
        if scope["path"].rstrip("/") in CLOSED:
            return 404, "not shown"
        return None

    def _with_headers(self, send: Send) -> Send:
        async def sending(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *self._headers]}
            await send(message)

        return sending


async def _answer(send: Send, status: int, text: str) -> None:
    body = (text + "\n").encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
