"""Rows written by hand, for the stories that the storage tests tell."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd

MONDAY = datetime(2024, 3, 4, 22, 0, tzinfo=UTC)
TUESDAY = datetime(2024, 3, 5, 22, 0, tzinfo=UTC)
WEDNESDAY = datetime(2024, 3, 6, 22, 0, tzinfo=UTC)


def bars(*rows: tuple[str, str, float]) -> pd.DataFrame:
    """Bars from (symbol, session, close): open = close, high and low one off, volume 1,000."""
    frame = pd.DataFrame(rows, columns=["symbol", "session", "close"])
    frame["session"] = pd.to_datetime(frame["session"]).astype("datetime64[us]")
    close = frame["close"].astype(float)
    return frame.assign(open=close, high=close + 1, low=close - 1, close=close, volume=1000.0)


def actions(*rows: tuple[str, str, str, float | None]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["symbol", "session", "kind", "value"])
    return frame.assign(session=pd.to_datetime(frame["session"]).astype("datetime64[us]"), value=frame["value"].astype(float))


def forecasts(
    *rows: tuple[str, str, int, str, str], close: float = 100.0, centre: float = 100.0, **over: object
) -> pd.DataFrame:
    """Forecasts from (symbol, origin, horizon, target_session, forecaster): quantiles at centre -3, -2, -1, 0, 1, 2, 3."""
    frame = pd.DataFrame(rows, columns=["symbol", "origin", "horizon", "target_session", "forecaster"])
    for column in ("origin", "target_session"):
        frame[column] = pd.to_datetime(frame[column]).astype("datetime64[us]")
    for name, offset in zip(("q05", "q10", "q25", "q50", "q75", "q90", "q95"), range(-3, 4), strict=True):
        frame[name] = centre + offset
    fixed = {"model_id": "m" * 64, "serving": frame["forecaster"] == "lstm", "mode": "live", "close": close, "scale": 0.02}
    return frame.assign(**{**fixed, "p_up": 0.6, "data_digest": "d", "issued_at": MONDAY, "as_of": MONDAY, **over})
