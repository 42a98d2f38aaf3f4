"""What the pages of models show: who served when, cards, training curves, decisions, two models side by side, tuning."""

from __future__ import annotations

import json
from typing import Any

from app.web import queries
from app.web.charts import SERIES, Chart, line
from app.web.questions import DECISIONS, DRIFT, EVALUATIONS, MODELS, TRIALS
from app.web.svg import parallel
from storage.editions import Edition

METRICS = (
    "pinball",
    "mae",
    "rmse",
    "mse",
    "mape",
    "mase",
    "direction",
    "rank_correlation",
    "coverage_50",
    "coverage_80",
    "coverage_90",
)
#: Metrics of which more is better; of the coverages, nearer to the name is.
HIGHER = ("direction", "rank_correlation")


def lineage(edition: Edition) -> dict[str, Any]:
    """Models, who served when, what the gate decided, the watch's last word, and the studies of tuning."""
    drift = DRIFT.rows(edition, limit=400)
    newest = drift[0]["origin"] if drift else None
    return {
        "models": MODELS.rows(edition, limit=500), "champions": queries.champions(edition), "decisions": decisions(edition),
        "drift": [row for row in drift if row["origin"] == newest], "studies": studies(edition),
    }  # fmt: skip


def decisions(edition: Edition, model: str | None = None, limit: int = 40) -> list[dict[str, Any]]:
    """Gate decisions with their checks in order, the newest first."""
    found: dict[str, dict[str, Any]] = {}
    for row in DECISIONS.rows(edition, model=model, limit=limit * 12):
        entry = found.setdefault(row["decision_id"], {**row, "checks": []})
        if row["code"] is not None:
            entry["checks"].append(row)
    return list(found.values())[:limit]


def find_model(edition: Edition, digits: str) -> dict[str, Any] | None:
    """The one model whose id begins with ``digits``."""
    found = MODELS.rows(edition, model=digits.lower(), limit=2)
    return found[0] if len(found) == 1 else None


def model_page(edition: Edition, model: dict[str, Any]) -> dict[str, Any]:
    """A model's card, its training, its decisions and what everybody scored on the span that judged it."""
    card = queries.card(edition, model["model_id"])
    return {
        "model": model, "card": card, "spec": card.get("spec", {}), "decisions": decisions(edition, model["model_id"]),
        "scores": score_table(edition, model["model_id"]), "metrics": METRICS, "charts": [training_chart(card)],
        "served": [row for row in queries.champions(edition) if row["model_id"] == model["model_id"]],
    }  # fmt: skip


def score_table(edition: Edition, model_id: str) -> list[dict[str, Any]]:
    """One row a horizon and forecaster with its metrics, lstm first, then by loss."""
    rows: dict[tuple[int, str], dict[str, Any]] = {}
    for row in EVALUATIONS.rows(edition, model=model_id):
        entry = rows.setdefault((row["horizon"], row["forecaster"]), {**row, "metrics": {}})
        entry["metrics"][row["metric"]] = row["value"]
    return sorted(rows.values(), key=lambda r: (r["horizon"], r["forecaster"] != "lstm", r["metrics"].get("pinball") or 9e9))


def training_chart(card: dict[str, Any]) -> Chart:
    """The losses at each look of every network of the ensemble; those of validation are solid."""
    layers = []
    for i, member in enumerate(card.get("history", [])):
        role = SERIES[i % len(SERIES)]
        layers.append(line(f"network {i + 1}, validation", role, member["updates"], member["valid_loss"]))
        layers.append(line(f"network {i + 1}, training", role, member["updates"], member["train_loss"], dash=True))
    about = "losses during training, one pair of lines a network of the ensemble; dashed is training, solid validation"
    return Chart("training", "Loss during training", about, tuple(layers), "gradient steps", "loss", "number")


def comparison(edition: Edition, a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """Where two models differ: specification, spans, and the network's scores, each on the span that judged it."""
    cards = [queries.card(edition, model["model_id"]) for model in (a, b)]
    specs = [card.get("spec", {}) for card in cards]
    names = sorted(set(specs[0]) | set(specs[1]))
    changed = [(n, _told(specs[0].get(n)), _told(specs[1].get(n))) for n in names if specs[0].get(n) != specs[1].get(n)]
    tables = [
        {
            (r["horizon"], m): v
            for r in score_table(edition, model["model_id"])
            if r["forecaster"] == "lstm"
            for m, v in r["metrics"].items()
        }
        for model in (a, b)
    ]
    rows = []
    for key in sorted(set(tables[0]) | set(tables[1]), key=lambda k: (k[0], METRICS.index(k[1]) if k[1] in METRICS else 99)):
        if key[1] in METRICS:
            one, two = tables[0].get(key), tables[1].get(key)
            rows.append({"horizon": key[0], "metric": key[1], "a": one, "b": two, "better": _better(key[1], one, two)})
    kept = ("origin", "train_end", "valid_end", "test_end", "verdict", "approval", "forecaster", "data_digest", "created_at")
    facts = [(name, a[name], b[name]) for name in kept if a[name] != b[name]]
    same_span = (a["valid_end"], a["test_end"]) == (b["valid_end"], b["test_end"])
    features = [set(spec.get("features", [])) for spec in specs]
    return {
        "a": a, "b": b, "changed": changed, "rows": rows, "facts": facts, "same_span": same_span,
        "only_a": sorted(features[0] - features[1]), "only_b": sorted(features[1] - features[0]),
        "charts": [_both(cards, (a, b))],
    }  # fmt: skip


def studies(edition: Edition) -> list[dict[str, Any]]:
    """The searches: their trials with the changes as values, and the picture of them."""
    found: dict[str, list[dict[str, Any]]] = {}
    for row in TRIALS.rows(edition, limit=2000):
        found.setdefault(row["study"], []).append({**row, "changes": json.loads(row["changes_json"] or "{}")})
    return [
        {"study": name, "trials": rows, "picture": _picture(rows), "complete": sum(r["state"] == "complete" for r in rows)}
        for name, rows in found.items()
    ]


def _picture(rows: list[dict[str, Any]]) -> str:
    axes = sorted({name for row in rows for name in row["changes"]})[:9]
    shown = [
        ({name: _axis(row["changes"].get(name)) for name in axes} | {"loss": row["loss"]}, row["rank"] == 1,
         f"trial {row['number']}: loss {row['loss']:.5f}")
        for row in rows if row["state"] == "complete" and row["loss"] is not None
    ]  # fmt: skip
    return parallel([*axes, "loss"], shown) if axes else ""


def _axis(value: Any) -> Any:
    return value if value is None or isinstance(value, (int, float, str)) else json.dumps(value)


def _told(value: Any) -> str:
    return "–" if value is None else value if isinstance(value, str) else json.dumps(value)


def _better(metric: str, a: float | None, b: float | None) -> str:
    if a is None or b is None or a == b:
        return ""
    if metric.startswith("coverage_"):
        promised = int(metric.removeprefix("coverage_")) / 100
        return "a" if abs(a - promised) < abs(b - promised) else "b"
    return "a" if (a > b) == (metric in HIGHER) else "b"


def _both(cards: list[dict[str, Any]], models: tuple[dict[str, Any], ...]) -> Chart:
    layers = []
    for role, card, model in zip(("first", "second"), cards, models, strict=True):
        for i, member in enumerate(card.get("history", [])):
            name = f"{model['model_id'][:8]}, network {i + 1}"
            layers.append(line(name, role, member["updates"], member["valid_loss"], dash=i > 0))
    return Chart(
        "training",
        "Validation loss during training",
        "validation losses of both models",
        tuple(layers),
        "gradient steps",
        "loss",
        "number",
    )
