"""The pages as they come from the server: what they say without a script, and what they say when there is nothing."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from app.web import queries, scores, svg, symbol, today, words
from app.web.charts import Chart
from app.web.models import _better
from app.web.static_files import FOLDER, files, style_hashes
from benchmarks.made_store import MODELS, RUN, Shape, make_store, next_day
from storage.database import Database
from storage.editions import Editions
from storage.home import Home
from storage.lease import hold_lease
from storage.snapshot import publish
from tests.app.web.conftest import SHAPE, asking

PAGES = (
    "/", "/symbols/S001", "/symbols/S049.L", "/scoreboard", "/scoreboard?span=all&horizon=20", "/models",
    f"/models/{MODELS[0]}",
    f"/models/compare?a={MODELS[0][:8]}&b={MODELS[1][:8]}", "/data", "/runs", f"/runs/{RUN}", "/api",
)  # fmt: skip


class Links(HTMLParser):
    """Addresses that a page names, and whether anything in it is inline."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses, self.inline = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.addresses += [found[name] for name in ("href", "src", "action") if found.get(name)]
        self.inline += [f"{tag} {name}" for name in found if name.startswith("on") or name == "style"]
        if tag == "style" or (tag == "script" and "src" not in found and found.get("type") != "application/json"):
            self.inline.append(tag)


@pytest.mark.parametrize("path", PAGES)
def test_page__is_whole_and_loads_only_from_here(ask, path):
    if ".L" in path:
        path = "/symbols/S007"
    answer = ask.get(path)
    assert answer.status_code == 200 and answer.text.rstrip().endswith("</html>")
    links = Links(answer.text)
    assert links.inline == []
    assert [a for a in links.addresses if not a.startswith(("/", "?", "#"))] == []
    assert "<h1" in answer.text and 'lang="en"' in answer.text


def test_pages__link_only_to_what_is_there(ask):
    """Every link of every page, followed once; what would start something is left out."""
    seen, queue = set(), list(PAGES[:1])
    while queue and len(seen) < 120:
        path = queue.pop(0)
        if (
            path in seen
            or path.startswith("/api/")
            or path.endswith(("/prefect", "/contributions"))
            or "contributions?" in path
        ):
            continue
        seen.add(path)
        answer = ask.get(path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            found = [
                a for a in Links(answer.text).addresses if a.startswith("/") and not a.endswith(".png") and ".png?" not in a
            ]
            queue += [a for a in found if a not in seen and not a.startswith(("/ask", "/models/compare"))]
    assert len(seen) > 25


def test_charts__come_as_png_as_well(ask):
    for path in ("/symbols/S001/fan.png", "/symbols/S001/past.png?horizon=20", "/scoreboard/pit.png", "/scoreboard/skill.png",
                 f"/models/{MODELS[0]}/training.png", "/runs/stages.png"):  # fmt: skip
        answer = ask.get(path)
        assert (
            answer.headers["content-type"] == "image/png"
            and answer.content.startswith(b"\x89PNG")
            and len(answer.content) > 5000
        )
    assert ask.get("/scoreboard/nothing.png").status_code == 404
    assert ask.get("/scoreboard/pit.png").content == ask.get("/scoreboard/pit.png").content


def test_today__shows_each_symbol_once_sorts_and_filters(ask):
    text = ask.get("/").text
    assert re.findall(r'<th scope="row"><a href="/symbols/([^"]+)"', text) == [f"S{i:03d}" for i in range(12)]
    sorted_ = ask.get("/?sort=up5&dir=down").text
    shown = [float(p) for p in re.findall(r'data-label="P\(up\)">(\d+)', sorted_)][1::3]  # the second of three horizons
    assert shown == sorted(shown, reverse=True) and 'aria-sort="descending"' in sorted_
    found = ask.get("/?q=s00").text
    assert len(re.findall(r'<th scope="row">', found)) == 10 and "10 of 12 symbols" in found
    assert "1 of 12 symbols" in ask.get("/?only=fallback").text  # S007 is served by ewma
    assert "No symbol fits" in ask.get("/?q=zzz").text


def test_today__says_what_is_late_and_what_stands_in(made):
    rows = {row.symbol: row for row in today.everything(Editions(made).current())}
    assert [flag[0] for flag in rows["S001"].flags] == []
    assert [flag[0] for flag in rows["S003"].flags] == ["late"]  # its prices end some sessions early
    assert [flag[0] for flag in rows["S007"].flags] == ["fallback"] and rows["S007"].forecaster == "ewma"


def test_stale__banner_counts_the_sessions_that_closed_since(made):
    with asking(made) as client:
        assert "banner" not in client.get("/").text
    with asking(made, now=lambda: datetime(2026, 11, 20, 12, 0, tzinfo=UTC)) as client:
        assert "A session is missing" in client.get("/").text
    with asking(made, now=lambda: datetime(2026, 11, 25, 12, 0, tzinfo=UTC)) as client:
        text = client.get("/").text
        assert "These forecasts are stale" in text and "4 sessions have closed since" in text


def test_symbol__figures_are_those_of_the_ledger(ask, made):
    edition = Editions(made).current()
    page = symbol.symbol_page(edition, "S001", 5, "all", None)
    ledger = edition.ask(
        "SELECT avg(abs_error), count(*) FROM forecasts WHERE settled AND symbol = 'S001' AND horizon = 5"
    ).rows[0]
    mine = symbol.by_month(page.past)
    assert sum(row["mae"] * row["n"] for row in mine) / sum(row["n"] for row in mine) == pytest.approx(ledger[0])
    view = edition.ask(
        """SELECT n, coverage_80, direction_hit_rate, mae_persistence FROM forecast_accuracy
        WHERE symbol = 'S001' AND horizon = 5"""
    ).rows[0]
    told = next(row for row in page.accuracy if row["horizon"] == 5)
    assert [told[n] for n in ("n", "coverage_80", "direction_hit_rate", "mae_persistence")] == [pytest.approx(v) for v in view]
    assert len([row for row in page.past if row["settled"]]) == ledger[1]
    assert [layer.name for layer in page.charts[0].layers] == [
        "close", "90 % interval", "80 % interval", "50 % interval", "forecast median",
    ]  # fmt: skip
    assert "splits and dividends" in [
        layer.name for layer in symbol.symbol_page(edition, "S007", 5, "1y", None).charts[0].layers
    ]


def test_symbol__unknown_says_what_to_type_and_what_is_near(ask):
    answer = ask.get("/symbols/S0001")
    assert (
        answer.status_code == 404 and "nextclose run --symbols S0001" in answer.text and 'href="/symbols/S001"' in answer.text
    )
    assert 'id="start"' not in answer.text  # nobody may start runs here
    moved = ask.get("/ask?symbol=%20brk-b%20", follow_redirects=False)
    assert moved.status_code == 303 and moved.headers["location"] == "/symbols/BRK-B"
    assert ask.get("/ask?symbol=../../x").status_code == 422


def test_scoreboard__skill_is_that_of_a_slow_twin(made):
    edition = Editions(made).current()
    page = scores.scores(edition, None, "all", 5)
    rows = edition.ask(
        """SELECT f.symbol, f.origin, s.pinball, r.forecaster, r.pinball FROM store.forecasts f
        JOIN store.scores s USING (symbol, origin, horizon, forecaster)
        JOIN store.scores r ON (r.symbol, r.origin, r.horizon) = (f.symbol, f.origin,
        f.horizon) WHERE f.serving AND f.horizon = 5"""
    ).rows
    for rival in ("persistence", "ewma", "lstm"):
        mine = [(row[2], row[4]) for row in rows if row[3] == rival]
        assert page.skill[rival, 5]["skill"] == pytest.approx(1 - sum(m for m, _ in mine) / sum(r for _, r in mine))
    some = [(row[2], row[4]) for row in rows if row[3] == "ewma" and row[0] == "S002"]
    shown = next(row for row in page.symbols if row["symbol"] == "S002")
    assert shown["skill"]["ewma"] == pytest.approx(1 - sum(m for m, _ in some) / sum(r for _, r in some)) and shown["n"] == len(
        some
    )


def test_scoreboard__means_are_those_of_the_ledger_over_two_years(tmp_path):
    """What is counted year by year and put together is what one statement over everything says."""
    from datetime import date

    home = make_store(
        Home(tmp_path / "home"), Shape(symbols=6, sessions=120, origins=60, forecasters=("lstm", "ewma"), last=date(2026, 2, 6))
    )
    edition = Editions(home).current()
    ours = {row["horizon"]: row for row in queries.below(edition, queries.LONG_AGO)}
    slow = edition.ask(
        """SELECT horizon, count(*), count(DISTINCT origin), avg(pinball), avg((close_at_target <= q25)::INT),
            avg(direction_hit::INT),
            min(origin), max(origin) FROM forecasts WHERE settled GROUP BY horizon"""
    ).rows
    for h, *rest in slow:
        mine = ours[h]
        told = [
            mine["n"],
            mine["n_sessions"],
            mine["pinball"],
            mine["below_25"],
            mine["direction_hit_rate"],
            mine["first_origin"],
            mine["last_origin"],
        ]
        assert told == [pytest.approx(v) if isinstance(v, float) else v for v in rest]
        assert mine["first_origin"].year == 2025 and mine["last_origin"].year == 2026


def test_scoreboard__calibration_and_pit_add_up(made):
    page = scores.scores(Editions(made).current(), None, "all", 5)
    pit = next(chart for chart in page.charts if chart.key == "pit")
    widths = [b - a for a, b in zip(scores._PIT_EDGES, scores._PIT_EDGES[1:], strict=False)]
    assert sum(v * w for v, w in zip(pit.layers[0].y, widths, strict=True)) == pytest.approx(1)
    calibration = next(chart for chart in page.charts if chart.key == "calibration")
    assert all(list(layer.y) == sorted(layer.y) for layer in calibration.layers)


def test_paper_portfolio__is_that_of_a_slow_twin(made):
    edition = Editions(made).current()
    rows = edition.ask(
        """SELECT origin, symbol, ln(q50 / close) / scale, close_at_target / close - 1 FROM forecasts
        WHERE settled AND horizon = 1"""
    ).rows
    by_day: dict = {}
    for origin, name, signal, came in rows:
        by_day.setdefault(origin, []).append((signal, name, came))
    slow = {}
    for origin, entries in by_day.items():
        ranked = sorted(entries)
        few = max(1, len(ranked) // 5)
        if len(ranked) >= 5 and ranked[-1][0] - ranked[0][0] > 1e-12:
            slow[origin] = sum(r[2] for r in ranked[-few:]) / few - sum(r[2] for r in ranked[:few]) / few
    ours = {row["origin"]: row["earned"] for row in queries.paper(edition, queries.LONG_AGO) if row["horizon"] == 1}
    assert ours == {day: pytest.approx(value) for day, value in slow.items()}


def test_markup__in_stored_text_is_shown_as_text(hostile):
    with asking(hostile) as client:
        for path in ("/models", "/data", "/symbols/S000", f"/models/{MODELS[0]}"):
            text = client.get(path).text
            assert "<script>alert" not in text and "<img src=x" not in text, path
            assert Links(text).inline == []
        assert "&lt;script&gt;alert(3)" in client.get("/data").text


def test_chart_data__cannot_end_its_script_element(ask):
    from app.web.pages import chart_json

    chart = Chart("x", "</script><script>alert(1)</script>", "a&b", ())
    assert "<" not in chart_json(chart) and json.loads(chart_json(chart))["title"].startswith("</script>")


def test_missing_snapshot__says_what_to_type_and_a_publish_heals_it(tmp_path):
    home = Home(tmp_path / "home")
    with asking(home) as client:
        for path in ("/", "/symbols/AAPL", "/scoreboard", "/data", "/runs", "/models"):
            answer = client.get(path)
            assert answer.status_code == 503 and f"nextclose demo --home {home.path}" in answer.text, path
        assert client.get("/api/v1/health").status_code == 503
        assert "nextclose run" in client.get("/api/v1/forecasts/latest").json()["detail"]
        make_store(home, Shape(symbols=5, sessions=60, origins=5, forecasters=("lstm", "ewma")))
        assert client.get("/").status_code == 200 and client.get("/api/v1/health").json()["status"] == "ok"
        home.snapshot.unlink()
        assert client.get("/").status_code == 503


def test_empty_store__every_page_says_so_plainly(tmp_path):
    home = Home(tmp_path / "home").ensure_writable()
    db = Database(home)
    with hold_lease(home, db, "test"):
        publish(db, home, "0000", datetime(2026, 11, 18, 22, tzinfo=UTC))
    with asking(home) as client:
        for path in ("/", "/scoreboard", "/models", "/data", "/runs", "/api"):
            answer = client.get(path)
            assert answer.status_code == 200 and Links(answer.text).inline == [], path
        assert "No forecasts yet" in client.get("/").text and "Nothing has settled yet" in client.get("/scoreboard").text
        assert client.get("/symbols/AAPL").status_code == 404
        assert client.get("/api/v1/health").json()["status"] == "empty" and client.get("/api/v1/forecasts").json()["rows"] == []


def test_damaged_snapshot__leaves_the_edition_before_in_use(tmp_path):
    home = make_store(Home(tmp_path / "home"), Shape(symbols=5, sessions=60, origins=5, forecasters=("lstm",)))
    with asking(home) as client:
        before = client.get("/api/v1/health").json()["edition"]
        home.snapshot.unlink()
        home.snapshot.write_bytes(b"not a database, but as long as one might be" * 40)
        health = client.get("/api/v1/health").json()
        assert health["edition"] == before and "not a DuckDB file" in health["problem"]
        assert client.get("/").status_code == 200
    with asking(home) as client:
        assert client.get("/").status_code == 503  # there is nothing that was good before


def test_publish__in_the_middle_is_seen_by_the_next_request(tmp_path):
    home = make_store(Home(tmp_path / "home"), Shape(symbols=5, sessions=60, origins=5, forecasters=("lstm",)))
    with asking(home) as client:
        client.get("/runs")
        assert client.app.state.calendars.wait(20)  # a page says another thing once the calendars are looked up
        first = client.get("/runs")
        assert client.get("/runs", headers={"if-none-match": first.headers["etag"]}).status_code == 304
        next_day(home, SHAPE)
        row = '<th scope="row"><a href="/runs/'
        second = client.get("/runs", headers={"if-none-match": first.headers["etag"]})
        assert second.status_code == 200 and second.text.count(row) == 1 + first.text.count(row) == 2


def test_words__are_written_one_way():
    assert [words.money(v) for v in (1234.5, 0.01234, None, float("nan"))] == ["1,234.50", "0.01234", "–", "–"]
    assert [words.signed(v) for v in (0.0123, -0.0123, 0.00001)] == ["+1.2\u202f%", "\u22121.2\u202f%", "0.0\u202f%"]
    assert words.duration(7) == "7.0 s" and words.duration(185) == "3 min 05 s" and words.duration(7300) == "2 h 01 min"
    assert words.ahead(1) == "1 session" and words.ahead(5) == "5 sessions"


def test_small_pictures__escape_what_they_are_told_and_hold_only_numbers():
    picture = svg.spark([1.0, 2.0], [(5, [1, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6])], '"><script>')
    assert "<script>" not in picture and re.fullmatch(r"[\d., -]+", re.search(r'class="c" points="([^"]+)"', picture)[1])
    assert (
        "<b>" not in svg.parallel(["a<b>"], [])
        and svg.parallel(["x", "loss"], [({"x": "<b>", "loss": 1.0}, True, "<i>")]).count("<b>") == 0
    )


def test_better__knows_where_more_is_better_and_where_nearer_is():
    assert _better("pinball", 1.0, 2.0) == "a" and _better("direction", 1.0, 2.0) == "b"
    assert _better("coverage_80", 0.95, 0.79) == "b" and _better("mae", 1.0, 1.0) == ""


def test_static__files_are_ours_and_plotlys_with_long_life(ask):
    assert {path.name for path in FOLDER.iterdir()} | {"plotly.min.js"} == set(files())
    page = ask.get("/symbols/S001").text
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', page):
        answer = ask.get(address)
        assert answer.status_code == 200 and "immutable" in answer.headers["cache-control"]
    assert (
        ask.get("/static/../application.py").status_code == 404
        and ask.get("/static/app.css").headers["cache-control"] == "no-cache"
    )
    assert len(style_hashes()) >= 2  # the empty one, and Plotly's own


def test_editions__keep_what_is_dear_and_give_up_what_takes_too_long(made):
    from forecasting.errors import InputError

    editions = Editions(made, seconds=0.2)
    edition, made_times = editions.current(), []
    assert editions.current() is edition
    assert [edition.kept("x", lambda: made_times.append(1) or 7) for _ in range(3)] == [7, 7, 7] and made_times == [1]
    with pytest.raises(InputError, match="ask for less"):
        edition.ask("SELECT sum(a.i * b.i) FROM range(1000000) a(i), range(1000000) b(i)")
    assert Path(made.path).exists() and edition.ask("SELECT 1").rows == [(1,)]
