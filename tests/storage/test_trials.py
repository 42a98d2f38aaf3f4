"""Trials as they are kept, and how many stand behind a specification."""

from __future__ import annotations

from datetime import timedelta

from storage.trials import append_trial, ranked, trials_behind, trials_of
from tests.storage.by_hand import MONDAY


def store(db, lease, study: str, specs: str, losses: list[float | None] | None = None) -> None:
    """Trials 0, 1, ... of a study, one a letter; a dash is a combination that does not go together."""
    with db.writing(lease, "run1", f"study {study}") as tx:
        for number, letter in enumerate(specs):
            loss = None if letter == "-" else (losses or [1.0 - number / 100] * (number + 1))[number]
            append_trial(
                tx, study=study, number=number, state="complete" if loss is not None else "pruned", sampler="tpe",
                changes={"dropout": number / 10} if number else {}, spec=None if letter == "-" else {"letter": letter},
                spec_digest=None if letter == "-" else letter * 64, loss=loss, curve=[[1.0, 0.9]], reason=None,
                data_digest="d", started_at=MONDAY, finished_at=MONDAY + timedelta(seconds=5),
            )  # fmt: skip


def test_trials_behind__counts_the_studies_that_found_a_specification(db, lease):
    for study, specs in (("1", "abcd-"), ("2", "cef"), ("3", "fg"), ("4", "ah"), ("5", "ad")):
        store(db, lease, study, specs)
    with db.reading() as con:
        behind = {letter: trials_behind(con, letter * 64) for letter in "zacfghd"}
    assert behind == {
        "z": 1,  # nobody searched for it
        "a": 1,  # it was in use when the first study began, not found by it
        "c": 4,  # the first study tried a, b, c, d; its fifth combination could not be built
        "f": 4 + 3,  # found by the second study, which began with c
        "g": 4 + 3 + 2,  # found by the third, which began with f
        "h": 2,  # another search that began with a
        "d": 4 + 2,  # found by the first study and, unrelated, by the fifth
    }


def test_trials__are_read_back_in_order_and_ranked_by_loss(db, lease):
    store(db, lease, "3f9a", "abc-", [1.0, 0.96, 0.98, None])
    with db.reading() as con:
        rows = trials_of(con, "3f9")
        seen = con.execute("SELECT number, rank, round(gain, 4), seconds FROM trials ORDER BY number").fetchall()
    assert [row["number"] for row in rows] == [0, 1, 2, 3]
    assert rows[1] | {"seconds": 0} == {
        "study": "3f9a", "number": 1, "state": "complete", "sampler": "tpe", "changes": {"dropout": 0.1},
        "spec": {"letter": "b"}, "spec_digest": "b" * 64, "loss": 0.96, "curve": [[1.0, 0.9]], "reason": None, "seconds": 0,
    }  # fmt: skip
    report = ranked(rows)
    assert [trial["number"] for trial in report["trials"]] == [1, 2, 0, 3]
    assert (report["base_loss"], report["best"]["spec"], round(report["best"]["gain"], 4)) == (1.0, {"letter": "b"}, 0.04)
    assert seen == [(0, 3, 0.0, 5.0), (1, 1, 0.04, 5.0), (2, 2, 0.02, 5.0), (3, None, None, 5.0)]
