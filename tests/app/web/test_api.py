"""The API: every table in every form, its filters and bounds, editions, and what it says when something is wrong."""

from __future__ import annotations

import csv
import io
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.web.described import row_schema
from app.web.questions import FILTERS, QUESTIONS, kind_of
from benchmarks.made_store import MODELS, RUN
from storage.editions import Editions
from tests.app.web.conftest import asking

API = "/api/v1"


def rows(ask, path: str, **query) -> list[dict]:
    answer = ask.get(f"{API}{path}", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.path)
def test_table__answers_in_every_form_with_the_same_rows(ask, question):
    told = ask.get(f"{API}{question.path}", params={"limit": 7}).json()
    names = list(question.meanings)
    assert told["count"] == len(told["rows"]) <= 7 and all(list(row) == names for row in told["rows"])
    text = ask.get(f"{API}{question.path}", params={"limit": 7}, headers={"accept": "text/csv"})
    assert text.headers["content-type"].startswith("text/csv")
    read = list(csv.reader(io.StringIO(text.text, newline="")))
    assert read[0] == names and len(read) == 1 + told["count"]
    arrow = ask.get(f"{API}{question.path}", params={"limit": 7, "format": "arrow"}).content
    parquet = ask.get(f"{API}{question.path}", params={"limit": 7, "format": "parquet"}).content
    tables = [pa.ipc.open_stream(arrow).read_all(), pq.read_table(io.BytesIO(parquet))]
    assert all(t.column_names == names and t.num_rows == told["count"] for t in tables)
    for name in names:
        if "symbol" in name:
            assert [str(v) for v in tables[0][name].to_pylist()] == [str(row[name]) for row in told["rows"]]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.path)
def test_table__describes_the_types_that_the_database_has(made, question):
    edition = Editions(made).current()
    names = ", ".join(f'"{c}"' for c in question.meanings)
    found = dict(
        edition.ask(
            f"SELECT column_name, column_type FROM (DESCRIBE SELECT {names} FROM {question.source or question.view})"
        ).rows
    )
    kinds = {"VARCHAR": "string", "DATE": "date", "DOUBLE": "number", "BIGINT": "integer", "INTEGER": "integer",
    "BOOLEAN": "boolean",
             "TIMESTAMP WITH TIME ZONE": "date-time"}  # fmt: skip
    assert {c: kind_of(question, c) for c in question.meanings} == {c: kinds[found[c]] for c in question.meanings}
    assert set(row_schema(question)["properties"]) == set(found)


def test_small_tables__answer_from_memory_what_the_database_answers(made):
    """The tables that are kept with an edition are filtered in Python: the same rows as by SQL, for every filter."""
    edition = Editions(made).current()
    cases = {
        "symbol": ["S003", "S001"],
        "horizon": [5, 20],
        "forecaster": ["lstm"],
        "mode": "live",
        "source": "made",
    }
    for question in (q for q in QUESTIONS if q.small):
        for given in ({}, *({name: cases[name]} for name in question.filters)):
            ours = question.ask(edition, 50, 3, **given)
            slow = edition.ask(*question.sql(given, 50, 3))
            assert ours.columns == slow.columns and len(ours.rows) == len(slow.rows), (question.path, given)
            for one, other in zip(ours.rows, slow.rows, strict=True):  # sums in another order: the last bits may differ
                assert one == tuple(pytest.approx(v) if isinstance(v, float) else v for v in other)


def test_filters__choose_what_they_say(ask):
    assert {r["symbol"] for r in rows(ask, "/forecasts/latest", symbol="S001,s002")} == {"S001", "S002"}
    assert {r["horizon"] for r in rows(ask, "/forecasts", horizon=[1, 20])} == {1, 20}
    assert all(r["settled"] and r["close_at_target"] is not None for r in rows(ask, "/forecasts", settled="true"))
    assert all(not r["settled"] for r in rows(ask, "/forecasts", settled="false"))
    spanned = rows(ask, "/forecasts", since="2026-10-01", until="2026-10-09", limit=10_000)
    assert spanned and all("2026-10-01" <= r["origin"] <= "2026-10-09" for r in spanned)
    assert {r["model_id"] for r in rows(ask, "/models", model=MODELS[0][:6])} == {MODELS[0]}
    assert {r["metric"] for r in rows(ask, "/models/evaluations", metric="mae,rmse")} == {"mae", "rmse"}
    assert rows(ask, "/runs", status="degraded") == []


def test_forecasts__by_symbol_and_origin(ask):
    latest = rows(ask, "/forecasts/S001")
    assert [r["horizon"] for r in latest] == [1, 5, 20] and {r["symbol"] for r in latest} == {"S001"}
    history = rows(ask, "/forecasts/S001/history", horizon=5, limit=10_000)
    assert len(history) == 45 and [r["origin"] for r in history] == sorted((r["origin"] for r in history), reverse=True)
    said = rows(ask, f"/forecasts/S001/{latest[0]['origin']}", horizon=1)
    assert {r["forecaster"] for r in said} == {"lstm", "persistence", "ewma"} and sum(r["serving"] for r in said) == 1
    assert ask.get(f"{API}/forecasts/NOPE").status_code == 404


def test_numbers__are_those_of_sql_on_the_snapshot(ask, made):
    with duckdb.connect(str(made.snapshot), read_only=True) as con:
        con.execute("SET TimeZone = 'UTC'")
        slow = con.execute("SELECT forecaster, horizon, pinball, coverage_80 FROM scoreboard ORDER BY 1, 2").fetchall()
    ours = {(r["forecaster"], r["horizon"]): (r["pinball"], r["coverage_80"]) for r in rows(ask, "/scores")}
    assert ours == {(who, h): pytest.approx((loss, held)) for who, h, loss, held in slow}


def test_pages__lead_through_all_rows_once(ask):
    whole = rows(ask, "/forecasts", limit=10_000)
    path, seen, pages = f"{API}/forecasts?horizon=1&limit=100", [], 0
    while path:
        answer = ask.get(path)
        seen += answer.json()["rows"]
        assert ("next" in answer.links) == bool(answer.json()["next"])
        path, pages = answer.json()["next"], pages + 1
    expected = [r for r in whole if r["horizon"] == 1]
    assert seen == expected and pages == -(-len(expected) // 100)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=10001", "limit=1000000000", "offset=-1", "offset=100000000", "horizon=0", "horizon=1000000",
        "horizon=x",
        "symbol=..%2F..%2Fetc", "symbol=%27%3BDROP%20TABLE%20forecasts%3B--", "symbol=" + "A" * 21, "symbol=",
        "symbol=a%00b", "mode=both",
        "since=yesterday", "since=5", "format=xlsx", "symbl=AAPL", "model=zz", "symbol=" + ",".join(["AAPL"] * 501),
    ],
)  # fmt: skip
def test_parameters__that_are_wrong_are_refused_with_a_reason(ask, query):
    answer = ask.get(f"{API}/forecasts?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["detail"] and answer.json()["errors"]


def test_etag__saves_the_answer_while_nothing_is_published(ask):
    first = ask.get(f"{API}/forecasts/latest?symbol=S001")
    tag, when = first.headers["etag"], first.headers["last-modified"]
    assert ask.get(f"{API}/forecasts/latest?symbol=S001", headers={"if-none-match": tag}).status_code == 304
    assert ask.get(f"{API}/forecasts/latest?symbol=S002", headers={"if-none-match": tag}).status_code == 200
    assert (
        ask.get(
            f"{API}/forecasts/latest?symbol=S001&format=csv",
            headers={"if-none-match": tag},
        ).status_code
        == 200
    )
    assert ask.get(f"{API}/forecasts/latest?symbol=S001", headers={"if-modified-since": when}).status_code == 304
    late = {"if-modified-since": "Thu, 01 Jan 2015 00:00:00 GMT"}
    assert ask.get(f"{API}/forecasts/latest?symbol=S001", headers=late).status_code == 200
    assert first.headers["vary"] == "accept, accept-encoding" and first.json()["edition"] == first.headers["x-edition"]


def test_gzip__and_head(ask):
    packed = ask.get(f"{API}/forecasts?limit=500", headers={"accept-encoding": "gzip"})
    plain = ask.get(f"{API}/forecasts?limit=500", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert packed.json() == plain.json() and int(packed.headers["content-length"]) < len(plain.content) / 3
    head = ask.head(f"{API}/forecasts?limit=500", headers={"accept-encoding": "identity"})
    assert head.status_code == 200 and head.content == b"" and int(head.headers["content-length"]) == len(plain.content)


def test_single_things__health_model_run(ask):
    health = ask.get(f"{API}/health").json()
    assert health["status"] == "ok" and health["newest_session"] == "2026-11-18" and health["sessions_behind"] == 0
    model = ask.get(f"{API}/models/{MODELS[1][:8]}").json()
    assert model["model"]["model_id"] == MODELS[1] and model["card"]["history"] and len(model["decisions"][0]["checks"]) == 3
    run = ask.get(f"{API}/runs/{RUN}").json()
    assert run["run"]["flow"] == "daily" and {s["stage"] for s in run["stages"]} >= {
        "train",
        "forecast",
    }
    assert ask.get(f"{API}/models/0000").status_code == 404 and ask.get(f"{API}/runs/0000").status_code == 404


def test_health__says_stale_once_sessions_are_missing(made):
    from datetime import UTC, datetime

    with asking(made, now=lambda: datetime(2026, 11, 25, 12, 0, tzinfo=UTC)) as client:
        health = client.get(f"{API}/health").json()
    assert health["status"] == "stale" and health["sessions_behind"] == 4  # 19, 20, 23 and 24 November; 25 is not over
    assert not health["calendars"][0]["exact"]


def test_csv__formula_cells_stay_text(hostile):
    """A spreadsheet runs what begins with =, +, - or @; a message from outside must not."""
    with asking(hostile) as client:
        text = client.get(f"{API}/quality/quarantine?format=csv").text
    messages = [row["message"] for row in csv.DictReader(io.StringIO(text))]
    assert messages and all(m.startswith("'=1+2") for m in messages)


def test_openapi__describes_every_column_and_gives_examples(ask):
    told = ask.get(f"{API}/openapi.json").json()
    for question in QUESTIONS:
        content = told["paths"][API + question.path]["get"]["responses"]["200"]["content"]
        assert set(content) == {
            "application/json",
            "text/csv",
            "application/vnd.apache.arrow.stream",
            "application/vnd.apache.parquet",
        }
        example = content["application/json"]["example"]["rows"][0]
        properties = content["application/json"]["schema"]["properties"]["rows"]["items"]["properties"]
        assert set(example) == set(properties) and all(p["description"] for p in properties.values())
        named = {p["name"] for p in told["paths"][API + question.path]["get"]["parameters"]}
        assert named == {*question.filters, "format", "limit", "offset"}
    assert "post" not in told["paths"][f"{API}/runs"]
    assert set(FILTERS) >= {f for q in QUESTIONS for f in q.filters}


def test_dates__are_iso_and_instants_say_their_zone(ask):
    row = rows(ask, "/forecasts/latest", symbol="S001")[0]
    assert date.fromisoformat(row["origin"]) == date(2026, 11, 18) and row["issued_at"].endswith("Z")
