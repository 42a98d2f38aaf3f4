"""What came back from the web, and what it means: statuses, web pages in place of data, and the libraries' exceptions."""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

from forecasting.errors import Blocked, Malformed, RateLimited, SourceDown, SourceError, UnknownSymbol
from sources.addresses import AddressRefused

_REFUSALS = (401, 403, 407, 451, 999)

# Classes of httpcore and httpx by name, the special before the general: several names occur in both.
MEANING: dict[str, tuple[type[SourceError], str]] = {
    "AddressRefused": (Blocked, "refused"),
    "TimeoutException": (SourceDown, "no answer in time"),
    "ProxyError": (Blocked, "a proxy is in between"),
    "DecodingError": (Malformed, "an answer that cannot be unpacked"),
    "RemoteProtocolError": (SourceDown, "the connection was cut or is not HTTP"),
    "LocalProtocolError": (Malformed, "a request that HTTP does not allow"),
    "ProtocolError": (SourceDown, "the answer is not HTTP"),
    "NetworkError": (SourceDown, "no connection"),
    "ConnectionNotAvailable": (SourceDown, "no connection"),
    "UnsupportedProtocol": (Blocked, "only https is asked"),
    "InvalidURL": (Blocked, "that is not an address"),
    "TooManyRedirects": (Malformed, "redirected too often"),
    "CookieConflict": (Malformed, "cookies in conflict"),
    "StreamError": (SourceDown, "the answer ended early"),
    "TransportError": (SourceDown, "no connection"),
    "HTTPError": (SourceDown, "no answer"),
}
NEXT: dict[type[SourceError], str] = {
    RateLimited: "wait some time, then ask for fewer symbols at a time",
    Blocked: "check the key and the address, and what stands between this machine and the source",
    UnknownSymbol: "check how the source spells it",
    SourceDown: "check the network and try again later",
    Malformed: "check the address; if it is right, the source has changed its answers",
}


@dataclass(frozen=True)
class Answer:
    """One answer. ``headers``: names in lower case. ``body``: unpacked bytes. ``url``: where it came from, after redirects
    and without secrets."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str
    source: str = field(default="source", repr=False)
    symbol: str | None = field(default=None, repr=False)

    @property
    def text(self) -> str:
        """The body as text: UTF-8 (a byte-order mark is dropped) unless the answer names another charset."""
        charset = self.headers.get("content-type", "").partition("charset=")[2].split(";")[0].strip(" \"'")
        try:
            return self.body.decode(charset or "utf-8-sig", errors="replace").removeprefix("\ufeff")
        except LookupError:
            return self.body.decode("utf-8-sig", errors="replace")

    @property
    def retry_after(self) -> float | None:
        """The seconds that the answer asks to wait, where it does; a date counts from the answer's own."""
        text = self.headers.get("retry-after", "").strip()
        try:
            if text.isdigit():
                return float(text[:9])
            return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(self.headers["date"])).total_seconds())
        except (ValueError, TypeError, KeyError):
            return None

    def json(self) -> Any:
        """The body as JSON; Malformed when it is none."""
        try:
            return json.loads(self.text)
        except (ValueError, RecursionError) as error:
            detail = "an empty answer" if not self.body.strip() else f"an answer that is not JSON ({error})"
            raise Malformed(self.source, self.symbol, detail, NEXT[Malformed]) from error


def meaning_of_answer(answer: Answer, accept: str) -> tuple[type[SourceError], str] | None:
    """(class, words) of the error that an answer is; None for one that can be read. ``accept='data'``: a web page cannot."""
    status, where = answer.status, answer.url.split("://")[-1].split("?")[0]
    if status == 429:
        return RateLimited, "answered 429: too many requests"
    if status in _REFUSALS:
        return Blocked, f"refused with status {status} at {where}"
    if status in (404, 410):
        return UnknownSymbol if answer.symbol else Malformed, f"answered {status}: there is nothing at {where}"
    if status >= 500:
        return SourceDown, f"answered with status {status}"
    if status != 200:
        return Malformed, f"answered {status}: {_first_line(answer)}"
    if accept == "data" and answer.body[:200].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<":
        return Blocked, "answered with a web page instead of data: a consent page, proxy or portal in between"
    return None


def meaning_of_exception(error: Exception, host: str) -> tuple[type[SourceError], str]:
    """(class, words) of what httpcore or httpx has raised while asking ``host``."""
    if isinstance(error, AddressRefused):
        return Blocked, f"refused: {error}, and only public ones are asked"
    if _untrusted(error):
        return Blocked, f"the certificate of {host} is not trusted: somebody is in between"
    names = [cls.__name__ for cls in type(error).__mro__]
    kind, detail = next((MEANING[name] for name in names if name in MEANING), (Malformed, type(error).__name__))
    return kind, f"{detail} ({host}: {_words(error)})"


def _untrusted(error: BaseException | None) -> bool:
    while error is not None and not isinstance(error, ssl.SSLCertVerificationError):
        error = error.__cause__ or error.__context__
    return error is not None


def _words(error: Exception) -> str:
    return ((str(error) or type(error).__name__).splitlines() or [""])[0][:120].rstrip(" .")


def _first_line(answer: Answer) -> str:
    line = next((line.strip() for line in answer.text[:2000].splitlines() if line.strip()), "")
    return line[:120] if line and line[:1] != "<" else "without a reason"
