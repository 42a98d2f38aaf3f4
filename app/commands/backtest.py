"""``nextclose backtest``."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.common import COMMON, Common


def backtest(
    *,
    prices: Annotated[Path, Parameter(help="CSV or Parquet file, or a folder of them.")],
    train_end: Annotated[date, Parameter(help="Last session to learn from.")],
    valid_end: Annotated[date, Parameter(help="Last session on which training may choose when to stop.")],
    test_end: Annotated[date, Parameter(help="Last session of the span that judges.")],
    macro: Annotated[Path | None, Parameter(help="CSV or Parquet of macro series, such as the VIX.")] = None,
    spec: Annotated[
        Path | None, Parameter(help="TOML or JSON with the network's settings. Default: those of the home.")
    ] = None,
    symbols: Annotated[
        list[str] | None, Parameter(consume_multiple=True, help="Only these. Default: all that the file holds.")
    ] = None,
    common: Common = COMMON,
) -> int:
    """Train on a price file, judge on a span never seen, let the gate speak; stores nothing.

    For example:
      nextclose backtest --prices sp500.parquet --train-end 2018-12-31 --valid-end 2020-12-31 --test-end 2023-08-31
    """
    from app.asking import asked, execute
    from app.common import print_json, split_symbols
    from flows.backtest import backtest as flow
    from flows.parameters import Backtest

    request = asked(
        Backtest,
        home=str(common.path),
        prices=str(prices.expanduser().absolute()),
        train_end=train_end,
        valid_end=valid_end,
        test_end=test_end,
        macro=None if macro is None else str(macro),
        spec=None if spec is None else str(spec),
        symbols=split_symbols(symbols),
    )
    report = execute(flow, request, quiet=common.json)
    if common.json:
        print_json(report)
    else:
        _show(report)
    return 0


def _show(report: dict[str, Any]) -> None:
    from app.printing import percent, say, signed, table

    horizons = report["horizons"]
    rivals = list(horizons[0]["skill"])
    say()
    scores = []
    for h in horizons:
        skills = (signed(h["skill"][rival], 2) for rival in rivals)
        held = (percent(h["coverage"]["80"]), percent(h["coverage"]["90"]), percent(h["direction"]))
        scores.append(
            (h["horizon"], h["sessions"], _number(h["pinball"], 5), *skills, *held, _number(h["rank_correlation"], 3))
        )
    table(
        ("ahead", "sessions", "pinball", *(f"vs {rival}" for rival in rivals), "80 %", "90 %", "direction", "rank corr."),
        scores,
        "The LSTM on the test span: loss, skill (1 - loss / loss of the rival), coverage",
    )
    say()
    errors = []
    for h in horizons:
        t = (_number(h["dm_t"][rival], 1) for rival in rivals)
        errors.append((h["horizon"], *t, *(_number(h[m], 5) for m in ("mae", "rmse", "mse", "mape")), _number(h["mase"], 4)))
    table(
        ("ahead", *(f"t vs {rival}" for rival in rivals), "MAE", "RMSE", "MSE", "MAPE", "MASE"),
        errors,
        "Diebold-Mariano t against each rival, and errors of the median in units of the close",
    )
    say()
    table(("check", "verdict", "in words"), [(c["code"], c["verdict"], c["sentence"]) for c in report["gate"]["checks"]],
          left=("check", "verdict", "in words"))  # fmt: skip
    say()
    say(report["gate"]["sentence"])
    cost = ", ".join(f"{s['name']} {s['seconds']:.1f} s" for s in report["stages"])
    say(f"{cost}; at most {max(s['peak_mb'] for s in report['stages']):,.0f} MB")


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
