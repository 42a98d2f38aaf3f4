"""The HTTP session that yfinance gets: bounded in time, able to speak to a stand-in, and with a memory for what came back."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

from curl_cffi.requests import Response, Session
from curl_cffi.requests.exceptions import ConnectionError as NoConnection
from curl_cffi.requests.exceptions import RequestException, Timeout

CHART = "/v8/finance/chart/"
_CONNECT_SECONDS = 3.0


class YahooSession(Session):
    """A curl_cffi session as yfinance makes it, with finite times.

    yfinance waits 30 s for its cookie and crumb whatever the caller's timeout. Neither is needed for prices, so those
    requests get a short time of their own, and a machine without a network hears so within seconds.
    """

    def __init__(self, base_url: str | None = None, timeout_seconds: float = 10.0) -> None:
        super().__init__(impersonate="chrome")
        self._base = urlsplit(base_url) if base_url else None
        self._seconds = timeout_seconds
        self._refused: set[str] = set()
        self.status: int | None = None  # of the last answer to a request for prices
        self.content_type = ""
        self.body = ""
        self.dead = False  # no connection at all to the host of the prices

    def forget(self) -> None:
        """Before the next symbol: what the last one was answered no longer counts."""
        self.status, self.content_type, self.body = None, "", ""

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> Response:
        place = urlsplit(url)
        prices = place.path.startswith(CHART)
        if not prices and place.netloc in self._refused:
            raise NoConnection(f"{place.netloc} was not reachable a moment ago")
        seconds = self._seconds if prices else min(_CONNECT_SECONDS, self._seconds)
        kwargs["timeout"] = (min(_CONNECT_SECONDS, seconds), seconds)
        if self._base is not None:
            url = urlunsplit((self._base.scheme, self._base.netloc, self._base.path.rstrip("/") + place.path, place.query, ""))
        params = kwargs.get("params")
        if params and not _is_crumb(params.get("crumb", "none")):  # yfinance keeps a refusal's text and sends it as the crumb
            kwargs["params"] = {k: v for k, v in params.items() if k != "crumb"}
        try:
            response = super().request(method, url, *args, **kwargs)
        except RequestException as error:
            if not prices:
                self._refused.add(place.netloc)
            else:  # "Operation timed out": connected, but slow; "Connection timed out": nobody there
                self.dead = isinstance(error, NoConnection) or (isinstance(error, Timeout) and "Operation" not in str(error))
            raise
        if prices:
            self.status = response.status_code
            self.content_type = response.headers.get("content-type", "")
            self.body = response.text[:2000]
        return response


def _is_crumb(text: str) -> bool:
    return 0 < len(text) <= 40 and not set(text) & set(" <>\n")
