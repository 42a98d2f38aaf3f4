"""What a flow run leaves to look at in the Prefect UI: tables, verdicts, pictures, and how far long work is.

Links lead into the web app where the settings say its address (``serve.web``). A server that cannot take an artifact
changes nothing about the data.
"""

from __future__ import annotations

import base64
import logging
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

log = logging.getLogger(__name__)

WORDS_OF_PICTURES = {
    "plot-forecasts": "Predicted against actual, and the last forecast as a fan",
    "plot-calibration": "Calibration of the quantiles",
    "plot-skill": "Skill against EWMA by year",
    "plot-loss": "Loss during training",
}
MOST_LINKS = 50
SMALLEST_MOVE = 5.0  # percent
LONG_SECONDS = 5.0


def show(report: dict[str, Any], web: str | None = None) -> None:
    """Leave the report's tables as artifacts of the flow run; a failure to do so is logged and forgotten. ``web`` is the
    address of the web app, for links."""
    from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

    try:
        forecasts = report.get("forecasts") or []
        if forecasts:
            said = f"Forecasts from the close of {report['origin']}"
            create_table_artifact(key="forecasts", table=_rows(forecasts), description=said + _on_the_web(web))
        if report.get("decision"):
            create_markdown_artifact(key="gate-verdict", markdown=verdict_markdown(report), description="What the gate said")
        if "refused" in report:
            create_markdown_artifact(
                key="data-quality", markdown=quality_markdown(report), description="Symbols and rows set aside"
            )
        if report.get("horizons"):
            create_markdown_artifact(key="backtest", markdown=backtest_markdown(report), description="Scores on the test span")
        if report.get("plots"):
            pictures = plots_markdown(report["plots"], web, report["symbols"] if "symbols" in report else [])
            create_markdown_artifact(key="plots", markdown=pictures, description="Pictures")
            for key, url in picture_urls(report["plots"]).items():
                create_image_artifact(key=key, image_url=url, description=WORDS_OF_PICTURES[key])
        if report.get("study"):
            said = f"Study {report['study']}, the best first"
            create_table_artifact(key="trials", table=trials_rows(report), description=said)
    except Exception as error:  # the server's troubles are not the data's
        log.warning("artifacts could not be created: %s", error)


def verdict_markdown(report: dict[str, Any]) -> str:
    """The gate's decision and its checks."""
    decision, serving = report["decision"], report.get("serving")
    lines = [f"## {decision['verdict'].replace('_', ' ')}", "", decision["sentence"], ""]
    if decision.get("approval") == "pending":
        lines += [f"Waits for a yes: run the flow `promote` with model `{decision['model_id'][:16]}` and a reason.", ""]
    if serving:
        who = f"**{serving['forecaster']}** of model `{serving['model_id'][:16]}` serves since {serving['since']}"
        lines += [f"{who}: {serving['reason']}", ""]
    lines += ["| check | verdict | in words |", "| --- | --- | --- |"]
    lines += [f"| {c['code']} {c['name']} | {c['verdict']} | {_cell(c['sentence'])} |" for c in decision["checks"]]
    return "\n".join(lines)


def quality_markdown(report: dict[str, Any]) -> str:
    """Who got no forecast and why, and what was remarked on the way."""
    symbols, refused = report.get("symbols", []), report["refused"]
    lines = [f"{len(symbols) - len(refused)} of {len(symbols)} symbols up to {report['origin']}", ""]
    quality = report.get("quality") or {"rows": {}, "rules": []}
    if quality["rows"]:
        counts = {name: count for name, count in quality["rows"].items() if name != "warned"}
        lines += [f"| {' | '.join(counts)} |", f"|{' ---: |' * len(counts)}"]
        lines += [f"| {' | '.join(f'{count:,}' for count in counts.values())} |", ""]
    if quality["rules"]:
        lines += ["| rule | severity | symbols | rows | for example |", "| --- | --- | ---: | ---: | --- |"]
        lines += [
            f"| `{r['rule']}` | {r['severity']} | {r['symbols']} | {r['rows']} | {_cell(r['example'])} |"
            for r in quality["rules"]
        ]
        lines.append("")
    if refused:
        lines += ["| symbol | reason | in words |", "| --- | --- | --- |"]
        lines += [f"| {_cell(r['symbol'])} | {r['reason']} | {_cell(r['message'])} |" for r in refused]
        lines.append("")
    return "\n".join([*lines, *(f"- {_cell(note)}" for note in report.get("notes", []))])


def backtest_markdown(report: dict[str, Any]) -> str:
    """The scores of a backtest, one row a horizon, and by year."""
    lines = [
        "| ahead | pinball | skill vs EWMA | t | 50 % held | 80 % held | 90 % held |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for h in report["horizons"]:
        skill, t = _share(h["skill"]["ewma"], "+.2%"), _share(h["dm_t"]["ewma"], ".1f")
        held = " | ".join(_share(h["coverage"][level], ".1%") for level in ("50", "80", "90"))
        lines.append(f"| {h['horizon']} | {_share(h['pinball'], '.5f')} | {skill} | {t} | {held} |")
    lines += ["", "| year | ahead | skill vs EWMA | t | 80 % held |", "| --- | --- | --- | --- | --- |"]
    for h in report["horizons"]:
        for year, cut in h["by_year"].items():
            scores = (_share(cut.get("skill"), "+.2%"), _share(cut.get("t"), ".1f"), _share(cut["coverage"].get("80"), ".1%"))
            lines.append(f"| {year} | {h['horizon']} | {' | '.join(scores)} |")
    return "\n".join([*lines, "", report["gate"]["sentence"]])


def plots_markdown(files: list[str], web: str | None = None, symbols: list[str] | None = None) -> str:
    """Where the pictures lie, and each symbol's page of the web app."""
    lines = ["| file |", "| --- |", *(f"| [{_cell(Path(file).name)}]({Path(file).as_uri()}) |" for file in files)]
    if web and symbols:
        lines += ["", "| symbol | fan chart |", "| --- | --- |"]
        lines += [f"| {_cell(s)} | [{_cell(s)}]({web}/symbols/{quote(s, safe='')}) |" for s in symbols[:MOST_LINKS]]
    return "\n".join(lines)


def picture_urls(files: list[str]) -> dict[str, str]:
    """Artifact key -> the PNG itself as a data URL: the UI shows it wherever the files are. The latest of each kind."""
    urls = {}
    for file in files:
        key = f"plot-{Path(file).stem}"
        if key in WORDS_OF_PICTURES and Path(file).suffix == ".png":
            urls[key] = "data:image/png;base64," + base64.b64encode(Path(file).read_bytes()).decode()
    return urls


def _share(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def trials_rows(report: dict[str, Any]) -> list[dict[str, Any]]:
    """The trials of a search as the table artifact shows them."""
    wanted = ("number", "state", "loss", "gain", "seconds", "reason")
    return [
        {name: round(t[name], 5) if isinstance(t[name], float) else t[name] for name in wanted} | {"changes": str(t["changes"])}
        for t in report["trials"]
    ]


def _rows(forecasts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The forecasts as the table artifact shows them."""
    wanted = ("symbol", "close", "horizon", "target_session", "q10", "q50", "q90", "p_up", "forecaster", "mode")
    return [{name: round(f[name], 4) if isinstance(f[name], float) else f[name] for name in wanted} for f in forecasts]


def _on_the_web(web: str | None) -> str:
    return f" ([as a page]({web}))" if web else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


class Progress:
    """One progress artifact for each step of a flow run that takes long, moved on when it is worth the request."""

    def __init__(self, long_seconds: float = LONG_SECONDS) -> None:
        self._long = long_seconds
        self._began: dict[str, float] = {}
        self._shown: dict[str, tuple[Any, float]] = {}

    def moved(self, step: str, done: float) -> None:
        """The step has done the share ``done`` (0..1); small moves are not told."""
        from prefect.artifacts import create_progress_artifact, update_progress_artifact

        now = time.monotonic()
        if now - self._began.setdefault(step, now) < self._long:
            return
        share = min(max(done, 0.0), 1.0) * 100
        identity, last = self._shown.get(step, (None, -100.0))
        if share - last < SMALLEST_MOVE and share < 100 or share == last:
            return
        try:
            if identity is None:
                key = "progress-" + "".join(c if c.isalnum() else "-" for c in step.lower())
                identity = create_progress_artifact(progress=share, key=key, description=f"How far {step} is")
            else:
                update_progress_artifact(artifact_id=identity, progress=share)
            self._shown[step] = (identity, share)
        except Exception as error:  # the server's troubles are not the data's
            log.warning("progress of %s could not be shown: %s", step, error)
