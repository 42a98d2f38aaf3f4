"""A challenger: trained on what was known, and kept as a model folder with its card."""

from __future__ import annotations

import logging
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from forecasting.errors import NextcloseError, NotEnoughHistory
from tasks.engine import step
from tasks.listening import tell
from tasks.market import data_digest, macro_of, market_of
from tasks.policies import TRAINING
from tasks.run import NOT_TRAINED, Receipt, Run
from tasks.spreading import spread

if TYPE_CHECKING:
    from forecasting.models import Fitted
    from forecasting.splits import Spans
    from storage.home import Home


log = logging.getLogger(__name__)

DEATHS = 3  # runs that died one after another before a day is done without its training


@step(TRAINING)
def train(run: Run, origin: date) -> Receipt:
    """Fit the network and the rivals on what was known by the close of ``origin``; keep them as a model folder.

    Learning happens while no database connection is open.
    """
    from forecasting.intact import marks_of, versions_of
    from forecasting.models import fit_model
    from storage.model_folders import save_model
    from storage.registry import append_model
    from tasks.opening import code_version

    name = f"train/{origin}"
    with run.burst():
        if run.done(name):
            return Receipt(text=f"model {challenger_of(run, origin)[:16]}, trained before")
        panel, macro = market_of(run).until(origin), macro_of(run)
    spans = spans_of(run, origin)
    digest = data_digest(panel, macro, panel.symbols, origin)
    fitted = fit_model(
        run.settings.lstm, panel, macro, spans, show_progress, digest, run.settings.rivals.names,
        spread=spread(run.settings.run),
    )  # fmt: skip
    fitted.card |= {
        "origin": str(origin), "code_version": code_version(), "thresholds_digest": run.settings.gate.digest,
        "inputs": versions_of(fitted.spec.features), "arrays": marks_of(fitted.arrays),
    }  # fmt: skip
    model_id = save_model(run.home, fitted.arrays, fitted.card)
    with run.db.writing(run.lease, run.run_id, name) as tx:
        append_model(
            tx, model_id, origin, "lstm", fitted.card, spans.train_end, spans.valid_end, spans.test_end, digest, run.now
        )  # fmt: skip
    run.memo["model", model_id] = fitted
    run.memo["challenger", origin] = model_id
    return Receipt(1, text=f"model {model_id[:16]} from {len(panel.symbols)} symbols up to {spans.valid_end}")


def failed_before(run: Run, origin: date) -> str | None:
    """Why no training is tried at ``origin``, where somebody serves: an earlier attempt of this run gave up on it, or the runs
    before died on the way. A training that takes its process with it, for want of memory, must not take the forecasts of every
    evening too."""
    from storage.registry import current_serving, failed_training_of
    from storage.runs import died_in_a_row

    if run.done(f"gate/{origin}"):
        return None
    with run.db.reading() as con:
        if said := failed_training_of(con, run.run_id, origin):
            return said
        died = died_in_a_row(con, run.flow)
        if died < DEATHS or current_serving(con, until=origin) is None:
            return None
    return _not_trained_at(
        origin,
        f"the last {died} runs died on the way; where that was for want of memory, add some or lower lstm.units, then "
        "`nextclose retrain`",
    )


def not_trained(run: Run, origin: date, error: Exception) -> bool:
    """Note that the training of ``origin`` failed; False where nobody serves, so that nothing can go on."""
    from storage.registry import current_serving

    with run.db.reading() as con:
        if current_serving(con, until=origin) is None:
            return False
    said = " ".join((str(error) if isinstance(error, NextcloseError) else f"{type(error).__name__}: {error}").split())
    without_training(run, origin, _not_trained_at(origin, said))
    if not isinstance(error, NextcloseError):
        log.warning("the training of %s failed", origin, exc_info=error)
    return True


def without_training(run: Run, origin: date, reason: str) -> None:
    """Go on with who serves, and keep the reason: the next training waits (``retraining.again_after_sessions``)."""
    from storage.registry import append_failed_training, current_serving

    name = f"not_trained/{origin}"
    if not run.done(name):
        with run.db.writing(run.lease, run.run_id, name) as tx:
            append_failed_training(tx, origin, reason, run.now)
    with run.db.reading() as con:
        serving = current_serving(con, until=origin)
    run.memo[NOT_TRAINED] = reason
    run.note(f"{reason}; {serving.forecaster} of model {serving.model_id[:16]} serves on")


def _not_trained_at(origin: date, reason: str) -> str:
    return f"no model could be trained at {origin}: {reason}"


def challenger_of(run: Run, origin: date) -> str:
    """The model that this run trained at ``origin``, in this attempt or an earlier one.

    A training that made the bits of a model that was registered before (``retrain --force``) registered none of its own.
    """
    if ("challenger", origin) not in run.memo:
        from storage.registry import model_trained_by, newest_model_at

        with run.db.reading() as con:
            own = model_trained_by(con, run.run_id, origin)
            run.memo["challenger", origin] = own or newest_model_at(con, origin).model_id
    return run.memo["challenger", origin]


def model_of(run: Run, model_id: str) -> Fitted:
    """The fitted model of a folder; UntrustedModel where the folder is not what the registry recorded."""
    if ("model", model_id) not in run.memo:
        run.memo["model", model_id] = _loaded(run.home, model_id)
    return run.memo["model", model_id]


@lru_cache(maxsize=2)
def _loaded(home: Home, model_id: str) -> Fitted:
    """A process that does many days compiles a model once; its content cannot change, since its name is its digest."""
    from forecasting.models import rebuild
    from storage.model_folders import load_model

    return rebuild(*load_model(home, model_id))


def spans_of(run: Run, origin: date) -> Spans:
    """What is learnt from, chosen on and judged on by a model of ``origin``."""
    from forecasting.splits import default_spans

    panel, chosen = market_of(run).until(origin), run.settings.evaluation
    try:
        return default_spans(
            panel.sessions, origin, chosen.valid_sessions, chosen.test_sessions, run.settings.lstm.lookback, chosen.embargo
        )  # fmt: skip
    except NotEnoughHistory as error:
        who = panel.symbols[0] if len(panel.symbols) == 1 else f"the universe of {len(panel.symbols)} symbols"
        raise NotEnoughHistory(who, error.found, error.needed, error.purpose, error.until) from error


def show_progress(stage: str, done: int, total: int) -> None:
    """Hand the progress of a long computation to whoever listens."""
    tell().advanced(stage, done / max(total, 1))
