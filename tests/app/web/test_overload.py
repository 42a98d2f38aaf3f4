"""Too much at once: who cannot be answered soon is told at once when to come again, and what is finished is still given."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
from starlette.testclient import TestClient

from app.client import Client
from app.web.answering import MOST_MADE
from app.web.questions import ACCURACY, COVERAGE, SCORES
from storage.editions import AT_ONCE
from tests.app.web.conftest import app_of, asking, serving


@contextmanager
def all_turns_taken(edition):
    """As long as this lasts, as many questions as may be asked at once are being answered."""
    for _ in range(AT_ONCE):
        edition._turns.acquire()
    try:
        yield
    finally:
        for _ in range(AT_ONCE):
            edition._turns.release()


def test_counted_tables__are_those_of_the_views_with_filters_and_pages(made):
    with asking(made) as client:
        for question in (SCORES, ACCURACY, COVERAGE):
            rows = client.get(f"/api/v1{question.path}?limit=10000").json()["rows"]
            assert list(rows[0]) == list(question.meanings) and len(rows) >= 9
            assert (
                client.get(f"/api/v1{question.path}?horizon=5&limit=2&offset=1").json()["rows"]
                == [row for row in rows if row["horizon"] == 5][1:3]
            )
        model = rows[0]["model_id"]
        assert client.get(f"/api/v1/scores/coverage?model={model[:6]}").json()["count"] == sum(
            row["model_id"] == model for row in rows
        )
        assert client.get("/api/v1/scores/symbols?symbol=S001,S003&horizon=1").json()["count"] == 2
        arrow = client.get("/api/v1/scores?format=parquet")
        assert arrow.status_code == 200 and arrow.content[:4] == b"PAR1"


def test_questions_beyond_their_turn__are_refused_with_when_to_come_again(made):
    app = app_of(made)
    with TestClient(app, base_url="http://localhost") as client:
        assert client.get("/api/v1/forecasts/S001").status_code == 200
        with all_turns_taken(app.state.editions.current()):
            refused = client.get("/api/v1/prices/S002")
            assert refused.status_code == 503 and int(refused.headers["retry-after"]) > 0
            assert "ask again" in refused.json()["detail"]
            page = client.get("/symbols/S003")
            assert page.status_code == 503 and "retry-after" in page.headers and "ask again" in page.text
            assert client.get("/api/v1/forecasts/S001").status_code == 200  # finished before
            counted = client.get("/api/v1/scores")
            assert counted.status_code == 503 and "being counted" in counted.json()["detail"]
        assert client.get("/api/v1/prices/S002").status_code == 200


def test_a_flood__is_refused_at_once_beyond_what_can_be_made(made, figure, monkeypatch):
    """Eighty different answers wanted while none can be made: those beyond 48 get 503 before the first is given up."""
    monkeypatch.setattr("storage.editions.TURN", 8.0)  # so that a slow machine has asked all before that
    app = app_of(made)
    with serving(made, app) as address, httpx.Client(base_url=address, timeout=60) as client:
        assert client.get("/api/v1/forecasts/S001").status_code == 200
        with all_turns_taken(app.state.editions.current()), ThreadPoolExecutor(80) as many:
            asked = [many.submit(httpx.get, f"{address}/api/v1/prices/S001?limit={n + 1}", timeout=60) for n in range(80)]
            answers = [one.result() for one in asked]
            assert client.get("/api/v1/forecasts/S001").status_code == 200
        assert {a.status_code for a in answers} == {503} and all(int(a.headers["retry-after"]) > 0 for a in answers)
        at_once = sum("other answers are being made" in a.text for a in answers)
        assert at_once == 80 - MOST_MADE
        assert client.get("/api/v1/prices/S001?limit=1").status_code == 200
        figure(f"a flood of 80: {at_once} refused at once, {80 - at_once} after waiting their turn, all with Retry-After")


def test_client__asks_again_when_it_is_told_to(made):
    app = app_of(made)
    with serving(made, app) as address, Client(address) as client:
        edition = app.state.editions.current()
        for _ in range(AT_ONCE):
            edition._turns.acquire()
        threading.Timer(4.0, lambda: [edition._turns.release() for _ in range(AT_ONCE)]).start()
        assert len(client.prices("S004", limit=3)) == 3
