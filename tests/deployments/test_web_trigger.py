"""``POST /api/v1/runs`` against a real ``nextclose serve``: the flow runs, the page shows how it goes and then the forecast."""

from __future__ import annotations

import shutil

import pytest

from app.web.application import create_app
from storage.home import Home
from tasks.web_settings import WebSettings
from tests.app.web.conftest import TOKEN, chromium, serving  # noqa: F401
from tests.deployments.conftest import wait_for

DAY = "2021-04-06"
BEARER = {"authorization": f"Bearer {TOKEN}"}


def looked_at(served):
    """The address of a web app that may start runs on that server."""
    settings = WebSettings.model_validate({"token": TOKEN, "prefect_api": served.url, "seconds": 60.0})
    return serving(Home(served.home), create_app(Home(served.home), settings, password=":".join(served.login), warm=False))


@pytest.mark.slow(40)
def test_run_started_through_the_api__goes_through_prefect_and_its_forecasts_are_shown(served):
    import httpx

    with looked_at(served) as address, httpx.Client(base_url=address) as web:
        before = web.get("/api/v1/forecasts/AAA").json()["rows"][0]["origin"]
        assert before < DAY
        assert web.post("/api/v1/runs", json={"symbols": ["AAA"]}).status_code == 401
        wanted = {"symbols": ["AAA", "BBB", "CCC"], "origin": DAY}
        made = web.post("/api/v1/runs", json=wanted, headers=BEARER, timeout=30)
        assert made.status_code == 202, made.text
        run, seen = made.json()["id"], []
        assert web.post("/api/v1/runs", json=wanted, headers=BEARER, timeout=30).status_code == 409  # one at a time

        def ended():
            told = web.get(f"/api/v1/runs/started/{run}", headers=BEARER, timeout=30).json()
            seen.append(told["state"])
            return told["state"] in ("COMPLETED", "FAILED", "CRASHED") and told

        told = wait_for(ended, f"the run's end, {seen[-3:]}\n{served.log[-2000:]}")
        assert told["state"] == "COMPLETED" and told["url"].endswith(run) and {"RUNNING", "PENDING", "SCHEDULED"} & set(seen)
        assert web.get("/api/v1/forecasts/AAA").json()["rows"][0]["origin"] == DAY  # the publish is seen at once
        assert web.get("/symbols/AAA").status_code == 200 and DAY[:4] in web.get("/symbols/AAA").text


@pytest.mark.skipif(not any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), reason="no Chromium")
def test_page_of_an_unknown_symbol__starts_a_run_and_tells_how_it_ends(served, chromium):  # noqa: F811
    """A symbol that its source does not know: the button, the state as it changes, and what went wrong in words."""
    from playwright.sync_api import sync_playwright

    with looked_at(served) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(chromium), args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(f"{address}/symbols/ZZZZ")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Forecast ZZZZ").click()
        states = set()
        page.wait_for_selector("#progress a")
        for _ in range(600):
            told = page.locator("#progress").inner_text()
            states |= {word for word in ("scheduled", "pending", "running", "failed", "completed") if word in told.lower()}
            if {"failed", "completed"} & states:
                break
            page.wait_for_timeout(200)
        browser.close()
        assert "failed" in states and states & {"scheduled", "pending", "running"}, states
