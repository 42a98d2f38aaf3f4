"""What a person sees of a backtest that walks forward."""

from __future__ import annotations

from tests.app.test_cli import typed  # noqa: F401
from tests.tiny import prices_file, tiny_bars

SPEC = """features = ["ret", "range"]
lookback = 20
labels_per_sequence = 40
stem_units = 0
units = [4]
head_units = 4
members = 1
epochs = 1
min_updates = 4
batch_size = 8
"""


def test_backtest__walking_forward_shows_scores_rivals_and_cuts_and_draws(typed, tmp_path):  # noqa: F811
    bars = tiny_bars(("AAA", "BBB", "CCC", "DDD", "EEE"), 440)
    (tmp_path / "spec.toml").write_text(SPEC)
    (tmp_path / "sectors.csv").write_text("symbol,sector\nAAA,Energy\nBBB,Health\nCCC,Health\nDDD,Health\n")
    code, out, err = typed(
        "backtest", "--prices", prices_file(tmp_path / "prices.csv", bars), "--train-end", "2020-12-31", "--valid-end",
        "2021-03-31", "--test-end", "2021-09-24", "--spec", tmp_path / "spec.toml", "--home", tmp_path / "none",
        "--retrain-every", "62", "--sectors", tmp_path / "sectors.csv", "--trials", "3", "--plots", tmp_path / "plots",
    )  # fmt: skip
    assert code == 0, err
    assert "1 symbols have no sector, first EEE" in err
    for said in ("p corrected for 3 horizons and 3 trials", "By year of the origin", "2021 ", "By volatility of the market",
                 "Energy", "Health", "unknown", "By fold", "2021-06-29", "Paper portfolio, 5 sessions held",
                 "information, not a gate", "against", "ewma"):  # fmt: skip
        assert said in out, said
    assert max(len(line) for line in out.split("check  verdict")[0].splitlines()) <= 100
    assert (tmp_path / "plots" / "evaluation.html").stat().st_size > 1e6 and not (tmp_path / "none").exists()


def test_backtest__says_what_does_not_go_together(typed, tmp_path):  # noqa: F811
    dates = ("--train-end", "2020-12-31", "--valid-end", "2021-03-31", "--test-end", "2021-09-24", "--home", tmp_path / "none")
    code, _, err = typed("backtest", "--prices", "x.csv", *dates, "--ranks", "--retrain-every", "60")
    assert code == 2 and "ranks are scored with one model: leave retrain_every (--retrain-every) out" in err
    assert err.count("\n") == 1
    code, _, err = typed("backtest", "--prices", "x.csv", *dates, "--sectors", tmp_path / "none.csv")
    assert code == 2 and "name a CSV file with the columns symbol,sector" in err and err.count("\n") == 1
