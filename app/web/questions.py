"""What can be asked of the public views: which columns, which filters, in which order. The API and the pages ask the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from operator import itemgetter
from typing import Any

from storage.editions import Busy, Edition, Table
from storage.views import all_views

MOST_ROWS = 10_000
MOST_SKIPPED = 10_000_000
_WAIT = 2.0  # seconds for an answer that is being counted
_SQL = {"date": "DATE", "date-time": "TIMESTAMP WITH TIME ZONE", "integer": "BIGINT", "boolean": "BOOLEAN", "number": "DOUBLE",
        "string": "VARCHAR"}  # fmt: skip


@dataclass(frozen=True)
class Filter:
    """``condition`` has one ``{}`` where the parameter's place goes; of a list each of its values is enough."""

    condition: str
    many: bool = False

    def sql(self, values: Sequence[Any]) -> str:
        places = ", ".join("?" for _ in values)
        return self.condition.format(f"({places})" if self.many else "?")


FILTERS = {
    "symbol": Filter("symbol IN {}", many=True),
    "horizon": Filter("horizon IN {}", many=True),
    "forecaster": Filter("forecaster IN {}", many=True),
    "mode": Filter("mode = {}"),
    "settled": Filter("settled = {}"),
    "serving": Filter("serving = {}"),
    "since": Filter("origin >= {}"),
    "until": Filter("origin <= {}"),
    "session_since": Filter("session >= {}"),
    "session_until": Filter("session <= {}"),
    "run": Filter("run_id = {}"),
    "model": Filter("starts_with(model_id, {})"),
    "decision": Filter("decision_id = {}"),
    "verdict": Filter("verdict = {}"),
    "source": Filter("source = {}"),
    "severity": Filter("severity = {}"),
    "reason": Filter("reason = {}"),
    "flow": Filter("flow = {}"),
    "status": Filter("status = {}"),
    "metric": Filter("metric IN {}", many=True),
    "kind": Filter("kind = {}"),
}


@dataclass(frozen=True)
class Question:
    """One table of the API. ``path`` below /api/v1; ``view`` explains its columns; ``order`` makes pages of it stable."""

    path: str
    view: str
    summary: str
    order: str
    filters: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()  # empty: all of the view's
    extra: Mapping[str, str] = field(default_factory=dict)  # columns that the view has not: their meaning
    source: str = ""  # what stands behind FROM; empty: the view
    tag: str = ""
    small: bool = False  # a few rows a symbol, but dear to make: read once an edition and filtered in memory
    counted: bool = False  # over the whole ledger: counted year by year (storage/tallies.py), beside, once an edition

    @property
    def name(self) -> str:
        return self.path.strip("/").replace("/", "_").replace("-", "_").replace("{", "").replace("}", "")

    @property
    def meanings(self) -> dict[str, str]:
        """Column -> what it means, in the order of the answer."""
        known = {**_views()[self.view].columns, **self.extra}
        return {name: known[name] for name in (self.columns or known)}

    def sql(self, given: Mapping[str, Any], limit: int, offset: int) -> tuple[str, list[Any]]:
        """The statement and its parameters. Names come from this file; values are only ever parameters."""
        conditions, values = [], []
        for name, value in given.items():
            if value is None:
                continue
            wanted = list(value) if FILTERS[name].many else [value]
            conditions.append(FILTERS[name].sql(wanted))
            values += wanted
        columns = ", ".join(f'"{c}"' for c in self.meanings)
        where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        sql = f"SELECT {columns} FROM {self.source or self.view}{where} ORDER BY {self.order} LIMIT ? OFFSET ?"
        return sql, [*values, limit, offset]

    def ask(self, edition: Edition, limit: int = MOST_ROWS, offset: int = 0, **given: Any) -> Table:
        """The rows, at most ``limit`` of them."""
        if self.counted and not edition.soon(("whole", self.path), lambda: self._whole(edition), _WAIT):
            raise Busy(f"{self.path} is being counted over the whole ledger, once after a publish; ask again in a moment", 5)
        if self.small or self.counted:
            return self._from_kept(edition, limit, offset, given)
        return edition.ask(*self.sql(given, limit, offset))

    def _from_kept(self, edition: Edition, limit: int, offset: int, given: Mapping[str, Any]) -> Table:
        """The same from the whole table, which is kept with the edition, by symbol; the filters are names of columns."""
        whole, by_symbol = edition.kept(("whole", self.path), lambda: self._whole(edition))
        wanted = {name: value for name, value in given.items() if value is not None}
        rows = whole.rows
        if (digits := wanted.pop("model", None)) is not None:
            rows = [row for row in rows if row[whole.columns.index("model_id")].startswith(digits)]
        if "symbol" in wanted:  # no other filter comes before it on a table that has symbols
            rows = [row for name in sorted(set(wanted.pop("symbol"))) for row in by_symbol.get(name, ())]
        for name, value in wanted.items():
            place, values = whole.columns.index(name), set(value) if FILTERS[name].many else {value}
            rows = [row for row in rows if row[place] in values]
        return Table(whole.columns, whole.types, rows[offset : offset + limit])

    def _whole(self, edition: Edition) -> tuple[Table, dict[str, list[tuple]]]:
        whole = self._tallied(edition) if self.counted else edition.ask(*self.sql({}, MOST_SKIPPED, 0))
        by_symbol: dict[str, list[tuple]] = {}
        if "symbol" not in whole.columns:
            return whole, by_symbol
        place = whole.columns.index("symbol")
        for row in whole.rows:
            by_symbol.setdefault(row[place], []).append(row)
        return whole, by_symbol

    def _tallied(self, edition: Edition) -> Table:
        """The view counted year by year, under the columns and types that it has and in the question's order."""
        from storage.tallies import tally

        def asked(sql: str, given: Mapping[str, Any]) -> tuple[Sequence[str], Sequence[tuple]]:
            found = edition.ask(sql, given or None)
            return found.columns, found.rows

        columns = tuple(self.meanings)
        rows = [tuple(row[name] for name in columns) for row in tally(self.view, asked)]
        for part in reversed(self.order.split(", ")):
            name, _, down = part.partition(" ")
            rows.sort(key=itemgetter(columns.index(name)), reverse=bool(down))
        return Table(columns, tuple(_SQL[kind_of(self, name)] for name in columns), rows)

    def rows(self, edition: Edition, limit: int = MOST_ROWS, offset: int = 0, **given: Any) -> list[dict[str, Any]]:
        return self.ask(edition, limit, offset, **given).dicts()


@cache
def _views() -> dict[str, Any]:
    return {view.name: view for view in all_views()}


_BY = ("symbol", "horizon", "forecaster", "mode")
_SPAN = ("since", "until")

LATEST = Question(
    "/forecasts/latest", "latest_forecasts", "The newest served forecast of each symbol and horizon",
    "symbol, horizon", ("symbol", "horizon", "forecaster", "mode"), tag="forecasts", small=True,
)  # fmt: skip
HISTORY = Question(
    "/forecasts", "forecasts", "Every forecast that was served, with what came true",
    "origin DESC, symbol, horizon", (*_BY, "settled", "model", "run", *_SPAN), tag="forecasts",
)  # fmt: skip
EVERYBODY = Question(
    "/forecasts/everybody", "forecasts", "What every forecaster said, served or not, without outcomes",
    "origin DESC, symbol, horizon, serving DESC, forecaster", (*_BY, "serving", "model", "run", *_SPAN),
    columns=("symbol", "origin", "horizon", "target_session", "forecaster", "serving", "model_id", "mode", "close", "q05",
    "q10",
             "q25", "q50", "q75", "q90", "q95", "p_up", "scale", "run_id", "issued_at"),
    extra={"serving": "whether it is the forecast that was served"}, source="store.forecasts", tag="forecasts",
)  # fmt: skip
RANKS = Question(
    "/ranks/latest", "latest_ranks", "How likely each symbol ranks in each fifth of the universe",
    "symbol, horizon", ("symbol", "horizon"), tag="forecasts", small=True,
)  # fmt: skip
PRICES = Question(
    "/prices", "prices", "Bars as traded, as they are known now", "session DESC, symbol",
    ("symbol", "session_since", "session_until"), tag="data",
)  # fmt: skip
ACTIONS = Question(
    "/actions", "actions", "Splits and cash dividends as they are known now", "session DESC, symbol, kind",
    ("symbol", "session_since", "session_until"), tag="data",
)  # fmt: skip
FEATURES = Question(
    "/features/latest", "features_latest", "The stored feature values of each symbol's newest session",
    "symbol, feature_set, feature", ("symbol",), tag="data",
)  # fmt: skip
SCORES = Question(
    "/scores", "scoreboard", "How well each forecaster did on settled forecasts; `served` is whoever served",
    "mode DESC, horizon, forecaster", ("horizon", "forecaster", "mode"), tag="scores", counted=True,
)  # fmt: skip
ACCURACY = Question(
    "/scores/symbols", "forecast_accuracy", "How well the served forecasts of each symbol did", "symbol, horizon, mode",
    ("symbol", "horizon", "mode"), tag="scores", counted=True,
)  # fmt: skip
COVERAGE = Question(
    "/scores/coverage", "live_coverage", "How often intervals held what came true, by model and forecaster",
    "model_id, forecaster, horizon, mode, interval", ("horizon", "forecaster", "mode", "model"), tag="scores",
    counted=True,
)  # fmt: skip
MODELS = Question(
    "/models", "models", "Every trained model, the newest first", "origin DESC, created_at DESC, model_id",
    ("model", "verdict", "run", *_SPAN), tag="models",
)  # fmt: skip
EVALUATIONS = Question(
    "/models/evaluations", "evaluations", "The metrics of each model on rows it never saw",
    "model_id, run_id, horizon, forecaster, metric", ("model", "horizon", "forecaster", "metric"), tag="models",
)  # fmt: skip
TRIALS = Question(
    "/models/trials", "trials", "Every specification that tuning tried", "study, number", ("run",), tag="models",
    columns=("study", "number", "state", "loss", "gain", "rank", "sampler", "changes_json", "reason", "seconds", "spec_digest",
             "data_digest", "run_id", "finished_at"),
)  # fmt: skip
DECISIONS = Question(
    "/decisions", "gate_decisions", "Every decision of the gate with its checks, one row a check",
    "origin DESC, decided_at DESC, decision_id, position", ("decision", "model", "verdict", "run", *_SPAN), tag="models",
)  # fmt: skip
APPROVALS = Question(
    "/decisions/approvals", "approvals", "What people were asked about who serves, and what they said", "position DESC",
    ("model", "forecaster"), tag="models",
)  # fmt: skip
DRIFT = Question(
    "/decisions/drift", "drift", "What the watch over the serving model found after each run",
    "origin DESC, kind, horizon, what", ("model", "horizon", "verdict", *_SPAN), tag="models",
)  # fmt: skip
QUALITY = Question(
    "/quality", "quality", "What became of the rows that came in, by run, source and symbol", "known_at DESC, source, symbol",
    ("symbol", "source", "run", *_SPAN), tag="data",
)  # fmt: skip
FINDINGS = Question(
    "/quality/findings", "quality_findings", "What the rules found in what came in",
    "known_at DESC, source, symbol, rule", ("symbol", "source", "severity", "run", *_SPAN), tag="data",
)  # fmt: skip
QUARANTINE = Question(
    "/quality/quarantine", "quarantine", "Rows that were set aside or warned about, with the reason",
    "known_at DESC, symbol, session, reason", ("symbol", "source", "severity", "reason", "run", "session_since",
    "session_until"),
    tag="data",
)  # fmt: skip
DISAGREEMENTS = Question(
    "/quality/disagreements", "disagreements", "Where a second source says otherwise than the first",
    "known_at DESC, symbol, session, field", ("symbol", "run", "session_since", "session_until"), tag="data",
)  # fmt: skip
FRESHNESS = Question(
    "/quality/freshness", "freshness", "How far each symbol's prices and forecasts reach", "symbol", ("symbol", "source"),
    tag="data", small=True,
)  # fmt: skip
REQUESTS = Question(
    "/quality/requests", "requests", "What asking the sources cost, one row a source and day", "day DESC, source", ("source",),
    tag="data",
)  # fmt: skip
RUNS = Question(
    "/runs", "runs", "Every completed run, the newest first", "finished_at DESC, run_id",
    ("flow", "status", "mode", "run", *_SPAN), tag="runs",
)  # fmt: skip

QUESTIONS = (
    LATEST, HISTORY, EVERYBODY, RANKS, PRICES, ACTIONS, FEATURES, SCORES, ACCURACY, COVERAGE, MODELS, EVALUATIONS, TRIALS,
    DECISIONS, APPROVALS, DRIFT, QUALITY, FINDINGS, QUARANTINE, DISAGREEMENTS, FRESHNESS, REQUESTS, RUNS,
)  # fmt: skip

_DATES = (
    "origin target_session session first_session last_session first_origin last_origin last_origin train_end valid_end test_end"
)
_DATES += " span_start span_end day"
_INSTANTS = (
    "issued_at known_at last_known_at created_at decided_at answered_at finished_at started_at last_success_at last_failure_at"
)
_INTEGERS = (
    "horizon n n_sessions n_rows symbols revision position sessions sessions_behind received stored unchanged revised merged"
)
_INTEGERS += " outside quarantined warned rows steps rows_written attempts requests answered failed number rank"
_BOOLEANS = "settled inside_80 inside_90 direction_hit serving waits"
_NUMBERS = "close q05 q10 q25 q50 q75 q90 q95 p_up scale close_at_target pinball abs_error open high low volume value"
_NUMBERS += " skill_vs_persistence skill_vs_ewma mae mae_persistence coverage_80 coverage_90 direction_hit_rate interval share"
_NUMBERS += " missing independent_sessions standard_error loss gain seconds threshold first_value second_value difference unit"
_NUMBERS += " p1 p2 p3 p4 p5"
_KINDS = {"date": _DATES, "date-time": _INSTANTS, "integer": _INTEGERS, "boolean": _BOOLEANS, "number": _NUMBERS}
_KIND = {name: kind for kind, names in _KINDS.items() for name in names.split()}
#: Columns whose name means something else in one view.
_ELSEWHERE = {("runs", "symbols"): "string", ("drift", "threshold"): "number", ("live_coverage", "n_sessions"): "integer"}


def kind_of(question: Question, column: str) -> str:
    """date, date-time, integer, boolean, number or string: what a column holds, for descriptions."""
    return _ELSEWHERE.get((question.view, column)) or _KIND.get(column, "string")


def as_filter_value(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value
