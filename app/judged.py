"""A backtest's report as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.printing import percent, say, signed, table

LEVELS = ("50", "80", "90")  # of the intervals, in percent
MOST_SYMBOLS = 5  # shown at either end of the order; all are in the JSON
_TITLES = {
    "year": "By year of the origin: skill against EWMA, its t, share of outcomes inside the 80 % interval",
    "regime": "By volatility of the market at the origin (terciles of the training sessions)",
    "sector": "By sector",
    "fold": "By fold, named by the last session that its model was chosen on",
}


def _table(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], left: Sequence[str] = ()) -> None:
    """A table under a line that says what it is; a title of the table's own would be broken to its width."""
    say(title)
    table(columns, rows, left=left)
    say()


def show_backtest(report: dict[str, Any]) -> None:
    """Scores, rivals, slices, portfolio, ranks, the gate's checks and the cost."""
    horizons = report["horizons"]
    say()
    _scores(horizons)
    _rivals(horizons, report.get("trials", 1))
    for kind, title in _TITLES.items():
        _cut(horizons, kind, title)
        if kind == "year":
            _inside_by_year(horizons)
    _symbols(horizons)
    _portfolio(report["portfolio"])
    _ranks(report.get("ranks"))
    table(("check", "verdict", "in words"), [(c["code"], c["verdict"], c["sentence"]) for c in report["gate"]["checks"]],
          left=("check", "verdict", "in words"))  # fmt: skip
    say()
    say(report["gate"]["sentence"])
    if report.get("plots"):
        say(f"Pictures: {', '.join(report['plots'])}")
    cost = ", ".join(f"{s['name']} {s['seconds']:.1f} s" for s in report["stages"])
    say(f"{cost}; at most {max(s['peak_mb'] for s in report['stages']):,.0f} MB")


def _scores(horizons: list[dict[str, Any]]) -> None:
    rows = []
    for h in horizons:
        held = (f"{percent(h['coverage'][level])} ±{percent(h['coverage_error'][level])}" for level in LEVELS)
        rows.append((h["horizon"], h["sessions"], _number(h["pinball"], 5), *held, percent(h["direction"]),
                     _number(h["rank_correlation"], 3)))  # fmt: skip
    columns = ("ahead", "sessions", "pinball", "50 %", "80 %", "90 %", "direction", "rank corr.")
    title = "The LSTM on the test span: loss, share of outcomes inside each interval with its standard error"
    _table(title, columns, rows)
    errors = ("mae", "rmse", "mse", "mape")
    rows = [(h["horizon"], *(_number(h[m], 5) for m in errors), _number(h["mase"], 4)) for h in horizons]
    _table("Errors of the median in units of the close", ("ahead", "MAE", "RMSE", "MSE", "MAPE", "MASE"), rows)


def _rivals(horizons: list[dict[str, Any]], trials: int) -> None:
    columns, rows = ["against"], []
    for h in horizons:
        columns += [f"skill {h['horizon']}", "t", "p"]
    for rival in horizons[0]["skill"]:
        row = [rival]
        for h in horizons:
            row += [signed(h["skill"][rival], 2), _number(h["dm_t"][rival], 1), _chance(h["p_corrected"][rival])]
        rows.append(row)
    tried = f" and {trials} trials" if trials > 1 else ""
    title = f"Skill (1 - loss / loss of the rival), Diebold-Mariano t, p corrected for {len(horizons)} horizons{tried}"
    _table(title, columns, rows, left=("against",))


def _cut(horizons: list[dict[str, Any]], kind: str, title: str) -> None:
    names = list(dict.fromkeys(name for h in horizons for name in h[f"by_{kind}"]))
    if not names:
        return
    columns, rows = [kind, "sessions"], []
    for h in horizons:
        columns += [f"skill {h['horizon']}", "t", "80 %"]
    for name in names:
        cuts = [h[f"by_{kind}"].get(name, {"coverage": {}}) for h in horizons]
        row = [name, next((c["sessions"] for c in cuts if "sessions" in c), None)]
        for c in cuts:
            row += [signed(c.get("skill"), 2), _number(c.get("t"), 1), percent(c["coverage"].get("80"))]
        rows.append(row)
    _table(title, columns, rows, left=(kind,))


def _inside_by_year(horizons: list[dict[str, Any]]) -> None:
    years = list(dict.fromkeys(year for h in horizons for year in h["by_year"]))
    shares = [[h["by_year"].get(year, {"coverage": {}})["coverage"] for h in horizons] for year in years]
    columns = ("year", *(f"{level} % {h['horizon']}" for h in horizons for level in LEVELS))
    rows = [
        (year, *(percent(of.get(level)) for of in found for level in LEVELS)) for year, found in zip(years, shares, strict=True)
    ]
    _table("By year of the origin: share of outcomes inside each interval, by sessions ahead", columns, rows, left=("year",))


def _symbols(horizons: list[dict[str, Any]]) -> None:
    """How many symbols the LSTM is better for, and the ends of the order."""
    rows = []
    for h in horizons:
        skills = {s: cut["skill"] for s, cut in h["by_symbol"].items() if cut.get("skill") is not None}
        if not skills:
            return
        order = sorted(skills, key=lambda s: (-skills[s], s))
        many = len(order) > 2 * MOST_SYMBOLS
        ends = (", ".join(order[:MOST_SYMBOLS] if many else order), ", ".join(order[-MOST_SYMBOLS:]) if many else "-")
        rows.append((h["horizon"], len(order), percent(sum(v > 0 for v in skills.values()) / len(skills)), *ends))
    title = "By symbol: share for which the LSTM's loss is below that of EWMA"
    _table(title, ("ahead", "symbols", "better", "best", "worst"), rows, left=("best", "worst"))


def _portfolio(portfolio: dict[str, Any]) -> None:
    rows = []
    for name, p in portfolio["forecasters"].items():
        sharpe = f"{_number(p['sharpe'], 2)} ± {_number(p['sharpe_error'], 2)}"
        rows.append((name, signed(p["yearly_return"]), signed(-p["yearly_cost"]), percent(p["volatility"]), sharpe,
                     percent(p["turnover"], 0), percent(p["drawdown"])))  # fmt: skip
    if rows:
        title = f"Paper portfolio, {portfolio['horizon']} sessions held, a year, after costs: information, not a gate"
        columns = ("ranked by", "return", "costs", "deviation", "Sharpe", "turnover", "drawdown")
        _table(title, columns, rows, left=("ranked by",))


def _ranks(ranks: dict[str, Any] | None) -> None:
    if not ranks:
        return
    t = {name.removeprefix("lstm against "): value for name, value in ranks["t"].items()}
    rows = [(name, _number(score, 4), _number(t.get(name), 1)) for name, score in ranks["rps"].items()]
    title = f"Fifths of the universe {ranks['horizon']} sessions ahead, {ranks['blocks']} blocks: ranked probability score"
    _table(title, ("forecaster", "RPS", "t of lstm"), rows, left=("forecaster",))


def _chance(p: float | None) -> str:
    return "-" if p is None else f"{p:.3f}" if p >= 0.001 else f"{p:.0e}"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def backtest_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """Everything that was measured, one number a row: horizon, cut (all, or by what), slice, measure, of, value. ``of`` is
    the rival or the level, where a measure has a number for each."""
    found = []
    for h in report["horizons"]:
        cuts = {name.removeprefix("by_"): cut for name, cut in h.items() if name.startswith("by_")}
        whole = {name: value for name, value in h.items() if not name.startswith("by_") and name != "horizon"}
        for kind, slices in {"all": {"all": whole}, **cuts}.items():
            for name, measures in slices.items():
                for measure, value in measures.items():
                    for of, number in value.items() if isinstance(value, dict) else (("", value),):
                        row = {"horizon": h["horizon"], "cut": kind, "slice": name, "measure": measure, "of": of}
                        found.append({**row, "value": number})
    return found
