"""What yfinance raises, said in our words: translated at the door, once, with the original kept as the cause."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any

from forecasting.errors import (
    Blocked,
    Malformed,
    NextcloseError,
    NoBars,
    NoSession,
    Partial,
    RateLimited,
    SourceDown,
    SourceError,
    UnknownSymbol,
)

# Classes of yfinance and curl_cffi by name (so that this needs neither), the special before the general.
MEANING: dict[str, type[SourceError]] = {
    "YFRateLimitError": RateLimited,
    "YFPricesMissingError": UnknownSymbol,
    "YFTzMissingError": UnknownSymbol,
    "YFEarningsDateMissing": Malformed,
    "YFTickerMissingError": UnknownSymbol,
    "YFInvalidPeriodError": Malformed,
    "YFDataException": SourceDown,
    "YFNotImplementedError": Malformed,
    "YFException": Malformed,
    "CertificateVerifyError": Blocked,
    "SSLError": Blocked,
    "Timeout": SourceDown,
    "ConnectionError": SourceDown,
    "JSONDecodeError": Malformed,
    "RequestException": SourceDown,
    "CurlError": SourceDown,
}
_NEXT: dict[type[SourceError], str] = {
    RateLimited: "wait some hours, then ask for fewer symbols at a time",
    Blocked: "open finance.yahoo.com in a browser on this machine, or use --source files",
    UnknownSymbol: "check the spelling at finance.yahoo.com; it may be delisted or renamed",
    SourceDown: "check the network and try again, or use --source files",
    Malformed: "try again later; if it stays, Yahoo has changed its answers",
    Partial: "try again later",
}


@contextmanager
def translate(symbol: str, session: Any) -> Iterator[None]:
    """Turn whatever is raised inside into a SourceError. The HTTP answer that ``session`` saw knows better than yfinance."""
    try:
        yield
    except NextcloseError:  # ours already, also that the step has had its time
        raise
    except Exception as error:  # whatever it is, it came out of the foreign library
        kind, detail = _from_answer(session) or _from_exception(error, session)
        meant = kind("yahoo", symbol, _printable(detail), _NEXT.get(kind, ""))
        if isinstance(meant, RateLimited):
            meant.retry_after = getattr(session, "retry_after", None)
        raise meant from error


def without_bars(symbol: str, start: date | None, today: date) -> SourceError:
    """For an answer in good form that holds no bar. Ten days hold a session on every exchange, fewer may be holidays."""
    if start is None or (today - start).days >= 10:
        return NoBars("yahoo", symbol, "an answer without a single bar", _NEXT[Partial])
    return NoSession("yahoo", symbol, f"no session from {start} to now")


def _from_answer(session: Any) -> tuple[type[SourceError], str] | None:
    status = getattr(session, "status", None)
    if status is None:
        return None
    if status == 429:
        return RateLimited, "answered 429: too many requests"
    if status in (401, 403, 407, 451, 999):
        return Blocked, f"refused with status {status}"
    if 300 <= status < 400:
        return Blocked, f"redirected elsewhere with status {status}: a consent page, proxy or portal in between"
    if status == 404:
        return UnknownSymbol, f"answered 404: {_reason(session) or 'no such symbol'}"
    if status >= 500:
        return SourceDown, f"answered with status {status}"
    body = session.body.lstrip()
    if "will be right back" in body.lower():
        return SourceDown, "answered that it will be right back"
    if body[:1] == "<" or "html" in session.content_type:
        return Blocked, "answered with a web page instead of prices: a consent page, proxy or portal in between"
    if status >= 400:
        reason = _reason(session)
        if reason and "doesn't exist for startdate" in reason.lower():
            return NoSession, reason
        return Malformed, f"answered {status}: {reason or 'without a reason'}"
    return None


def _reason(session: Any) -> str:
    """What Yahoo itself says, as far as it does."""
    try:
        return str(json.loads(session.body)["chart"]["error"]["description"])
    except (ValueError, TypeError, KeyError):
        return ""


def _from_exception(error: Exception, session: Any) -> tuple[type[SourceError], str]:
    names = [cls.__name__ for cls in type(error).__mro__]
    kind = next((meaning for name, meaning in MEANING.items() if name in names), Malformed)
    answered = getattr(session, "status", None) is not None
    if kind is UnknownSymbol and answered and not _reason(session):
        return Partial, "an answer without a single bar"
    if kind is SourceDown:
        slow = "Timeout" in names or "TimeoutError" in names
        return kind, "no answer in time" if slow else f"no connection ({_first_line(error)})"
    if kind in (UnknownSymbol, RateLimited, Blocked):
        return kind, _reason(session) or _first_line(error)
    return kind, f"an answer that cannot be read ({type(error).__name__}: {_first_line(error)})"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text[:300])


def _first_line(error: Exception) -> str:
    text = (str(error).splitlines() or [type(error).__name__])[0].split(" See https://")[0]
    return text.removeprefix("Failed to perform, ")[:140].rstrip(" .")
