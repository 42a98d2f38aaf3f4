"""A forecaster that somebody brings along, made with another library: fitted, checked and audited like one of ours."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from forecasting.audit.own_rivals import audit_own_rivals
from forecasting.errors import RivalFileError, UntrustedModel
from forecasting.lstm import LstmSpec
from forecasting.models import Fitted, fit_model, rebuild
from forecasting.rivals import rivals_among
from forecasting.rivals.own import BATCH, load_own_rivals, name_of, own_digests
from forecasting.splits import Spans
from tests.forecasting.markets import walks
from tests.references.own_rivals import AHEAD, NET, PLAIN

PANEL = walks(11, 3, 400)
DAYS = PANEL.sessions.astype(object)
SPANS = Spans(DAYS[250], DAYS[320], DAYS[399])
SPEC = LstmSpec(features=("ret", "range"), lookback=10, labels_per_sequence=20, horizons=(1, 5))
SPEC = SPEC.model_copy(update={"members": 0})  # no network of ours, which is not asked about here


@pytest.fixture(autouse=True)
def nothing_stays_registered():
    yield
    load_own_rivals({})


def fitted_with(**texts: str):
    load_own_rivals({f"{name}.py": text for name, text in texts.items()})
    return fit_model(SPEC, PANEL, None, SPANS, rivals=("ewma", *texts))


def test_network_of_another_library__is_fitted_and_answers_like_any_rival():
    model = fitted_with(small_net=NET)
    assert rivals_among(model.forecasters) == ("ewma", "small_net")
    assert all(array.dtype.kind == "f" for name, array in model.arrays.items() if name.startswith("small_net/"))
    inputs = model.inputs(PANEL)
    rows = np.flatnonzero(PANEL.at == 380)
    answer = model.quantiles(inputs, rows, ("small_net",))["small_net"]
    assert answer.shape == (3, 2, 7) and (np.diff(answer, axis=-1) >= 0).all()
    again = Fitted(SPEC, dict(model.arrays), model.card).quantiles(inputs, rows, ("small_net",))["small_net"]
    assert np.array_equal(answer, again)


def test_answer__is_the_same_alone_and_in_company():
    model = fitted_with(small_net=NET)
    inputs = model.inputs(PANEL)
    many = np.flatnonzero(PANEL.at > 100)
    assert len(many) > BATCH
    together = model.quantiles(inputs, many, ("small_net",))["small_net"]
    for place in (0, BATCH - 1, BATCH, len(many) - 1):
        alone = model.quantiles(inputs, many[place : place + 1], ("small_net",))["small_net"]
        assert np.array_equal(alone[0], together[place])


def test_audit__lets_an_honest_one_pass_and_names_one_that_looks_ahead():
    report = audit_own_rivals(fitted_with(small_net=NET, plain=PLAIN), PANEL, None)
    assert report.ok
    found = audit_own_rivals(fitted_with(plain=PLAIN, looks_ahead=AHEAD), PANEL, None).findings
    assert [(f.code, f.what) for f in found] == [("K1", "looks_ahead")]
    assert audit_own_rivals(fitted_with(), PANEL, None).compared == 0


def test_model__wants_the_very_file_that_it_was_fitted_with():
    model = fitted_with(plain=PLAIN)
    assert model.card["own_rivals"] == own_digests(("plain",)) != {}
    load_own_rivals({"plain.py": PLAIN + "\n# another remark\n"})
    with pytest.raises(UntrustedModel, match=r"plain\.py is not the file that the model's forecaster plain was fitted with"):
        rebuild(model.arrays, model.card)
    load_own_rivals({})
    with pytest.raises(UntrustedModel, match=r"holds the forecaster plain, which is in no file .* \[rivals\] own"):
        rebuild(model.arrays, model.card)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def fit(known, labels):\n    return {}\n", "no function quantiles in it"),
        ("import nonsense_of_all_sorts\n", "ModuleNotFoundError in line 1: .*; install it where nextclose is"),
        ("def fit(known, labels:\n", "SyntaxError in line 1"),
        (PLAIN.replace("np.quantile", "np.no_such"), "fit fails in line 6: AttributeError"),
        (PLAIN.replace('return {"table"', 'return ["table"]; {"table"'), "fit answers a list; return a dict"),
        (PLAIN.replace('"table": table', '"table": "text"'), "fit answers 'table' of the kind <U4"),
        (PLAIN.replace("return out", "return out[:, 0]"), r"quantiles answers the shape \(512, 7\); return 512x2x7"),
        (PLAIN.replace("return out", "return out * np.nan"), "quantiles answers no number for S00"),
    ],
)
def test_file__that_cannot_be_used_is_named_with_the_line(text, said):
    with pytest.raises(RivalFileError, match=said) as caught:
        model = fitted_with(mine=text)
        model.quantiles(model.inputs(PANEL), np.array([50]), ("mine",))
    assert str(caught.value).startswith("mine.py: ") and caught.value.exit_code == 2


def page_example() -> str:
    page = Path(__file__).resolve().parents[3] / "docs" / "rivals.md"
    return re.search(r"```python\n(# torch_lstm\.py\n.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)[1]


def test_example_of_the_page__has_the_two_functions():
    code = compile(page_example(), "torch_lstm.py", "exec")
    assert {"fit", "quantiles"} <= {c.co_name for c in code.co_consts if hasattr(c, "co_name")}


def test_example_of_the_page__is_a_forecaster_where_torch_is_installed():
    pytest.importorskip("torch")
    model = fitted_with(torch_lstm=page_example().replace("range(300)", "range(3)").replace("LOOKBACK = 60", "LOOKBACK = 10"))
    assert audit_own_rivals(model, PANEL, None).ok


def test_name__is_that_of_the_file_and_no_other_forecasters():
    assert name_of("folder/torch_lstm.py") == "torch_lstm"
    for file, said in (("Ewma.py", "small letters"), ("ewma.py", "there is one of that name"), ("a-b.py", "small letters")):
        with pytest.raises(ValueError, match=said):
            name_of(file)
