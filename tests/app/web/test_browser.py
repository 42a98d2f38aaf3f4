"""The pages in a real Chromium: nothing in its console, nothing asked of another host, nothing that axe calls serious."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.made_store import MODELS, RUN, Shape, make_store, next_day
from storage.home import Home
from tests.app.web.conftest import SHAPE, serving

PAGES = {
    "today": "/", "symbol": "/symbols/S001", "scoreboard": "/scoreboard", "models": "/models", "model": f"/models/{MODELS[0]}",
    "compare": f"/models/compare?a={MODELS[0][:8]}&b={MODELS[1][:8]}", "data": "/data", "runs": "/runs",
    "run": f"/runs/{RUN}", "api": "/api",
}  # fmt: skip
PLOTS = {"symbol": 4, "scoreboard": 6, "model": 1, "compare": 1, "runs": 1}
TINY = """
[lstm]
features = ["ret", "range"]
lookback = 20
labels_per_sequence = 40
stem_units = 0
units = [4]
head_units = 4
members = 1
epochs = 1
min_updates = 4

[evaluation]
valid_sessions = 100
test_sessions = 130
plots = false
"""


@pytest.fixture(scope="module")
def axe() -> str:
    """The script of axe-core, which comes with a package of the tests."""
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def address(made) -> Iterator[str]:
    with serving(made) as address:
        yield address


@contextmanager
def opened(browser, address: str, path: str, **context) -> Iterator:
    """A page with all that it said and asked; nothing may be amiss in the end."""
    quiet = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | context))
    page, said = quiet.new_page(), []
    page.on(
        "console",
        lambda message: said.append(f"{message.type}: {message.text}") if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on(
        "request",
        lambda request: (
            said.append(f"asked {request.url}") if not request.url.startswith((address, "data:", "blob:")) else None
        ),
    )
    page.goto(address + path)
    page.wait_for_load_state("networkidle")
    try:
        yield page
        assert said == []
        assert quiet.cookies() == []
    finally:
        quiet.close()


def drawn(page) -> int:
    """How many charts Plotly has drawn, after a look at all of the page."""
    for y in range(0, page.evaluate("document.documentElement.scrollHeight"), 600):
        page.evaluate(f"scrollTo(0, {y})")
        page.wait_for_timeout(30)
    figures = page.locator("figure.chart:has(.plot)").count()
    page.wait_for_function("n => document.querySelectorAll('figure.chart[data-drawn] .main-svg').length >= n", arg=figures)
    return figures


@pytest.mark.parametrize("name", PAGES)
def test_page__in_a_browser_draws_its_plots_and_is_accessible(browser, address, axe, name):
    for scheme in ("light", "dark"):
        with opened(browser, address, PAGES[name], color_scheme=scheme) as page:
            assert drawn(page) == PLOTS.get(name, 0)
            page.evaluate("scrollTo(0, 0)")
            page.evaluate(f"() => {{ {axe} }}")
            found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]
            told = [(v["id"], v["impact"], v["nodes"][0]["html"][:120]) for v in found]
            assert [t for t in told if t[1] in ("serious", "critical")] == [], json.dumps(told, indent=1)


@pytest.mark.parametrize("name", PAGES)
def test_page__fits_a_phone(browser, address, name):
    with opened(browser, address, PAGES[name], viewport={"width": 390, "height": 844}, device_scale_factor=2) as page:
        drawn(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_page__reads_without_scripts(browser, address):
    with opened(browser, address, "/symbols/S001", java_script_enabled=False) as page:
        assert page.locator("noscript img, figure img").count() >= 0 and page.locator("table").count() >= 4
        assert page.locator("#theme").is_hidden()
    with opened(browser, address, "/?sort=up5&dir=down", java_script_enabled=False) as page:
        assert page.locator("table.today tbody tr").count() == 12
        page.get_by_role("link", name="Symbol").first.click()
        assert page.locator("table.today tbody tr th").first.inner_text() == "S000"
        page.get_by_label("Find").fill("S00")
        page.get_by_role("button", name="Show").click()
        assert page.locator("table.today tbody tr").count() == 10


def test_theme__is_chosen_kept_and_redraws_the_plots(browser, address):
    with opened(browser, address, "/symbols/S001", color_scheme="light") as page:
        drawn(page)
        ground = "getComputedStyle(document.body).backgroundColor"
        ink = "document.querySelector('.main-svg text').style.fill"
        before, said = page.evaluate(ground), page.evaluate(ink)
        page.locator("#theme").click()
        assert page.evaluate(ground) != before and page.locator("#theme").inner_text() == "Light"
        page.wait_for_function(f"said => {ink} !== said", arg=said)
        page.goto(address + "/data")
        assert page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_keyboard__reaches_the_content_and_sorts(browser, address):
    with opened(browser, address, "/scoreboard") as page:
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent") == "To the content"
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.id || location.hash") in ("main", "#main")
        head = page.locator("table.sortable button.sort", has_text="5 sessions").first
        head.focus()
        page.keyboard.press("Enter")
        table = page.locator("table.sortable").first
        values = [
            float(t.replace("\u2212", "-").split("\u202f")[0])
            for t in table.locator("tbody td:nth-child(3)").all_inner_texts()
            if t != "–"
        ]
        assert values == sorted(values, reverse=True) and table.locator("th[aria-sort=descending]").count() == 1


def test_five_hundred_symbols__sort_and_filter_while_one_types(browser, many):
    with serving(many) as address, opened(browser, address, "/") as page:
        rows = page.locator("table.today tbody tr")
        assert rows.count() == 500
        page.get_by_label("Find").fill("S12")
        page.wait_for_function("() => document.querySelectorAll('table.today tbody tr').length === 10")
        assert page.url.endswith("dir=up") and "q=S12" in page.url
        page.get_by_label("Find").fill("")
        page.wait_for_function("() => document.querySelectorAll('table.today tbody tr').length === 500")
        page.locator("table.today thead a.sort", has_text="P(up)").nth(1).click()
        page.wait_for_selector("table.today th[aria-sort=descending]")
        shown = [int(t.split("\u202f")[0]) for t in page.locator("table.today tbody tr td:nth-of-type(6)").all_inner_texts()]
        assert len(shown) == 500 and shown == sorted(shown, reverse=True)
        page.get_by_label("Only").select_option("fallback")
        page.wait_for_function("() => document.querySelectorAll('table.today tbody tr').length === 5")
    with serving(many) as address, opened(browser, address, "/scoreboard") as page:
        assert drawn(page) == 6


def test_publish_in_the_middle__is_never_an_error(browser, tmp_path):
    home = make_store(Home(tmp_path / "home"), Shape(symbols=6, sessions=60, origins=8, forecasters=("lstm", "ewma")))
    with serving(home) as address, opened(browser, address, "/runs") as page:
        runs = page.locator("tbody tr").count()
        for nth in range(3):
            next_day(home, SHAPE)
            answer = page.goto(address + "/runs")
            assert answer.status == 200 and page.locator("table.sortable tbody tr").count() == runs + nth + 1 or nth
        for path in ("/", "/symbols/S001", "/scoreboard"):
            assert page.goto(address + path).status == 200


def test_missing_snapshot__then_one_is_published(browser, tmp_path):
    home = Home(tmp_path / "home")
    context = browser.new_context()
    with serving(home) as address:
        page = context.new_page()
        assert page.goto(address).status == 503 and "nextclose demo" in page.locator("main").inner_text()
        make_store(home, Shape(symbols=6, sessions=60, origins=8, forecasters=("lstm", "ewma")))
        assert page.goto(address).status == 200 and page.locator("table.today tbody tr").count() == 6
    context.close()


def test_bundled_prices__through_the_real_flow_are_shown(browser, tmp_path_factory):
    """The prices that the project carries, a network of four units, a real day with twelve sessions replayed."""
    from flows.daily import daily
    from flows.parameters import Daily

    home = Home(tmp_path_factory.mktemp("bundled") / "home").ensure_writable()
    home.settings.write_text(TINY, encoding="utf-8")
    daily(Daily(home=str(home.path), source="bundled", replay=12))
    with serving(home) as address:
        with opened(browser, address, "/") as page:
            assert page.locator("table.today tbody th").all_inner_texts() == ["AAPL", "FB", "GOOG", "IBM", "MSFT"]
            assert "after the fact" in page.locator("table.today tbody").inner_text()
            assert "stale" in page.locator(".banner").inner_text()
        for path, plots in (
            ("/symbols/AAPL?horizon=1", 4),
            ("/scoreboard?horizon=1", 5),
            ("/models", 0),
            ("/data", 0),
            ("/runs", 1),
        ):
            with opened(browser, address, path) as page:
                assert drawn(page) >= plots
