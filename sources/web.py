"""The way out to the web for every source that has no client of its own: bounded, guarded, and silent about secrets.

What can go wrong is told in the words of ``forecasting.errors``; past this file nobody has heard of httpx or httpcore.
httpx's own client is not used: it follows proxies and netrc, writes whole addresses with the key in them to the log, and
checks no address; its URLs and its decoding are.
"""

from __future__ import annotations

import base64
import logging
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import quote, quote_plus

import httpcore
import httpx

from forecasting.errors import Blocked, Malformed, RateLimited, SettingError, SourceError
from sources.addresses import GuardedNetwork, on_this_machine
from sources.meter import Meter
from sources.web_answers import NEXT, Answer, meaning_of_answer, meaning_of_exception

__all__ = ["Answer", "Web"]

logging.getLogger("httpcore").setLevel(logging.INFO)  # below, it writes the headers of answers, redirects with keys in them

_REDIRECTS = (301, 302, 303, 307, 308)
_MOST_REDIRECTS = 3
_ENCODINGS = ("", "identity", "gzip", "deflate")
Judge = Callable[[Answer], SourceError | None]


class Web:
    """GET requests for one source, each counted by ``meter``. Make one for each ``fetch`` and close it (``with``); one
    thread at a time.

    ``hosts``: the only hosts that may be asked, redirects included ('*.example.com' for all below); none named: any public
    one. ``base_url``: send every request there instead, path and query kept; the one address that may be http and on this
    machine. ``allow_private``: http, and addresses of this network, are fine for all. ``timeout_seconds``: for each wait
    for bytes. ``total_seconds``, ``max_bytes``: for one ``get``, redirects included, unpacked. ``secrets``: texts that no
    error, log line or ``Answer.url`` may show. ``headers`` are sent to the first host only, never to one redirected to.
    """

    def __init__(
        self,
        source: str,
        meter: Meter,
        hosts: Sequence[str] = (),
        *,
        base_url: str | None = None,
        timeout_seconds: float = 10.0,
        total_seconds: float = 60.0,
        max_bytes: int = 64 << 20,
        secrets: Sequence[str] = (),
        allow_private: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.source, self.meter = source, meter
        self._hosts = tuple(h.lower().rstrip(".") for h in hosts)
        self._timeout, self._total, self._max_bytes = timeout_seconds, total_seconds, max_bytes
        self._secrets = _spellings(secrets)
        self._allow_private, self._headers = allow_private, dict(headers or {})
        self._base = None if base_url is None else self._stand_in(base_url)
        self._network = GuardedNetwork(None if self._base is None else _place(self._base), allow_private)
        self._pool: httpcore.ConnectionPool | None = None

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        if self._pool is not None:
            self._pool.close()
            self._pool = None

    def get(
        self,
        url: str,
        params: Mapping[str, Any] | None = None,
        symbol: str | None = None,
        auth: tuple[str, str] | None = None,
        accept: str = "data",
        judge: Judge | None = None,
    ) -> Answer:
        """The answer, or the SourceError that it means. ``auth``: (user, password) for the first host only.

        ``accept='data'``: a web page is Blocked (a portal or consent page in between); anything else takes it as it is.
        ``judge`` sees every answer before its status is judged, and may name the error that it means.
        """
        address = self._address(url, symbol, params)
        if self._base is not None:
            path = self._base.raw_path.rstrip(b"/") + address.raw_path
            address = self._base.copy_with(raw_path=path)
        first, left = _place(address), self._total
        for hop in range(_MOST_REDIRECTS + 1):
            self._check(address, symbol)
            own = {**self._headers, **_basic(auth)} if _place(address) == first else {}
            with self.meter.request(self.source, symbol):
                begin = time.monotonic()
                self._network.deadline = begin + left
                answer = self._ask(address, own, symbol)
                left -= time.monotonic() - begin
            location = answer.headers.get("location")
            if answer.status not in _REDIRECTS or not location:
                break
            if hop == _MOST_REDIRECTS:
                raise self.error(Malformed, symbol, f"redirected more than {_MOST_REDIRECTS} times")
            address = self._redirected(address, location, symbol)
        if judge is not None and (error := judge(answer)) is not None:
            raise error
        if (meaning := meaning_of_answer(answer, accept)) is not None:
            error = self.error(meaning[0], symbol, meaning[1])
            if isinstance(error, RateLimited):
                error.retry_after = answer.retry_after
            raise error
        return answer

    def error(self, kind: type[SourceError], symbol: str | None, detail: str, next_step: str | None = None) -> SourceError:
        """An error of this source whose text shows no secret: for what an answer says of itself."""
        return kind(self.source, symbol, self.clean(detail), self.clean(NEXT.get(kind, "") if next_step is None else next_step))

    def clean(self, text: object, longest: int = 200) -> str:
        """``text`` on one line, printable, cut at ``longest`` characters, secrets replaced by ***."""
        line = " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())
        if self._secrets:
            line = re.sub("|".join(map(re.escape, self._secrets)), "***", line, flags=re.IGNORECASE)
        return line if len(line) <= longest else line[: longest - 1] + "…"

    # --- the request ------------------------------------------------------------------------------------------------

    def _stand_in(self, base_url: str) -> httpx.URL:
        base = self._address(base_url, None)
        here = on_this_machine(_host(base)) or self._allow_private
        if base.scheme != "https" and not (base.scheme == "http" and here):
            raise SettingError("base_url", self.clean(base_url), "an https address, or http on this machine")
        return base

    def _address(self, url: str, symbol: str | None, params: Mapping[str, Any] | None = None) -> httpx.URL:
        try:
            address = httpx.URL(url)
            return address.copy_merge_params(dict(params)) if params else address
        except (httpx.InvalidURL, ValueError, TypeError):
            pass  # its text holds the address
        raise self.error(Blocked, symbol, "refused: that is not an address", "write it as https://host/path")

    def _redirected(self, address: httpx.URL, location: str, symbol: str | None) -> httpx.URL:
        try:
            return address.join(location).copy_with(fragment=None)
        except (httpx.InvalidURL, ValueError):
            pass
        raise self.error(Blocked, symbol, "refused: redirected to what is not an address")

    def _check(self, address: httpx.URL, symbol: str | None) -> None:
        """Blocked for an address that may not be asked; what its name leads to is checked when connecting."""
        host, asked = _host(address), self.clean(f"{address.scheme}://{address.host}", 80)
        stand_in = self._base is not None and _place(address) == _place(self._base)
        problem = None
        if not host or address.scheme not in ("https", "http"):
            problem = "only https addresses are asked"
        elif address.scheme == "http" and not (stand_in or self._allow_private):
            problem = "only https addresses are asked, http shows everything to everyone"
        elif address.userinfo:
            problem = "an address must not hold a password"
        elif self._hosts and not stand_in and not any(_covers(allowed, host) for allowed in self._hosts):
            problem = f"only {', '.join(self._hosts[:3])} may be asked"
        if problem is not None:
            raise self.error(Blocked, symbol, f"{asked} refused: {problem}", "check the address")

    def _ask(self, address: httpx.URL, own: Mapping[str, str], symbol: str | None) -> Answer:
        if self._pool is None:
            self._pool = httpcore.ConnectionPool(ssl_context=_tls(), network_backend=self._network, keepalive_expiry=15.0)
        port = f":{address.port}" if address.port else ""
        headers = {
            "Host": address.raw_host.decode("ascii") + port,
            "User-Agent": "nextclose",
            "Accept": "*/*",
            "Accept-Encoding": "gzip",
            **own,
        }
        target = httpcore.URL(
            scheme=address.raw_scheme, host=address.raw_host, port=address.port, target=address.raw_path or b"/"
        )
        limits = {"timeout": dict.fromkeys(("connect", "read", "write", "pool"), self._timeout)}
        try:
            with self._pool.stream("GET", target, headers=list(headers.items()), extensions=limits) as response:
                got = httpx.Headers(response.headers)
                if (packed := got.get("content-encoding", "").strip().lower()) not in _ENCODINGS:
                    raise self.error(Malformed, symbol, f"an answer packed as {packed}, which was not asked for")
                body = self._read(httpx.Response(response.status, headers=got, stream=_Body(response)), symbol)
        except SourceError:
            raise
        except Exception as error:  # whatever it is, it came out of the foreign libraries
            kind, detail = meaning_of_exception(error, address.host)
            raise self.error(kind, symbol, detail) from self._cause(error)
        return Answer(response.status, dict(got), body, self._shown(address), self.source, symbol)

    def _read(self, response: httpx.Response, symbol: str | None) -> bytes:
        parts: list[bytes] = []
        size = 0
        for part in response.iter_bytes():
            parts.append(part)
            size += len(part)
            if size > self._max_bytes:
                raise self.error(Malformed, symbol, f"an answer of more than {self._max_bytes:,} bytes", "raise max_bytes")
        return b"".join(parts)

    # --- what it means ----------------------------------------------------------------------------------------------

    def _cause(self, error: Exception) -> Exception | None:
        """The original for the traceback, unless its text shows a secret."""
        text, seen = "", error
        while seen is not None:
            text += f"{seen} {seen!r} "
            seen = seen.__cause__ or seen.__context__
        return error if not any(secret in text.lower() for secret in self._secrets) else None

    def _shown(self, address: httpx.URL) -> str:
        return self.clean(address, 500)


class _Body(httpx.SyncByteStream):
    def __init__(self, response: httpcore.Response) -> None:
        self._response = response

    def __iter__(self):
        yield from self._response.iter_stream()


@cache
def _tls() -> ssl.SSLContext:
    return httpx.create_ssl_context()  # knows SSL_CERT_FILE, for networks that look into TLS


def _host(address: httpx.URL) -> str:
    return address.raw_host.decode("ascii").lower().rstrip(".")


def _place(address: httpx.URL) -> tuple[str, int]:
    return address.raw_host.decode("ascii"), address.port or (443 if address.scheme == "https" else 80)


def _covers(allowed: str, host: str) -> bool:
    return host.endswith(allowed[1:]) if allowed.startswith("*.") else host == allowed


def _basic(auth: tuple[str, str] | None) -> dict[str, str]:
    if auth is None:
        return {}
    return {"Authorization": "Basic " + base64.b64encode(":".join(auth).encode()).decode()}


def _spellings(secrets: Sequence[str]) -> tuple[str, ...]:
    """Each secret in lower case as it may appear in a text: plain, and as addresses write it; the longest first."""
    known = {form.lower() for s in secrets if s for form in (s, quote(s, safe=""), quote_plus(s), quote(s))}
    return tuple(sorted(known, key=len, reverse=True))
