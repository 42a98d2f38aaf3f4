"""``nextclose status``."""

from __future__ import annotations

from app.common import TABULAR, Tabular


def status(*, common: Tabular = TABULAR) -> int:
    """What is stored, how fresh it is, who serves, and how the last runs went.

    For example:
      nextclose status
      nextclose status --json
    """
    from app.common import answer, records
    from storage.reading import freshness, quarantine_summary, runs, status_summary
    from storage.snapshot import open_snapshot

    with open_snapshot(common.opened()) as con:
        summary = status_summary(con)
        last, fresh, aside = records(runs(con, 5)), records(freshness(con)), records(quarantine_summary(con))
    told = {"home": str(common.path), **summary, "runs": last, "symbols": fresh, "quarantine": aside}
    answer(common, told, lambda: _show(common, summary, last, fresh, aside), fresh)
    return 0


def _show(common: Tabular, summary: dict, last: list[dict], fresh: list[dict], aside: list[dict]) -> None:
    from app.printing import say, table

    published, serving, counts = summary["published"], summary["serving"], summary["counts"]
    say(f"{common.path}: published {published['published_at']:%Y-%m-%d %H:%M} UTC by run {published['run_id']}")
    say(", ".join(f"{number:,} {name}" for name, number in counts.items()))
    if serving:
        say(
            f"{serving['forecaster']} of model {serving['model_id'][:16]} serves since {serving['origin']}: {serving['reason']}"
        )
    say()
    table(
        ("symbol", "last session", "behind", "sessions", "last forecast", "source"),
        [
            (r["symbol"], r["last_session"], r["sessions_behind"], r["sessions"], r["last_origin"], r["source"])
            for r in fresh[:20]
        ],
        left=("symbol", "source"),
    )
    if len(fresh) > 20:
        say(f"and {len(fresh) - 20} more; see `nextclose sql 'FROM freshness'`")
    say()
    table(
        ("run", "flow", "origin", "status", "finished", "seconds"),
        [(r["run_id"], r["flow"], r["origin"], r["status"], r["finished_at"], f"{r['seconds']:.0f}") for r in last],
        left=("run", "flow", "status"),
    )
    if aside:
        say()
        rows = [(r["reason"], r["severity"], r["symbol"], r["n"], r["first_session"]) for r in aside[:10]]
        table(
            ("set aside because", "severity", "symbol", "rows", "first"), rows, left=("set aside because", "severity", "symbol")
        )
