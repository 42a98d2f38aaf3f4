"""The flows as Prefect sees them: runs with a log, artifacts to look at, and a state that says how it went.

Prefect shows and schedules. Whether a step was done, and who may write, is decided by our own ledger; a Prefect server
that fails in mid-run, or cannot take an artifact, changes nothing about the data.
"""

from __future__ import annotations

import base64
import functools
import inspect
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forecasting.errors import InputError
from tasks.listening import Listener, heard_by

if TYPE_CHECKING:
    import prefect

log = logging.getLogger(__name__)

#: Where the flows can be imported from by whoever executes a deployment.
MODULE = "deployments.prefect_flows"
WORDS_OF_PICTURES = {
    "plot-forecasts": "Predicted against actual, and the last forecast as a fan",
    "plot-calibration": "Calibration of the quantiles",
    "plot-skill": "Skill against EWMA by year",
    "plot-loss": "Loss during training",
}


def as_prefect_flow(fn: Callable[..., dict[str, Any]], name: str) -> prefect.Flow:
    """The flow function as a Prefect flow: its one pydantic parameter is the form in the UI, its report the result."""
    from prefect import flow
    from prefect.states import Completed

    @functools.wraps(fn)
    def run(request: Any) -> Any:
        with heard_by(PrefectLog()):
            report = fn(request)
        show(report)
        if report.get("status") == "degraded":
            refused = ", ".join(entry["symbol"] for entry in report["refused"])
            return Completed(name="Degraded", message=f"no forecast for {refused}", data=report)
        return report

    # Prefect builds the form from the annotations, which are text until they are looked up in the flow's own module.
    run.__signature__ = inspect.signature(fn, eval_str=True)
    run.__annotations__ = inspect.get_annotations(fn, eval_str=True)
    del run.__wrapped__
    run.__module__ = MODULE  # a served or deployed flow is imported from there, where the name is a Prefect flow
    return flow(run, name=name, flow_run_name=_run_name, log_prints=False, persist_result=False, validate_parameters=True)


def run_on_server(flow: prefect.Flow, request: Any) -> dict[str, Any]:
    """Run the flow in this process as a flow run of the server in use; InputError where none answers.

    Without the check Prefect would start a server of its own, and wait for it for up to twenty seconds.
    """
    from prefect.settings import get_current_settings

    url = get_current_settings().api.url
    if not url:
        raise InputError(
            "no Prefect server is set; start one with `prefect server start`, set PREFECT_API_URL=http://127.0.0.1:4200/api, "
            "or leave --prefect out"
        )
    _require_answer(url)
    return flow(request)


class PrefectLog(Listener):
    """Tells the log of the flow run or task run that speaks."""

    def finished(self, step: str, detail: str, summary: str, seconds: float, peak_mb: float) -> None:
        self._logger().info("%s %s: %s (%.1f s, %.0f MB)", step, detail, summary, seconds, peak_mb)

    def noted(self, text: str) -> None:
        self._logger().warning(text)

    @staticmethod
    def _logger() -> Any:
        from prefect import get_run_logger

        return get_run_logger()


def show(report: dict[str, Any]) -> None:
    """Leave the report's tables as artifacts of the flow run; a failure to do so is logged and forgotten."""
    from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact

    try:
        forecasts = report.get("forecasts") or []
        if forecasts:
            create_table_artifact(
                key="forecasts", table=_rows(forecasts), description=f"Forecasts from the close of {report['origin']}"
            )
        if report.get("decision"):
            create_markdown_artifact(key="gate-verdict", markdown=verdict_markdown(report), description="What the gate said")
        if "refused" in report:
            create_markdown_artifact(
                key="data-quality", markdown=quality_markdown(report), description="Symbols and rows set aside"
            )
        if report.get("horizons"):
            create_markdown_artifact(key="backtest", markdown=backtest_markdown(report), description="Scores on the test span")
        if report.get("plots"):
            create_markdown_artifact(key="plots", markdown=plots_markdown(report["plots"]), description="Pictures on disk")
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


def plots_markdown(files: list[str]) -> str:
    """Where the pictures lie."""
    return "\n".join(["| file |", "| --- |", *(f"| [{_cell(Path(file).name)}]({Path(file).as_uri()}) |" for file in files)])


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


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").replace("<", "&lt;").split())


def _run_name() -> str:
    from prefect.runtime import flow_run

    request = flow_run.parameters.get("request")
    origin = getattr(request, "origin", None) or getattr(request, "end", None) or "latest"
    return f"{flow_run.flow_name}-{origin}"


def _require_answer(url: str) -> None:
    import httpx

    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=5).raise_for_status()
    except httpx.HTTPError as error:
        raise InputError(
            f"the Prefect server at {url} does not answer ({type(error).__name__}); start it with `prefect server start`, "
            "or leave --prefect out"
        ) from error
