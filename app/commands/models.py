"""``nextclose models``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def models(
    model: Annotated[str | None, Parameter(help="First digits of a model's id: its checks and scores.")] = None,
    /,
    *,
    common: Tabular = TABULAR,
) -> int:
    """The trained models, what the gate said of each, and who serves.

    For example:
      nextclose models
      nextclose models 7b67dd13 --json
    """
    from app.common import answer, records
    from forecasting.errors import InputError
    from storage.reading import decision_checks, decisions, evaluations
    from storage.reading import models as read
    from storage.snapshot import open_snapshot

    with open_snapshot(common.opened()) as con:
        found = records(read(con))
        if model is None:
            answer(common, {"models": found}, lambda: _show_all(found), found)
            return 0
        chosen = [row for row in found if row["model_id"].startswith(model.lower())]
        if len(chosen) != 1:
            raise InputError(f"{len(chosen)} models begin with {model!r}; `nextclose models` lists them")
        one = chosen[0]
        scores = records(evaluations(con, one["model_id"]))
        made = [row for row in records(decisions(con, 1000)) if row["model_id"] == one["model_id"]]
        checks = records(decision_checks(con, made[0]["decision_id"])) if made else []
    told = {"model": one, "checks": checks, "evaluations": scores}
    answer(common, told, lambda: _show_one(one, checks, scores), scores)
    return 0


def _show_all(found: list[dict]) -> None:
    from app.printing import say, table

    table(
        ("model", "origin", "learnt to", "judged to", "gate", "serves"),
        [(r["model_id"][:16], r["origin"], r["train_end"], r["test_end"], _said(r), r["forecaster"] or "") for r in found],
        left=("model", "gate", "serves"),
    )
    for row in found[:3]:
        if row["sentence"]:
            say(f"{row['model_id'][:16]}: {row['sentence']}")


def _said(row: dict) -> str | None:
    """What the gate said of a model, and then a person."""
    return f"{row['verdict']}, {row['approval']}" if row.get("approval") else row["verdict"]


def _show_one(one: dict, checks: list[dict], scores: list[dict]) -> None:
    from app.printing import say, table

    say(f"model {one['model_id']}, learnt up to {one['train_end']}, judged up to {one['test_end']}; gate: {_said(one)}")
    say()
    rows = [(c["code"], c["check_verdict"], c["check_sentence"]) for c in checks]
    table(("check", "verdict", "in words"), rows, left=("check", "verdict", "in words"))
    say()
    wanted = ("pinball", "mae", "rmse", "coverage_80", "coverage_90", "direction")
    value = {(s["forecaster"], s["horizon"], s["metric"]): s["value"] for s in scores}
    pairs = sorted({(s["horizon"], s["forecaster"]) for s in scores})
    shown = [(h, f, *(_number(value.get((f, h, m))) for m in wanted)) for h, f in pairs]
    table(("ahead", "forecaster", *wanted), shown, left=("forecaster",))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"
