"""The HTTP session that yfinance gets: bounded in time, able to speak to a stand-in, and with a memory for what came back."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi.const import CurlECode
from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import ConnectionError as NoConnection
from curl_cffi.requests.exceptions import InvalidURL, RequestException

from forecasting.errors import SettingError
from sources.addresses import on_this_machine
from sources.meter import Meter

CHART = "/v8/finance/chart/"
_CONNECT_SECONDS = 3.0
_NOBODY = (CurlECode.COULDNT_RESOLVE_PROXY, CurlECode.COULDNT_RESOLVE_HOST, CurlECode.COULDNT_CONNECT)


class YahooSession(Session):
    """A curl_cffi session as yfinance makes it, with finite times, that asks Yahoo alone and follows no redirect.

    yfinance waits 30 s for its cookie and crumb whatever the caller's timeout, and fetches them before every request while
    it has none. Neither is needed for prices, so each gets one request and a short time of its own, and a machine without
    a network hears so within seconds. It also fetches other
    cookies and repeats a refused request at once, ten requests for one, which makes a rate limit worse: here only after a
    401. ``meter`` counts every request.
    """

    def __init__(self, base_url: str | None = None, timeout_seconds: float = 10.0, meter: Meter | None = None) -> None:
        if base_url and not on_this_machine(urlsplit(base_url).hostname):
            raise SettingError("yahoo.base_url", base_url, "the address of a stand-in server on this machine")
        super().__init__(impersonate="chrome", allow_redirects=False)
        self.meter, self.symbol = meter, None
        self._base = urlsplit(base_url) if base_url else None
        self._seconds = timeout_seconds
        self._tried: set[str] = set()
        self.status: int | None = None  # of the last answer to a request for prices
        self.content_type = ""
        self.retry_after: float | None = None
        self.body = ""
        self.dead = False  # no connection at all to the host of the prices

    def forget(self, symbol: str | None = None) -> None:
        """Before the next symbol: what the last one was answered no longer counts."""
        self.symbol, self.status, self.content_type, self.retry_after, self.body = symbol, None, "", None, ""
        self.dead = False

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        place = urlsplit(url)
        if place.scheme != "https" or not (place.hostname or "").endswith(".yahoo.com"):
            raise InvalidURL(f"{place.hostname} is not Yahoo")
        prices = place.path.startswith(CHART)
        if not prices and place.netloc + place.path in self._tried and self.status != 401:
            raise NoConnection(f"{place.netloc} was asked before")
        if self.status is not None and self.status >= 300 and self.status != 401:
            raise NoConnection(f"answered {self.status} a moment ago")
        if not prices:
            self._tried.add(place.netloc + place.path)
        seconds = self._seconds if prices else min(_CONNECT_SECONDS, self._seconds)
        kwargs["timeout"] = (min(_CONNECT_SECONDS, seconds), seconds)
        kwargs["allow_redirects"] = False
        if self._base is not None:
            url = urlunsplit((self._base.scheme, self._base.netloc, self._base.path.rstrip("/") + place.path, place.query, ""))
        params = kwargs.get("params")
        if params and not _is_crumb(params.get("crumb", "none")):  # yfinance keeps a refusal's text and sends it as the crumb
            kwargs["params"] = {k: v for k, v in params.items() if k != "crumb"}
        try:
            with self.meter.request("yahoo", self.symbol) if self.meter is not None else nullcontext():
                response = super().request(method, url, *args, **kwargs)
        except RequestException as error:
            if prices:  # "Operation timed out": connected, but slow; "Connection timed out": nobody there
                late = error.code == CurlECode.OPERATION_TIMEDOUT and "Operation" not in str(error)
                self.dead = error.code in _NOBODY or late
            raise
        if prices:
            self.status = response.status_code
            self.content_type = response.headers.get("content-type", "")
            after = response.headers.get("retry-after", "")
            self.retry_after = float(after) if after.isdigit() and len(after) < 8 else None
            self.body = response.text[:2000]
        return response


def _is_crumb(text: str) -> bool:
    return 0 < len(text) <= 40 and not set(text) & set(" <>\n")
