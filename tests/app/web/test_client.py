"""The Python client against a real server: the names of the routes, frames with their types, editions kept."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pandas as pd
import pytest

from app.client import ApiError, Client
from benchmarks.made_store import MODELS, RUN
from forecasting.errors import InputError, StorageError
from tests.app.web.conftest import serving


@pytest.fixture(scope="module")
def client(made) -> Iterator[Client]:
    with serving(made) as address, Client(address) as opened:
        yield opened


def test_frames__are_those_of_sql(client, made):
    with duckdb.connect(str(made.snapshot), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        slow = con.execute("SELECT * FROM forecasts ORDER BY origin DESC, symbol, horizon").df()
    ours = client.forecasts.history()
    assert list(ours.columns) == list(slow.columns) and len(ours) == len(slow)
    for name in ("symbol", "horizon", "q50", "pinball", "settled"):
        pd.testing.assert_series_equal(ours[name], slow[name], check_dtype=False, check_exact=False)
    assert str(ours["issued_at"].dtype).startswith("datetime64[us, UTC") and ours["q50"].dtype == "float64"


def test_names__follow_the_routes(client):
    assert set(client.forecasts.latest(symbol=["S001", "S002"], horizon=5)["symbol"]) == {"S001", "S002"}
    assert len(client.forecasts.of("S001").latest()) == 3
    assert set(client.forecasts.of("S001").origin("2026-11-18")["forecaster"]) == {"lstm", "persistence", "ewma"}
    assert len(client.forecasts.of("S001").history(horizon=1, settled=True, limit=7)) == 7
    assert set(client.scores.all(forecaster="served")["forecaster"]) == {"served"}
    assert len(client.scores.symbols(symbol="S001")) == 3 and len(client.scores.coverage()) > 0
    assert set(client.models.all()["model_id"]) == set(MODELS) and client.models.one(MODELS[0][:8])["card"]
    assert set(client.models.evaluations(metric="mae")["metric"]) == {"mae"} and len(client.models.trials()) == 4
    assert len(client.decisions.all(verdict="refused")) == 3 and len(client.decisions.drift()) == 1
    assert (
        len(client.quality.all(symbol="S001")) == 1
        and len(client.quality.freshness()) == 12
        and len(client.quality.quarantine()) == 3
    )
    assert client.runs.one(RUN)["run"]["flow"] == "daily" and len(client.runs.all(flow="daily")) == 1
    assert len(client.prices("S001", session_since="2026-11-01")) == 13 and len(client.ranks(symbol="S001")) == 2
    assert client.health()["status"] == "ok"


def test_paging__asks_for_all_rows(client, monkeypatch):
    whole = client.forecasts.history()
    monkeypatch.setattr("app.client._MOST", 400)
    pd.testing.assert_frame_equal(client.forecasts.history(), whole)
    assert len(client.forecasts.history(limit=950)) == 950


def test_editions__the_same_question_is_answered_from_what_is_kept(client):
    first = client.scores.all(mode="live")
    first.loc[0, "pinball"] = -1.0  # a caller's own change stays the caller's
    kept = dict(client._kept)
    second = client.scores.all(mode="live")
    assert second.loc[0, "pinball"] > 0 and kept.keys() == client._kept.keys()


def test_errors__carry_the_servers_sentence(client):
    with pytest.raises(ApiError, match="there is nothing of NOPE") as raised:
        client.forecasts.of("NOPE").latest()
    assert raised.value.status == 404
    with pytest.raises(ApiError, match="symbol") as raised:
        client.forecasts.latest(symbol="../x")
    assert raised.value.status == 422
    with pytest.raises(InputError):
        client.forecasts.of("..")
    with pytest.raises(ApiError) as raised:
        client.runs.start(["TSLA"])
    assert raised.value.status == 405
    with pytest.raises(StorageError, match="nextclose web"):
        Client("http://127.0.0.1:9").health()
