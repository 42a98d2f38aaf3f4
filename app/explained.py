"""What ``nextclose explain`` has to say, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.printing import money, percent, say, signed, table

if TYPE_CHECKING:
    from forecasting.explanation import Contributions

_MOST = 5  # rows named of what changed later
_LEVELS = (("q05", 5), ("q10", 10), ("q25", 25), ("q50", 50), ("q75", 75), ("q90", 90), ("q95", 95))


def as_json(told: dict[str, Any], parts: Contributions | None, why_not: str) -> dict[str, Any]:
    """Everything as plain values; ``contributions`` is null with the reason beside it where there are none."""
    shown = None
    if parts is not None:
        shown = [{"part": p.name, "median": p.median, "width_80": p.width} for p in (*parts.parts, parts.forecast)]
    return {**told, "contributions": shown, "contributions_missing": why_not or None}


def show(told: dict[str, Any], parts: Contributions | None, why_not: str) -> None:
    """One part after the other: the forecast, what came true, the data, the features, who made it and why, the others."""
    _forecast(told)
    _data(told)
    _features(told, parts, why_not)
    _model(told)
    _rivals(told)


def _forecast(told: dict[str, Any]) -> None:
    f, ranks = told["forecast"], [r for r in told["ranks"] if r["horizon"] == told["forecast"]["horizon"]]
    mode = "live" if f["mode"] == "live" else "after the fact (backfill)"
    say(f"{f['symbol']} from the close of {f['origin']}, {f['horizon']} ahead: the close of {f['target_session']}")
    say(f"issued {mode} at {f['issued_at']:%Y-%m-%d %H:%M} UTC by {f['forecaster']} of model {f['model_id'][:16]}")
    if told["serving"]:
        say(f"which serves since {told['serving']['origin']}: {told['serving']['reason']}")
    say(f"id {told['forecast_id'][:12]}; `nextclose reproduce {told['forecast_id'][:12]}` makes it again")
    say()
    interval = f"80 % {money(f['q10'])} .. {money(f['q90'])}, 90 % {money(f['q05'])} .. {money(f['q95'])}"
    say(f"close {money(f['close'])}, median {money(f['q50'])}, {interval}, P(up) {percent(f['p_up'], 0)}")
    for r in ranks:
        fifths = " ".join(percent(r[f"p{i}"], 0) for i in range(1, 6))
        came = "" if r["fifth"] is None else f"; it came out in fifth {r['fifth']}"
        say(f"fifths of {r['symbols']} symbols, worst to best, by {r['forecaster']}: {fifths}{came}")
    say(f"What came true: {_outcome(f)}")


def _outcome(f: dict[str, Any]) -> str:
    y = f["close_at_target"]
    if y is None:
        return f"not known yet; {f['target_session']} has no bar, or was not scored"
    below = [level for name, level in _LEVELS if f[name] <= y]
    if not below:
        place = "below the 5 % quantile"
    elif below[-1] == 95:
        place = "above the 95 % quantile"
    else:
        place = f"between the {below[-1]} and the {_LEVELS[len(below)][1]} % quantile"
    held = "inside" if f["inside_80"] else "outside"
    return f"{money(y)} ({signed(y / f['close'] - 1)}), {place}, {held} the 80 % interval"


def _data(told: dict[str, Any]) -> None:
    d, f = told["data"], told["forecast"]
    say()
    say(f"The data known then: {d['sessions']:,} sessions since {d['first_session']}; digest {str(f['data_digest'])[:16]}")
    names = ("session", "open", "high", "low", "close", "volume", "source", "known_at")
    table(names, [tuple(b[n] if n != "volume" else f"{b[n] or 0:,.0f}" for n in names) for b in d["bars"]], left=("source",))
    for a in d["actions"]:
        say(f"{a['kind']} of {a['value']:g} on {a['session']}")
    for m in d["macro"]:
        say(f"{m['series']} {m['value']:g} of {m['about']}, published {m['published_at']:%Y-%m-%d %H:%M} UTC")
    if d["changed"]:
        say(f"{d['changed']:,} of its bars and actions became known or were revised later; the forecast knew nothing of it:")
        for c in d["changed_since"][:_MOST]:
            then, since = ("nothing" if c[side] is None else f"{c[side]:g}" for side in ("then", "since"))
            say(f"  {c['what']} of {c['session']}: {then} then, {since} since")


def _features(told: dict[str, Any], parts: Contributions | None, why_not: str) -> None:
    values = {one["feature"]: one["value"] for one in told["features"]}
    say()
    if parts is None:
        say(f"The features (no contributions: {why_not})")
        table(("feature", "value"), [(n, _short(v)) for n, v in values.items()], left=("feature",))
        return
    rows = sorted(parts.features, key=lambda p: -max(abs(p.median), abs(p.width)))
    shown = [(p.name, _short(values.get(p.name)), signed(p.median, 3), signed(p.width, 3)) for p in rows]
    ends = [(p.name, "", signed(p.median, 3), signed(p.width, 3)) for p in (parts.adjustment, parts.rest, parts.forecast)]
    first = ("baseline", "", signed(parts.baseline.median, 3), signed(parts.baseline.width, 3))
    table(
        ("part", "value", "to the median", "to the 80 % width"), [first, *shown, *ends],
        "What each feature added: log returns, their sum is the forecast", left=("part",),
    )  # fmt: skip


def _model(told: dict[str, Any]) -> None:
    card, decision = told["model"]["card"], told["model"]["decision"]
    spec, spans = card.get("spec", {}), card.get("spans", {})
    say()
    say(
        f"The model: trained at {card.get('origin')} on {len(card.get('market_symbols', []))} symbols, learnt to "
        f"{spans.get('train_end')}, chose to {spans.get('valid_end')}, judged to {spans.get('test_end')}"
    )
    say(
        f"{spec.get('members')} networks, LSTM {spec.get('units')}, {len(spec.get('features', []))} features, lookback "
        f"{spec.get('lookback')}, seed {spec.get('seed')}; version {card.get('code_version')}, {card.get('machine_class')}"
    )
    if decision is not None:
        say(f"The gate of {decision['origin']}: {decision['sentence']}")
        checks = [(c["code"], c["name"], c["verdict"], c["sentence"]) for c in told["model"]["checks"]]
        table(("check", "name", "verdict", "in words"), checks, left=("check", "name", "verdict", "in words"))


def _rivals(told: dict[str, Any]) -> None:
    scores = {(s["forecaster"], s["metric"]): s["value"] for s in told["model"]["evaluations"]}
    say()
    rows = []
    for f in told["forecasts"]:
        interval = f"{money(f['q10'])} .. {money(f['q90'])}"
        loss = None if f["pinball"] is None else f"{f['pinball']:.5f}"
        judged = scores.get((f["forecaster"], "pinball"))
        who = f["forecaster"] + (" *" if f["serving"] else "")
        rows.append((who, money(f["q50"]), interval, percent(f["p_up"], 0), loss, None if judged is None else f"{judged:.5f}"))
    table(
        ("forecaster", "median", "80 % interval", "P(up)", "loss here", "loss when judged"), rows,
        "Everybody's forecast (* served); loss is pinball over the close", left=("forecaster",),
    )  # fmt: skip


def _short(value: float | None) -> str:
    return "-" if value is None or value != value else f"{value:.3g}"
