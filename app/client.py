"""The API from Python: the names of the routes, answers as DataFrames.

    from app.client import Client

    client = Client("http://127.0.0.1:8070")
    client.forecasts.latest(symbol=["AAPL", "TSLA"], horizon=5)
    client.forecasts.of("AAPL").history(since="2024-01-01")
    client.scores.all(mode="live")

Rows come as Arrow, so that dates, instants and empty values keep their types. An answer is kept with its ETag: asking the
same again costs one small request while nothing new is published.
"""

from __future__ import annotations

import io
import time
from collections.abc import Iterable, Mapping
from datetime import date
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from forecasting.errors import InputError, NextcloseError, StorageError

if TYPE_CHECKING:
    import httpx
    import pandas as pd

Names = str | Iterable[str] | None
Numbers = int | Iterable[int] | None
Day = date | str | None

_ARROW = "application/vnd.apache.arrow.stream"
_MOST = 10_000
_KEPT = 64
_TRIES, _LONGEST_WAIT = 6, 10  # of a read that the server asks to be made again, and seconds between


class ApiError(NextcloseError):
    """The server's sentence about what is wrong, with its ``status``."""

    exit_code = 3

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Client:
    """``address``: where ``nextclose web`` answers. Use it as a context manager, or close it."""

    def __init__(self, address: str = "http://127.0.0.1:8070", *, token: str | None = None, timeout: float = 30.0) -> None:
        import httpx

        self._http: httpx.Client = httpx.Client(
            base_url=address.rstrip("/") + "/api/v1", timeout=timeout, follow_redirects=False
        )
        self._token, self._kept = token, {}
        self.forecasts, self.scores, self.models = Forecasts(self), Scores(self), Models(self)
        self.decisions, self.quality, self.runs = Decisions(self), Quality(self), Runs(self)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def health(self) -> dict[str, Any]:
        """status (ok, stale or empty), edition, published_at, newest_session, sessions_behind."""
        return self.json("/health")

    def prices(
        self, symbol: str, *, session_since: Day = None, session_until: Day = None, limit: int | None = None
    ) -> pd.DataFrame:
        """The bars of a symbol as traded, the newest first."""
        return self.table(f"/prices/{_part(symbol)}", limit, session_since=session_since, session_until=session_until)

    def ranks(self, *, symbol: Names = None, horizon: Numbers = None) -> pd.DataFrame:
        """How likely each symbol ranks in each fifth of the universe."""
        return self.table("/ranks/latest", None, symbol=symbol, horizon=horizon)

    def table(self, path: str, limit: int | None = None, **filters: Any) -> pd.DataFrame:
        """All rows of a table, or the first ``limit``; asked for in pages of 10,000."""
        import pandas as pd

        frames, offset = [], 0
        while True:
            wanted = _MOST if limit is None else min(_MOST, limit - offset)
            frame, more = self._page(path, {**_flat(filters), "limit": wanted, "offset": offset})
            frames.append(frame)
            offset += len(frame)
            if not more or (limit is not None and offset >= limit):
                return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)

    def json(self, path: str, method: str = "GET", **more: Any) -> dict[str, Any]:
        """One thing that is no table, as plain values."""
        return self._asked(method, path, headers={"accept": "application/json", **self._authority()}, **more).json()

    def _page(self, path: str, query: Mapping[str, Any]) -> tuple[pd.DataFrame, bool]:
        import pyarrow as pa

        key = (path, tuple(sorted((name, str(value)) for name, value in query.items())))
        kept = self._kept.get(key)
        headers = {"accept": _ARROW} | ({"if-none-match": kept[0]} if kept else {})
        answer = self._asked("GET", path, params=query, headers=headers)
        if answer.status_code == 304 and kept:
            return kept[1].copy(), kept[2]
        frame = pa.ipc.open_stream(io.BytesIO(answer.content)).read_all().to_pandas()
        more = "next" in answer.links
        self._kept[key] = (answer.headers.get("etag", ""), frame, more)
        while len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)))
        return frame.copy(), more

    def _asked(self, method: str, path: str, **more: Any) -> httpx.Response:
        import httpx

        for last in (False,) * _TRIES + (True,):
            try:
                answer = self._http.request(method, path, **more)
            except httpx.HTTPError as error:
                where = self._http.base_url
                raise StorageError(f"no answer from {where} ({type(error).__name__}); start it with `nextclose web`") from error
            wait = answer.headers.get("retry-after", "")
            if last or method != "GET" or answer.status_code != 503 or not wait.isdigit():
                break
            time.sleep(min(int(wait), _LONGEST_WAIT))
        if answer.status_code >= 400:
            try:
                detail = answer.json()["detail"]
            except (ValueError, KeyError):
                detail = f"the server answered {answer.status_code}"
            raise ApiError(answer.status_code, detail)
        return answer

    def _authority(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self._token}"} if self._token else {}


class _Part:
    def __init__(self, client: Client) -> None:
        self._client = client


class Forecasts(_Part):
    """``/forecasts``."""

    def latest(
        self, *, symbol: Names = None, horizon: Numbers = None, forecaster: Names = None, mode: str | None = None
    ) -> pd.DataFrame:
        """The newest served forecast of each symbol and horizon."""
        return self._client.table("/forecasts/latest", None, symbol=symbol, horizon=horizon, forecaster=forecaster, mode=mode)

    def history(
        self, *, symbol: Names = None, horizon: Numbers = None, mode: str | None = None, settled: bool | None = None,
        since: Day = None, until: Day = None, limit: int | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        """Every forecast that was served, with what came true, the newest first."""
        named = {"symbol": symbol, "horizon": horizon, "mode": mode, "settled": settled, "since": since, "until": until}
        return self._client.table("/forecasts", limit, **named)

    def everybody(
        self, *, symbol: Names = None, origin: Day = None, horizon: Numbers = None, limit: int | None = None
    ) -> pd.DataFrame:
        """What every forecaster said, served or not."""
        return self._client.table("/forecasts/everybody", limit, symbol=symbol, horizon=horizon, since=origin, until=origin)

    def of(self, symbol: str) -> OfSymbol:
        """The forecasts of one symbol."""
        return OfSymbol(self._client, symbol)


class OfSymbol:
    """``/forecasts/{symbol}``."""

    def __init__(self, client: Client, symbol: str) -> None:
        self._client, self._path = client, f"/forecasts/{_part(symbol)}"

    def latest(self, *, horizon: Numbers = None) -> pd.DataFrame:
        return self._client.table(self._path, None, horizon=horizon)

    def origin(self, origin: Day, *, horizon: Numbers = None) -> pd.DataFrame:
        """What every forecaster said from one origin."""
        return self._client.table(f"{self._path}/{_part(str(origin))}", None, horizon=horizon)

    def history(
        self, *, horizon: Numbers = None, mode: str | None = None, settled: bool | None = None, since: Day = None,
        until: Day = None,
        limit: int | None = None,
    ) -> pd.DataFrame:  # fmt: skip
        named = {"horizon": horizon, "mode": mode, "settled": settled, "since": since, "until": until}
        return self._client.table(f"{self._path}/history", limit, **named)


class Scores(_Part):
    """``/scores``."""

    def all(self, *, horizon: Numbers = None, forecaster: Names = None, mode: str | None = None) -> pd.DataFrame:
        """How well each forecaster did; ``served`` is whoever served."""
        return self._client.table("/scores", None, horizon=horizon, forecaster=forecaster, mode=mode)

    def symbols(self, *, symbol: Names = None, horizon: Numbers = None, mode: str | None = None) -> pd.DataFrame:
        return self._client.table("/scores/symbols", None, symbol=symbol, horizon=horizon, mode=mode)

    def coverage(
        self, *, horizon: Numbers = None, forecaster: Names = None, mode: str | None = None, model: str | None = None
    ) -> pd.DataFrame:
        return self._client.table("/scores/coverage", None, horizon=horizon, forecaster=forecaster, mode=mode, model=model)


class Models(_Part):
    """``/models``."""

    def all(self, *, verdict: str | None = None, limit: int | None = None) -> pd.DataFrame:
        return self._client.table("/models", limit, verdict=verdict)

    def one(self, model: str) -> dict[str, Any]:
        """Row, card, decisions and scores of the model whose id begins so."""
        return self._client.json(f"/models/{_part(model)}")

    def evaluations(self, *, model: str | None = None, metric: Names = None, horizon: Numbers = None) -> pd.DataFrame:
        return self._client.table("/models/evaluations", None, model=model, metric=metric, horizon=horizon)

    def trials(self, *, limit: int | None = None) -> pd.DataFrame:
        return self._client.table("/models/trials", limit)


class Decisions(_Part):
    """``/decisions``."""

    def all(self, *, model: str | None = None, verdict: str | None = None, limit: int | None = None) -> pd.DataFrame:
        """One row a check of a decision."""
        return self._client.table("/decisions", limit, model=model, verdict=verdict)

    def drift(self, *, limit: int | None = None) -> pd.DataFrame:
        return self._client.table("/decisions/drift", limit)


class Quality(_Part):
    """``/quality``."""

    def all(self, *, symbol: Names = None, source: str | None = None, limit: int | None = None) -> pd.DataFrame:
        return self._client.table("/quality", limit, symbol=symbol, source=source)

    def quarantine(self, *, symbol: Names = None, reason: str | None = None, limit: int | None = None) -> pd.DataFrame:
        return self._client.table("/quality/quarantine", limit, symbol=symbol, reason=reason)

    def freshness(self, *, symbol: Names = None) -> pd.DataFrame:
        return self._client.table("/quality/freshness", None, symbol=symbol)


class Runs(_Part):
    """``/runs``."""

    def all(self, *, flow: str | None = None, status: str | None = None, limit: int | None = None) -> pd.DataFrame:
        return self._client.table("/runs", limit, flow=flow, status=status)

    def one(self, run: str) -> dict[str, Any]:
        """A run with its stages and steps."""
        return self._client.json(f"/runs/{_part(run)}")

    def start(self, symbols: Iterable[str] | None = None, origin: Day = None) -> dict[str, Any]:
        """Start a run; the client needs the token. ApiError with status 409 while another that was started goes on."""
        wanted: dict[str, Any] = {
            "symbols": None if symbols is None else list(symbols),
            "origin": None if origin is None else str(origin),
        }
        return self._client.json("/runs", "POST", json={name: value for name, value in wanted.items() if value is not None})

    def started(self, run: str) -> dict[str, Any]:
        """How a started run stands."""
        return self._client.json(f"/runs/started/{_part(run)}")


def _part(text: str) -> str:
    """Text as one part of a path. InputError for what could be two."""
    if not text or set(text) <= {"."}:
        raise InputError(f"{text!r:.60} cannot be asked for; name it as the exchange writes it")
    return quote(text, safe="")


def _flat(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Filters as query parameters: lists with commas, dates as ISO, what is empty left out."""
    flat = {}
    for name, value in filters.items():
        if value is None:
            continue
        if isinstance(value, bool):
            flat[name] = str(value).lower()
        elif isinstance(value, (str, int, date)):
            flat[name] = str(value)
        else:
            flat[name] = ",".join(str(one) for one in value)
    return flat
