"""Pictures of an evaluation: whole files that need no network, the same bytes each time, and never a reason to fail."""

from __future__ import annotations

import base64
import json
import re
import struct
from dataclasses import replace

import numpy as np
import pytest

from forecasting.inputs import make_inputs
from forecasting.judging.evaluation import judged_rows
from forecasting.judging.judgement import Answers, judged
from forecasting.metrics import LEVELS
from tasks.pictures import pictures_of
from tasks.plots import save
from tasks.plots_html import html_page
from tasks.plots_png import png_files
from tasks.prefect_artifacts import picture_urls, plots_markdown
from tests.forecasting.markets import walks

CARD = {"history": [{"updates": [1, 2, 3], "train_loss": [None, 0.4, 0.3], "valid_loss": [0.5, 0.4, 0.45], "kept": 1}]}


@pytest.fixture(scope="module")
def pictures():
    """Of six walks, 200 sessions judged of 300; the forecast is the normal distribution at the known scale."""
    inputs = make_inputs(walks(4, 6, 300), ("ret",), (1, 5, 20))
    mask = np.isfinite(inputs.targets.standardised) & (inputs.panel.at >= 100)[:, None]
    rows = judged_rows(mask)
    normal = np.array([-1.645, -1.282, -0.674, 0.0, 0.674, 1.282, 1.645])
    unit = inputs.targets.unit[rows][..., None]
    answers = Answers(inputs, mask, rows, {"lstm": unit * normal, "ewma": unit * normal * 1.4}, inputs.panel.at < 100)
    return pictures_of("model 0123abcd", judged(answers, traced=("S01", "S04")), CARD)


def size_of(png: bytes) -> tuple[int, int]:
    assert png[:8] == b"\x89PNG\r\n\x1a\n" and png[-8:-4] == b"IEND"
    return struct.unpack(">II", png[16:24])


def test_pictures_of__is_what_was_said_and_what_came_true(pictures):
    trace = pictures.traces[0]
    assert [t.symbol for t in pictures.traces] == ["S01", "S04"] and trace.quantiles.shape == (199, 3, 7)
    panel = walks(4, 6, 300).only(("S01",))
    assert (trace.close == panel.close[100:299]).all()
    assert trace.actual[0] == pytest.approx(panel.close[[101, 105, 120]])  # the closes 1, 5 and 20 sessions later
    assert trace.target[0].tolist() == panel.session[[101, 105, 120]].tolist()
    assert np.isnat(trace.target[-1, 1:]).all() and np.isnan(trace.actual[-1, 2])  # not settled when the data ends
    assert trace.quantiles[0, 0, 3] == pytest.approx(trace.close[0])
    assert [c.levels for c in pictures.calibration] == [tuple(LEVELS)] * 3
    assert pictures.calibration[0].shares[3] == pytest.approx(0.5, abs=0.05)
    assert pictures.skill[0].years == ("2012", "2013") and min(pictures.skill[0].skill) > 0 < min(pictures.skill[0].error)
    assert pictures.losses[0].valid == (0.5, 0.4, 0.45) and pictures.losses[0].kept == 1


def test_png_files__are_pictures_and_the_same_bytes_again(pictures):
    files = png_files(pictures)
    assert {name: size_of(data) for name, data in files.items()} == {
        "forecasts.png": (990, 576), "calibration.png": (585, 360), "skill.png": (585, 360), "loss.png": (585, 360),
    }  # fmt: skip
    fewer = png_files(replace(pictures, traces=(), losses=()))
    assert fewer == {name: files[name] for name in ("calibration.png", "skill.png")}


def test_html_page__holds_its_figures_and_asks_no_network(pictures):
    page = html_page(pictures).decode()
    figures = json.loads(re.search(r"const figures = (.*?);figures\.forEach", page).group(1))
    assert len(figures) == 7  # two symbols, each against what came true and as a fan; calibration, skill, loss
    drawn = {line["name"]: line for line in figures[0]["data"] if "name" in line}
    assert set(drawn) == {"80 % interval", "forecast median", "last close (persistence)", "what came true"}
    assert len(drawn["what came true"]["y"]) == 195  # five sessions ahead: the last four have not settled
    outside = page.split("</script>", 1)[1]  # what follows Plotly's own script
    assert "http" not in outside and not re.search(r"<(script|link|img)[^>]+(src|href)=", page)


def test_html_page__lets_no_name_become_markup(pictures):
    nasty = replace(pictures, title="</script><b>", traces=(replace(pictures.traces[0], symbol="</script><b>"),))
    page = html_page(nasty).decode()
    assert page.count("</script>") == html_page(pictures).decode().count("</script>") and "<b>" not in page.split("<body>")[1]


def test_save__leaves_whole_files_only(pictures, tmp_path):
    """And what Prefect is given of them: the pictures themselves, and where the files lie."""
    paths = save(tmp_path / "deep" / "folder", pictures)
    assert sorted(p.name for p in (tmp_path / "deep" / "folder").iterdir()) == sorted(p.name for p in paths)
    assert paths[-1].name == "evaluation.html"
    files = [str(path) for path in paths]
    urls = picture_urls(files)
    assert set(urls) == {"plot-forecasts", "plot-calibration", "plot-skill", "plot-loss"}
    assert base64.b64decode(urls["plot-skill"].removeprefix("data:image/png;base64,")) == paths[2].read_bytes()
    assert plots_markdown(files).count("](file:///") == 5
