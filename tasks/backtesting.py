"""The steps of a backtest: prices from a file as a panel, and the judgement of a specification on it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from forecasting.errors import InputError, SettingError
from forecasting.gate import GateThresholds
from forecasting.lstm import LstmSpec
from tasks.engine import step
from tasks.learning import show_progress
from tasks.listening import tell
from tasks.measure import Measured
from tasks.policies import DATABASE, TRAINING
from tasks.run import Receipt

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.panel import Panel


@dataclass
class Bench:
    """What a backtest works on, from step to step; it keeps no database and no model."""

    prices: str
    macro_path: str | None
    symbols: tuple[str, ...] | None
    spec: LstmSpec
    thresholds: GateThresholds
    panel: Panel | None = None
    macro: pd.DataFrame | None = None
    costs: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    report: dict[str, Any] = field(default_factory=dict)

    def spent(self, step: str, cost: Measured) -> None:
        self.costs.append({"name": step, "seconds": round(cost.seconds, 3), "peak_mb": round(cost.peak_mb, 1)})


@step(DATABASE)
def load_prices(bench: Bench, until: date) -> Receipt:
    """Read, check and arrange the prices up to ``until``; rows set aside are counted, not kept."""

    from forecasting.cleaning import clean_bars
    from forecasting.macro import as_known_at, with_publication
    from forecasting.panel import Panel
    from forecasting.sessions import calendar_of, sessions_between
    from sources.macro_files import MacroFilesSource
    from sources.registry import make_source

    source = make_source("files", {"path": bench.prices})
    fetched = source.fetch(list(bench.symbols or source.symbols()), None, until)
    for note in (*fetched.notes, *(str(error) for error in fetched.failures.values())):
        bench.notes.append(note)
        tell().noted(note)
    if fetched.bars.empty:
        raise InputError(f"{bench.prices} has no bar up to {until} for the symbols asked for; look at the dates in it")
    first, last = fetched.bars["session"].min().date(), fetched.bars["session"].max().date()
    calendar = {symbol: calendar_of(symbol) for symbol in fetched.bars["symbol"].unique()}
    known = {name: sessions_between(name, first, last).astype("datetime64[D]") for name in sorted(set(calendar.values()))}
    sessions = {symbol: known[name] for symbol, name in calendar.items()}
    cleaned = clean_bars(fetched.bars, sessions, until, fetched.actions)
    bench.panel = Panel.from_frames(cleaned.bars, fetched.actions, sessions)
    if bench.macro_path:
        values = with_publication(MacroFilesSource(bench.macro_path).fetch().values)
        bench.macro = as_known_at(values, sorted(known), first, last)
    aside = f", {len(cleaned.quarantine):,} rows set aside" if len(cleaned.quarantine) else ""
    return Receipt(bench.panel.rows, text=f"{bench.panel.rows:,} bars of {len(bench.panel.symbols)} symbols{aside}")


@step(TRAINING)
def judge_spec(bench: Bench, train_end: date, valid_end: date, test_end: date) -> Receipt:
    """Train, audit, evaluate and ask the gate; fills ``bench.report``."""
    from forecasting.backtest import Stages, backtest
    from forecasting.splits import Spans

    stages = Stages(records=list(bench.costs))
    spans = Spans(train_end, valid_end, test_end)
    bench.report, *_ = backtest(bench.panel, bench.macro, bench.spec, spans, bench.thresholds, stages, show_progress)
    gate = bench.report["gate"]
    return Receipt(len(bench.report["horizons"]), text=f"{gate['verdict']}: {gate['sentence']}")


def read_spec(path: str | None, default: LstmSpec) -> LstmSpec:
    """The specification in a TOML or JSON file; ``default`` without one. Fields that it leaves out keep their default."""
    if path is None:
        return default
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8")
        values = json.loads(text) if file.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise InputError(
            f"{file} cannot be read ({error.strerror}); name a TOML or JSON file with the network's settings"
        ) from error
    except ValueError as error:
        raise InputError(f"{file} is neither TOML nor JSON ({error}); write lines such as: units = [32]") from error
    try:
        return LstmSpec.model_validate(values.get("lstm", values))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "spec"
        known = "" if first["type"] != "extra_forbidden" else f"; known are {', '.join(LstmSpec.model_fields)}"
        raise SettingError(f"{file.name}: {place}", first.get("input"), first["msg"].lower() + known) from error
