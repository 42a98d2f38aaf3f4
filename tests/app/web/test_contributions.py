"""What each feature added, on the Symbol page: asked of a real network that serves, through a real child process."""

from __future__ import annotations

import json
import math
import re

import pytest

from app.cli import execute
from tests.app.web.conftest import asking
from tests.flows.conftest import no_environment  # noqa: F401


@pytest.fixture
def served_by_the_network(copied, capsys):
    """The miniature installation after a day on which the network served, put there by hand."""
    assert execute(["models", "--home", str(copied), "--json"]) == 0
    [model] = json.loads(capsys.readouterr().out)["models"]
    by_hand = ["promote", model["model_id"][:8], "--reason", "to see its features", "--even-if-refused"]
    assert execute([*by_hand, "--home", str(copied), "--json"]) == 0
    assert execute(["run", "--origin", "2021-04-01", "--home", str(copied), "--json"]) == 0
    capsys.readouterr()
    return copied


@pytest.mark.slow(25)
def test_contributions__of_the_network_add_up_to_the_forecast_and_are_drawn(served_by_the_network):
    from storage.home import Home

    with asking(Home(served_by_the_network)) as client:
        symbol = client.get("/symbols/AAA?horizon=5")
        assert symbol.status_code == 200 and "/symbols/AAA/contributions?horizon=5" in symbol.text
        page = client.get("/symbols/AAA/contributions?horizon=5")
        assert page.status_code == 200, page.text
        [forecast] = client.get("/api/v1/forecasts/AAA?horizon=5").json()["rows"]
        assert forecast["forecaster"] == "lstm"
        body = re.search(r"<tbody>(.*?)</tbody>", page.text, re.DOTALL)[1]
        rows = re.findall(r'<th scope="row">(.*?)</th><td class="num">(.*?)</td>', body)
        names = [name for name, _ in rows]
        assert {"ret", "range"} <= set(names) and names[0] == "baseline" and names[-1] == "forecast"
        values = [float(text.replace("\u2212", "-").split("\u202f")[0].rstrip("%")) / 100 for _, text in rows]
        assert sum(values[:-1]) == pytest.approx(values[-1], abs=2e-5 * len(values))  # three digits of a percent are shown
        assert values[-1] == pytest.approx(math.log(forecast["q50"] / forecast["close"]), abs=2e-5)
        chart = json.loads(re.search(r'<script type="application/json">(.*?)</script>', page.text, re.DOTALL)[1])
        assert chart and "What each feature adds" in page.text


def test_contributions__of_a_rival_without_features_say_so(finished):
    from storage.home import Home

    with asking(Home(finished[0])) as client:
        [forecast] = client.get("/api/v1/forecasts/AAA?horizon=1").json()["rows"]
        page = client.get("/symbols/AAA/contributions?horizon=1")
        assert page.status_code == 200
        told = "<tbody>" in page.text or f"{forecast['forecaster']} reads no features".lower() in page.text.lower()
        assert told, page.text
    with asking(Home(finished[0]), explain=False) as client:
        assert client.get("/symbols/AAA/contributions?horizon=1").status_code == 404
        assert "/contributions" not in client.get("/symbols/AAA").text
