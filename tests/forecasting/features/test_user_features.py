"""Features of one's own: taken as they are, refused with what to type, audited and masked as the built-in ones."""

from __future__ import annotations

import numpy as np
import pytest

from forecasting.audit.features import audit
from forecasting.errors import FeatureFileError, LeakFound, UntrustedModel
from forecasting.features import compute_features, feature, known_names
from forecasting.features.user import (
    check_user_features,
    forget_user_features,
    load_user_features,
    require_user_features,
    user_digests,
    user_source,
)
from tests.references.market import small_macro, small_panel

GOOD = '''
import numpy as np
import pandas as pd
from numpy import sqrt as helper_from_elsewhere

def _helper(bars):
    """Not a feature: a name of the file's own."""

def with_other_parameters(bars, n):
    """Not a feature: it takes more than bars."""

def body(bars):
    """Close over open, less 1."""
    return bars.close / bars.open - 1.0
body.warm_up = 0

def month_return(bars):
    """Close over its mean of 21 sessions, less 1."""
    return bars.close / pd.Series(bars.close).rolling(21).mean() - 1.0
month_return.warm_up = 20

def against_market(bars):
    """Return less the market's, where the VIX is known."""
    return np.where(bars.macro("VIX") > 0, bars.returns - bars.market, np.nan)
against_market.warm_up = 1
'''


@pytest.fixture(autouse=True)
def no_features_of_before():
    forget_user_features()
    yield
    forget_user_features()


def one(body: str, head: str = "import numpy as np\nimport pandas as pd\n", name: str = "mine", after: str = "") -> str:
    """A file with one feature."""
    return f'{head}\ndef {name}(bars):\n    """A definition."""\n    {body}\n{after}\n'


def test_load__registers_the_functions_that_take_bars_and_no_others() -> None:
    digests = load_user_features(GOOD, "my_features.py")
    assert list(digests) == ["body", "month_return", "against_market"]
    assert len(set(digests.values())) == 1  # one text, one digest: a helper that changes changes them all
    described = feature("month_return")
    assert described.definition == "Close over its mean of 21 sessions, less 1."
    assert (described.group, described.warm_up, described.version) == ("user", 20, digests["body"][:12])
    assert user_source() == (GOOD, "my_features.py")


def test_values__are_those_of_the_function_symbol_by_symbol_and_unknown_in_the_warm_up() -> None:
    load_user_features(GOOD)
    panel, macro = small_panel(), small_macro()
    values = compute_features(panel, ("body", "month_return", "ret", "against_market"), macro=macro).values
    plain = compute_features(panel, ("open", "close", "sma_21")).values
    np.testing.assert_allclose(values[:, 0], plain[:, 1] / plain[:, 0] - 1.0, atol=2e-6)
    np.testing.assert_allclose(values[:, 1], plain[:, 2], atol=2e-6)  # NaN on the first 20 rows of each symbol
    assert np.isnan(values[panel.starts[:-1], 3]).all() and np.isfinite(values[300, 3])
    assert np.array_equal(values[:, 2], compute_features(panel, ("ret",)).values[:, 0], equal_nan=True)


def test_load__again_forgets_the_features_of_before() -> None:
    load_user_features(one("return bars.close", name="first"))
    load_user_features(one("return bars.open", name="second"))
    assert "second" in known_names() and "first" not in known_names()
    load_user_features(None)
    assert "second" not in known_names() and user_source() == (None,)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("def broken(:\n", r"my\.py: SyntaxError in line 1: .*; correct it"),
        ("x = 1\ny = x / 0\n", r"my\.py: ZeroDivisionError in line 2"),
        ("def helper(x):\n    return x\n", r"no function with the one parameter `bars` in it; write `def my_feature\(bars\):`"),
        ("def mine(bars):\n    return bars.close\n", "mine has no docstring"),
        (one("return bars.close", name="rsi_14"), "rsi_14 is the name of a built-in feature; give it another one"),
        (one("return bars.close", name="Mine"), "Mine is no name of a feature"),
        (one("return bars.close", after="mine.warm_up = -3"), "mine.warm_up is -3"),
        (one("return bars.close", after="mine.warm_up = 2.5"), "mine.warm_up is 2.5"),
    ],
)
def test_load__refuses_what_cannot_be_a_feature_and_says_where(text: str, problem: str) -> None:
    load_user_features(one("return bars.close", name="kept"))
    with pytest.raises(FeatureFileError, match=problem):
        load_user_features(text, "my.py")
    assert "kept" in known_names()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("return bars.close[1:]", r"mine answers values of the shape \(329,\) for 330 bars; return one number a bar"),
        ("return bars.close[500]", r"mine fails in line 6 with 330 bars of S0: IndexError"),
        ("bars.close[0] = 1.0; return bars.close", "mine fails in line 6 with 330 bars of S0: ValueError.*read-only"),
    ],
)
def test_compute__a_function_that_fails_is_named_with_its_line(body: str, problem: str) -> None:
    load_user_features(one(body), "my.py")
    with pytest.raises(FeatureFileError, match=problem):
        compute_features(small_panel(), ("mine",))


LEAKS = {
    "tomorrow's return": "return np.append(bars.returns[1:], np.nan)",
    "centred mean": "return pd.Series(bars.close).rolling(5, center=True).mean()",
    "mean of all": "return bars.close - np.nanmean(bars.close)",
    "filled backwards": "return pd.Series(bars.open).bfill()",
    "rank in the whole history": "return pd.Series(bars.close).rank()",
    "length of the history": "return np.full(len(bars), len(bars))",
    "dice": "return np.random.default_rng().normal(size=len(bars))",
    "today's market, tomorrow": "return np.append(bars.market[1:], np.nan)",
    "tomorrow's VIX": "return np.append(bars.macro('VIX')[1:], np.nan)",
}


@pytest.mark.parametrize("what", LEAKS)
def test_audit__names_a_feature_of_ones_own_that_sees_the_future(what: str) -> None:
    load_user_features(one(LEAKS[what], after="mine.warm_up = 0"))
    names = ("ret", "mine")
    report = audit(
        lambda p, m: compute_features(p, names, macro=m).values, small_panel(), small_macro(), names, symbols=3, cuts=6
    )
    assert {finding.what for finding in report.findings} == {"mine"}


def test_audit__lets_honest_features_pass() -> None:
    load_user_features(GOOD)
    names = ("body", "month_return", "against_market")
    report = audit(
        lambda p, m: compute_features(p, names, macro=m).values, small_panel(), small_macro(), names, symbols=3, cuts=6
    )
    assert report.ok and report.compared > 10_000


def test_warm_up__a_feature_that_looks_further_back_than_it_says_is_refused_with_what_it_needs() -> None:
    panel = small_panel()
    body = "return bars.close / pd.Series(bars.close).rolling(40, min_periods=1).mean()"
    load_user_features(one(body, after="mine.warm_up = 10"), "my.py")
    with pytest.raises(
        FeatureFileError, match=r"my\.py: mine looks further back than the 10 .*write `mine\.warm_up = 40` below"
    ):
        check_user_features(("ret", "mine"), panel)
    load_user_features(one(body, after="mine.warm_up = 40"), "my.py")
    check_user_features(("ret", "mine"), panel)


def test_warm_up__what_depends_on_the_end_of_the_history_is_called_a_leak() -> None:
    load_user_features(one("return bars.close - np.nanmean(bars.close)", after="mine.warm_up = 20"))
    with pytest.raises(LeakFound, match="mine has seen the future"):
        check_user_features(("mine",), small_panel())
    load_user_features(one("return np.append(bars.returns[1:], np.nan)", after="mine.warm_up = 20"))
    check_user_features(("mine",), small_panel())  # looks back far enough; the audit finds the rest


def test_warm_up__what_never_forgets_is_refused() -> None:
    load_user_features(one("return np.cumsum(np.nan_to_num(bars.returns))", after="mine.warm_up = 20"))
    with pytest.raises(FeatureFileError, match="depends on where the history begins"):
        check_user_features(("mine",), small_panel())


def test_warm_up__is_250_where_it_is_not_said() -> None:
    load_user_features(one("return pd.Series(bars.close).rolling(200).mean() / bars.close"))
    panel = small_panel()
    check_user_features(("mine",), panel)
    values = compute_features(panel, ("mine",)).values[: panel.starts[1], 0]
    assert np.isnan(values[:250]).all() and np.isfinite(values[250:]).all()


def test_require__a_changed_or_missing_feature_refuses_the_model_and_says_what_to_type() -> None:
    card = {"user_features": load_user_features(GOOD, "my.py")}
    assert user_digests(("ret", "body")) == {"body": card["user_features"]["body"]}
    require_user_features(card)
    require_user_features({})  # a model without any
    load_user_features(GOOD + "\n# a remark", "my.py")
    with pytest.raises(UntrustedModel, match=r"my\.py is not the file .* body was trained with .*`nextclose retrain`"):
        require_user_features(card)
    load_user_features(None)
    with pytest.raises(
        UntrustedModel, match=r"needs the feature body.*set \[features\] file to it, or type `nextclose retrain`"
    ):
        require_user_features(card)
