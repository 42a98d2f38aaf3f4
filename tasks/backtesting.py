"""The steps of a backtest: prices from a file as a panel, and the judgement of a specification on it."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from forecasting.errors import InputError, PricesFileError, SettingError
from forecasting.judging.gate import GateThresholds
from forecasting.lstm import LstmSpec
from tasks.engine import step
from tasks.learning import show_progress
from tasks.listening import tell
from tasks.measure import Measured
from tasks.policies import COMPUTE, DATABASE, TRAINING
from tasks.run import Receipt
from tasks.settings import clash
from tasks.settings_running import CLUSTERS, Running
from tasks.settings_values import nearest
from tasks.spreading import spread

if TYPE_CHECKING:
    import pandas as pd

    from forecasting.judging.backtest import How, Outcome
    from forecasting.panel import Panel
    from forecasting.splits import Spans
    from sources.base import Source


@dataclass
class Bench:
    """What a backtest works on, from step to step; it keeps no database. ``outcome`` is there once the spec was judged."""

    prices: str
    macro_path: str | None
    symbols: tuple[str, ...] | None
    spec: LstmSpec
    thresholds: GateThresholds
    how: How | None = None
    run: Running = Running()
    outcome: Outcome | None = None
    spans: Spans | None = None
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

    from forecasting.macro import as_known_at, with_publication
    from forecasting.panel import Panel
    from forecasting.quality.cleaning import clean_bars
    from forecasting.sessions import calendar_of, sessions_between
    from sources.macro_files import MacroFilesSource

    source = _prices_in(bench)
    fetched = source.fetch(list(bench.symbols or source.symbols()), None, until)
    for note in (*fetched.notes, *(str(error) for error in fetched.failures.values())):
        _note(bench, note)
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


def _prices_in(bench: Bench) -> Source:
    """The file as a source; closes alone will do for a backtest."""
    from sources.registry import make_source

    source = make_source("files", {"path": bench.prices})
    try:
        source.symbols()
    except PricesFileError as error:
        if "close_only" not in str(error):
            raise
        source = make_source("files", {"path": bench.prices, "close_only": True})
        _note(bench, "the file has closes only; they stand for open, high and low, so that ranges and gaps say nothing")
    return source


@step(TRAINING)
def judge_spec(bench: Bench, train_end: date, valid_end: date, test_end: date, embargo: int = 0) -> Receipt:
    """Train, audit, evaluate and ask the gate, once or walking forward; fills ``bench.report``."""
    from forecasting.judging.backtest import How, Stages, full_backtest
    from forecasting.lstm.engine import TOWERS
    from forecasting.splits import Spans

    stages = Stages(records=list(bench.costs))
    bench.spans = Spans(train_end, valid_end, test_end, embargo)
    how = bench.how or How()
    if how.sectors is not None:
        without = [symbol for symbol in bench.panel.symbols if symbol not in how.sectors]
        if without:
            _note(bench, f"{len(without)} symbols have no sector, first {without[0]}; they are judged under 'unknown'")
    networks, whole_folds = spread(bench.run), spread(bench.run, TOWERS)
    if bench.spec.per_symbol and bench.run.task_runner not in CLUSTERS:
        whole_folds = None  # the many networks of each fold keep all cores of this machine busy
    bench.outcome = full_backtest(
        bench.panel, bench.macro, bench.spec, bench.spans, bench.thresholds, how, stages, show_progress, networks, whole_folds
    )  # fmt: skip
    bench.report = bench.outcome.report
    gate = bench.report["gate"]
    return Receipt(len(bench.report["horizons"]), text=f"{gate['verdict']}: {gate['sentence']}")


@step(COMPUTE)
def rank_blocks(bench: Bench) -> Receipt:
    """Score the probabilities of each symbol's fifth over blocks of the test span; adds ``ranks`` to the report."""
    from forecasting.joint import rank_report

    bench.report["ranks"] = rank_report(bench.outcome.fitted[0], bench.panel, bench.macro, bench.spans)
    return Receipt(text="ranks scored over blocks of the test span")


@step(DATABASE)
def draw_backtest(bench: Bench, folder: str) -> Receipt:
    """Draw the judgement into ``folder``; adds ``plots``, the files, to the report."""
    from tasks.pictures import pictures_of
    from tasks.plots import save

    target = Path(folder).expanduser().absolute()
    judgement = bench.outcome.judgement
    title = f"{Path(bench.prices).name}, judged on {judgement.evaluation.span[0]} to {judgement.evaluation.span[1]}"
    try:
        files = save(target, pictures_of(title, judgement, bench.outcome.fitted[-1].card))
    except OSError as error:
        raise InputError(
            f"{target} cannot be written ({error.strerror}); give another folder with --plots DIR, or change its permissions"
        ) from error
    bench.report["plots"] = [str(file) for file in files]
    return Receipt(text=f"{len(files)} files in {target}")


def _note(bench: Bench, text: str) -> None:
    bench.notes.append(text)
    tell().noted(text)


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
        if not first["loc"]:
            raise clash(file.name, first) from error
        place = ".".join(str(part) for part in first["loc"])
        known = "" if first["type"] != "extra_forbidden" else nearest(place, list(LstmSpec.model_fields))
        raise SettingError(f"{file.name}: {place}", first.get("input"), first["msg"].lower() + known) from error
