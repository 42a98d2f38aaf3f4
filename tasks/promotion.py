"""Who serves, by a person's word: a model put in service, turned down, or taken out of it again.

What the gate said is looked up first, so that no word can put a model in service that was never judged, that has seen the
future or whose weights are no numbers; every word is kept beside the gate's decision.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from forecasting.errors import InputError
from tasks.engine import step
from tasks.policies import DATABASE
from tasks.run import Receipt, Run

if TYPE_CHECKING:
    from storage.database import Tx
    from storage.registry import Serving

LSTM = "lstm"
#: Checks whose failure no word of a person can set aside: numbers that are none, and a model that has seen the future.
NEVER = ("G01", "G09")


@step(DATABASE)
def put_in_service(
    run: Run, model: str, forecaster: str, reason: str, by: str | None = None, even_if_refused: bool = False
) -> Receipt:
    """Let ``forecaster`` of the model that begins with ``model`` serve from the last stored session on.

    The network serves where the gate had promoted it, or as an override where ``even_if_refused``; a rival serves on a
    person's word. Raises InputError where that is not to be, UntrustedModel where the folder is not what was registered.
    """
    from storage.approvals import decision_on, model_called
    from storage.registry import current_serving

    if run.done("put_in_service"):
        return Receipt(text="put in service before")
    with run.db.reading() as con:
        model_id = model_called(con, model)
        decision, serving = decision_on(con, model_id), current_serving(con)
    if decision is None:
        raise InputError(f"model {model_id[:16]} was never judged, so nobody may serve from it; run `nextclose retrain`")
    _require_folder(run, model_id, forecaster)
    state = _state(model_id, forecaster, decision, even_if_refused)
    if serving is not None and (serving.model_id, serving.forecaster) == (model_id, forecaster):
        return Receipt(text=f"{forecaster} of model {model_id[:16]} serves already")
    why = {
        "approved": f"it passed every check of the gate, and was approved by hand: {reason}",
        "overridden": f"put in service by hand although the gate did not open ({decision['sentence'].rstrip('.')}): {reason}",
        "chosen": f"chosen by hand: {reason}",
    }[state]
    with run.db.writing(run.lease, run.run_id, "put_in_service") as tx:
        _serve(run, tx, serving, model_id, forecaster, decision["decision_id"], why)
        _say(run, tx, model_id, forecaster, decision["decision_id"], state, by, reason)
    return Receipt(1, text=f"{forecaster} of model {model_id[:16]} serves from {run.origin}")


@step(DATABASE)
def turn_down(run: Run, model: str, reason: str, by: str | None = None) -> Receipt:
    """Say no to the model that begins with ``model`` and that waits for a yes; whoever serves goes on."""
    from storage.approvals import decision_on, last_word, model_called

    if run.done("turn_down"):
        return Receipt(text="turned down before")
    with run.db.reading() as con:
        model_id = model_called(con, model)
        decision = decision_on(con, model_id)
        word = None if decision is None else last_word(con, decision["decision_id"])
    if word == "rejected":
        return Receipt(text="turned down before")
    if word != "pending":
        raise InputError(
            f"model {model_id[:16]} does not wait for a yes; `nextclose rollback` takes the one that serves out of service"
        )
    with run.db.writing(run.lease, run.run_id, "turn_down") as tx:
        _say(run, tx, model_id, LSTM, decision["decision_id"], "rejected", by, reason)
    return Receipt(1, text=f"model {model_id[:16]} does not serve")


@step(DATABASE)
def roll_back(run: Run, reason: str, by: str | None = None) -> Receipt:
    """Put back in service what served before; each rollback goes one step further back.

    Raises InputError where nobody served before, UntrustedModel where that model's folder is not what was registered.
    """
    from storage.approvals import served_before
    from storage.registry import current_serving

    if run.done("roll_back"):
        return Receipt(text="rolled back before")
    with run.db.reading() as con:
        serving, before = current_serving(con), served_before(con)
    if serving is None or before is None:
        raise InputError("nobody served before; `nextclose models` lists what `nextclose promote` can put in service")
    _require_folder(run, before.model_id, before.forecaster)
    why = f"rolled back from {serving.forecaster} of model {serving.model_id[:16]}: {reason}"
    with run.db.writing(run.lease, run.run_id, "roll_back") as tx:
        _serve(run, tx, serving, before.model_id, before.forecaster, before.decision_id, why)
        _say(run, tx, before.model_id, before.forecaster, before.decision_id, "rolled_back", by, reason)
    return Receipt(1, text=f"{before.forecaster} of model {before.model_id[:16]} serves again from {run.origin}")


def _state(model_id: str, forecaster: str, decision: dict[str, Any], even_if_refused: bool) -> str:
    """What a person's word amounts to, given what the gate said."""
    never = [code for code in decision["failed"] if code in NEVER]
    if never:
        raise InputError(f"model {model_id[:16]} failed {', '.join(never)}, which no word sets aside; run `nextclose retrain`")
    if forecaster != LSTM:
        return "chosen"
    if decision["verdict"] == "promoted":
        return "approved"
    if even_if_refused:
        return "overridden"
    raise InputError(
        f"the gate did not open for model {model_id[:16]}: {decision['sentence'].rstrip('.')}; "
        "add --even-if-refused to put it in service all the same, which is kept as an override"
    )


def _require_folder(run: Run, model_id: str, forecaster: str) -> None:
    """The folder is what was registered, its parts belong together, and it holds ``forecaster``."""
    from forecasting.models import rebuild
    from storage.model_folders import load_model

    known = rebuild(*load_model(run.home, model_id)).forecasters
    if forecaster not in known:
        raise InputError(f"model {model_id[:16]} holds no forecaster {forecaster!r:.40}; it holds {', '.join(known)}")


def _serve(
    run: Run, tx: Tx, serving: Serving | None, model_id: str, forecaster: str, decision_id: str | None, why: str
) -> None:
    from storage.registry import append_serving

    origin = run.origin if serving is None else max(run.origin, serving.origin)  # what serves later than now would win
    append_serving(tx, origin, model_id, forecaster, why, decision_id, run.now)


def _say(
    run: Run, tx: Tx, model_id: str, forecaster: str, decision_id: str | None, state: str, by: str | None, reason: str
) -> None:
    from storage.approvals import append_approval

    append_approval(
        tx, origin=run.origin, model_id=model_id, forecaster=forecaster, decision_id=decision_id, state=state, by_whom=by,
        reason=reason, answered_at=run.now,
    )  # fmt: skip
