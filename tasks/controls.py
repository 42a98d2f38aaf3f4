"""The steps of the controls: every case in a process of its own kind, its answers stored when it ends."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import asdict
from typing import Any

from forecasting.audit.controls import Answer, Case, Size, cases, tally, try_case
from forecasting.judging.gate import GateThresholds
from forecasting.lstm.network import LstmSpec
from tasks.clock import now_utc
from tasks.engine import step
from tasks.faults import fault_point
from tasks.listening import tell
from tasks.policies import TUNING
from tasks.run import Receipt, Run
from tasks.spreading import crew

_CASES_A_PROCESS = 100  # TensorFlow keeps a little of every network that it ever built


@step(TUNING)
def try_cases(run: Run, size: Size, processes: int | None = None) -> Receipt:
    """Try every case of ``size`` that this run has no answer for yet; ``processes`` at a time, by default one a core."""
    from storage.controls import append_answers

    made = cases(size)
    left = [case for case in made if not run.done(_step(case))]
    done = len(made) - len(left)
    if not left:
        return Receipt(text=f"{len(made)} cases")
    known = (run.settings.gate, run.settings.lstm)
    with crew(run.settings.run, _tried, processes, known, _CASES_A_PROCESS) as hands:
        waiting = {hands.submit(case): case for case in left}
        while waiting:
            for future in wait(waiting, return_when=FIRST_COMPLETED).done:
                case, answers = waiting.pop(future), future.result()
                with run.db.writing(run.lease, run.run_id, _step(case)) as tx:
                    append_answers(tx, answers, now_utc())
                fault_point("control")
                done += 1
                tell().advanced("controls", done / len(made))
                for answer in answers:
                    if not answer.right:
                        tell().noted(f"{answer.control} {answer.case}: {answer.answer}; {answer.sentence}")
    return Receipt(len(left), text=f"{len(made)} cases")


def _tried(known: tuple[GateThresholds, LstmSpec], case: Case) -> tuple[Answer, ...]:
    return try_case(case, *known)


def controls_report(run: Run) -> dict[str, Any]:
    """The stored answers of the run: run_id, home, met, tallies (one a control and strength) and the wrong answers."""
    from storage.controls import answers_of

    with run.db.reading() as con:
        rows = answers_of(con, run.run_id)
    counted = tally([Answer(*row.values()) for row in rows])
    return {
        "run_id": run.run_id, "home": str(run.home.path), "already_done": run.already is not None,
        "met": all(one.met is not False for one in counted),
        "tallies": [asdict(one) | {"met": one.met} for one in counted],
        "wrong": [row for row in rows if not row["right_answer"]],
        "promoted": [row["case_name"] for row in rows if row["control"] == "random_walk" and row["answer"] == "promoted"],
    }  # fmt: skip


def _step(case: Case) -> str:
    return f"controls/{case.control}/{case.name}"
