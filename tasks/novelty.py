"""Asked to train at a session that has a model already: what a training now would do otherwise than that model's did.

The same data, specification, code and settings give the same bits, so a training would be for nothing; the person who asked
is then told so in a line. A scheduled run does not ask: it goes by the model's age.
"""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from forecasting.errors import NotEnoughHistory
from tasks.run import Run


def what_is_new(run: Run, origin: date) -> str | None:
    """One clause on what has changed since the newest model of ``origin`` was trained, None where nothing has.

    Models of this run do not count, so that a run that was killed after its training finds what it found before it.
    """
    from storage.model_folders import model_problem
    from storage.registry import newest_model_at

    with run.db.reading() as con:
        stored = newest_model_at(con, origin, besides=run.run_id)
    if stored is None:
        return "there is no model of this session"
    if (problem := model_problem(run.home, stored.model_id)) is not None:
        return problem
    if not stored.judged:
        return "its model was never judged"
    return _first_difference(run, origin, json.loads(stored.card_json))


def nothing_new(run: Run, origin: date) -> str:
    """The line for a person who asked for a training that would change no bit."""
    from storage.registry import newest_model_at

    with run.db.reading() as con:
        stored = newest_model_at(con, origin, besides=run.run_id)
    return (
        f"nothing was trained: model {stored.model_id[:16]} of {origin} is of the same data, specification, settings and code; "
        "`nextclose retrain --force` trains it all the same"
    )


def not_due(run: Run, newest: date) -> str:
    """The line for a run that trains only where a model is due, and found none due."""
    after = run.settings.retraining.after_sessions
    return (
        f"nothing was trained: the newest model is of {newest}, and one is due when that is more than {after} sessions ago; "
        "`nextclose retrain` trains one now"
    )


def _first_difference(run: Run, origin: date, card: dict[str, Any]) -> str | None:
    from forecasting.features.user import user_digests
    from forecasting.intact import versions_of
    from forecasting.rivals.own import own_digests
    from tasks.learning import spans_of
    from tasks.market import data_digest, macro_of, market_of
    from tasks.opening import code_version

    spec, settings = run.settings.lstm, run.settings
    if changed := [name for name, value in spec.model_dump(mode="json").items() if card["spec"].get(name) != value]:
        return f"the specification has another {', '.join(changed)}"
    if card.get("user_features") != user_digests(spec.features):
        return "a feature of your own was changed"
    if card.get("inputs") != versions_of(spec.features):
        return "a feature is computed otherwise by now"
    if card.get("rivals") != list(settings.rivals.names):
        return "other rivals are wanted"
    if card.get("own_rivals", {}) != own_digests(settings.rivals.names):
        return "a forecaster of your own was changed"
    try:
        spans = spans_of(run, origin)
    except NotEnoughHistory:  # training says so itself
        return "the history is shorter than it was"
    told = {name: str(getattr(spans, name)) for name in ("train_end", "valid_end", "test_end")} | {"embargo": spans.embargo}
    if any(card["spans"].get(name) != value for name, value in told.items()):
        return "the spans that are learnt from, chosen on and judged on lie otherwise"
    if card.get("thresholds_digest") != settings.gate.digest:
        return "the gate has other thresholds"
    if card.get("code_version") != code_version():
        return f"the code was version {card.get('code_version')} then"
    panel = market_of(run).until(origin)
    if card.get("data_digest") != data_digest(panel, macro_of(run), panel.symbols, origin):
        return "prices or macro values were added or revised"
    return None
