"""GJR-GARCH-t against the package ``arch``, and on series that were drawn from it."""

import sys

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import SettingError
from forecasting.inputs import make_inputs
from forecasting.panel import Panel
from forecasting.rivals import Known, fit_rivals, garch, rival_quantiles
from forecasting.rivals.known import Labels
from forecasting.targets import log_returns
from tests.forecasting.markets import walk_frame

MU, OMEGA, ALPHA, GAMMA, BETA = 0.0003, 2e-6, 0.03, 0.09, 0.90


def drawn(symbol: str, sessions: int) -> pd.DataFrame:
    """Bars whose closes follow the model with the numbers above and eight degrees of freedom."""
    frame = walk_frame(2, symbol, sessions)
    draw, v, moves = np.random.default_rng([7, *symbol.encode()]), OMEGA / (1 - ALPHA - GAMMA / 2 - BETA), []
    for z in draw.standard_t(8, sessions) * np.sqrt(6 / 8):
        moves.append(np.sqrt(v) * z)
        v = OMEGA + (ALPHA + GAMMA * (moves[-1] < 0)) * moves[-1] ** 2 + BETA * v
    close = 50 * np.exp(np.cumsum(np.array(moves) + MU))
    return frame.assign(open=close, high=close, low=close, close=close)


PANEL = Panel.from_frames(pd.concat([*(drawn(s, 2500) for s in ("AAA", "BBB", "CCC")), drawn("NEW", 300)]))
INPUTS = make_inputs(PANEL, ("ret",), (1, 5))
X = np.zeros((PANEL.rows, 1), np.float32)
KNOWN = Known(INPUTS, X, PANEL.symbols)
TRAIN = np.isfinite(INPUTS.targets.standardised) & (INPUTS.targets.settles_at < 2000)
RETURNS = log_returns(PANEL)


@pytest.fixture(scope="module")
def parts():
    return garch.fit(KNOWN, Labels(KNOWN, TRAIN, TRAIN))


def test_garch__finds_the_numbers_that_made_the_series(parts):
    mu, omega, alpha, gamma, beta, start = np.median(parts["parameters"][:3], axis=0)
    assert alpha == pytest.approx(ALPHA, abs=0.03) and gamma == pytest.approx(GAMMA, abs=0.05)
    assert beta == pytest.approx(BETA, abs=0.04) and mu == pytest.approx(MU, abs=0.0004)
    assert start == pytest.approx(OMEGA / (1 - ALPHA - GAMMA / 2 - BETA), rel=0.3)


def test_garch__filters_and_looks_ahead_as_the_package_does(parts):
    """The same numbers in ``arch``: the variance of each session, and the sum over five sessions from the last one."""
    from arch import arch_model

    mu, omega, alpha, gamma, beta, _ = parts["parameters"][1]
    own = slice(PANEL.starts[1] + 1, PANEL.starts[2])
    model = arch_model(RETURNS[own] * 100, mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="t", rescale=False)
    fixed = model.fix([mu * 100, omega * 1e4, alpha, gamma, beta, 8.0])
    center, volatility = garch._ahead(parts, KNOWN, np.arange(PANEL.rows))
    late = np.arange(500, 2499)  # by then the two starting values are forgotten
    np.testing.assert_allclose(volatility[own, 0][late - 1] * 100, fixed.conditional_volatility[late], rtol=1e-6)
    ahead = fixed.forecast(horizon=5, start=2498).variance.to_numpy()[-1]
    assert volatility[own, 1][-1] ** 2 * 1e4 == pytest.approx(ahead.sum(), rel=1e-6)
    assert center[own, 1][-1] == pytest.approx(5 * mu)


def test_garch__is_fitted_on_training_rows_alone(parts):
    cut = PANEL.until(PANEL.sessions[1999])
    inputs = make_inputs(cut, ("ret",), (1, 5))
    known = Known(inputs, X[: cut.rows], cut.symbols)
    train = np.isfinite(inputs.targets.standardised)
    again = garch.fit(known, Labels(known, train, train))
    assert all(np.array_equal(again[part], parts[part]) for part in parts)


def test_garch__gives_a_symbol_without_a_fit_the_median_of_the_others_and_its_own_long_run(parts):
    assert (parts["parameters"][3] == parts["typical"]).all()
    np.testing.assert_array_equal(parts["typical"][2:5], np.median(parts["parameters"][:3, 2:5], axis=0))
    own = np.arange(PANEL.starts[3] + 20, PANEL.starts[4])
    _, volatility = garch._ahead(parts, KNOWN, own)
    alpha, gamma, beta = parts["typical"][2:5]
    v = KNOWN.moments.scale[own[0]] ** 2
    expected = [v]
    for t in own[1:]:
        v = (
            (1 - alpha - gamma / 2 - beta) * KNOWN.moments.scale[t] ** 2
            + (alpha + gamma * (RETURNS[t] < 0)) * RETURNS[t] ** 2
            + beta * v
        )
        expected.append(v)
    np.testing.assert_allclose(volatility[:, 0] ** 2, expected, rtol=1e-9)


def test_garch__serves_a_symbol_that_the_model_never_saw(parts):
    """Stored numbers belong to the symbols of the model's card, wherever they stand among those asked for."""
    arrays = {f"garch/{part}": array for part, array in parts.items()}
    other = Panel.from_frames(pd.concat([drawn("CCC", 2500), drawn("ZZZ", 700)]))
    inputs = make_inputs(other, ("ret",), (1, 5))
    known = Known(inputs, X[: other.rows], PANEL.symbols)
    q = rival_quantiles("garch", arrays, inputs, X, np.arange(2400, 3200), known)
    here = rival_quantiles("garch", arrays, INPUTS, X, np.arange(PANEL.starts[2] + 2400, PANEL.starts[3]), KNOWN)
    np.testing.assert_array_equal(q[:100], here)
    assert np.isfinite(q[120:]).all()


def test_garch__without_the_package_says_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "arch", None)
    with pytest.raises(SettingError, match=r"rivals.garch is True; expected false, or .* pip install 'nextclose\[garch\]'"):
        fit_rivals(INPUTS, X, TRAIN, TRAIN, ("garch",))
