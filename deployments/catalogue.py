"""One deployment a flow: its name, when it runs, with what parameters, and whether a run that died is begun again.

``nextclose serve`` registers what is here; ``deployments/prefect.yaml`` says the same for a work pool, and a test compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deployments.when import Times, times_for

if TYPE_CHECKING:
    from prefect.deployments.runner import RunnerDeployment

    from tasks.settings import Settings

MODULE = "deployments.prefect_flows"
TAG = "nextclose"


@dataclass(frozen=True)
class Planned:
    """``flow`` is the name in ``deployments/prefect_flows.py``. ``resumes``: the flow goes on where it stood, so a run whose
    process died is begun again; a person's word (promote, rollback) is not said twice."""

    name: str
    flow: str
    description: str
    crons: tuple[str, ...] = ()
    request: dict[str, Any] | None = field(default_factory=dict)  # None: the form must be filled in
    resumes: bool = True
    about: str = "models"

    @property
    def tags(self) -> list[str]:
        return [TAG, self.about]


def planned(times: Times) -> tuple[Planned, ...]:
    """Every deployment of an installation with these schedules."""
    return (
        Planned(
            "daily", "daily", crons=times.daily, about="forecasts",
            description="Prices in, checked and kept; a model retrained if due; forecasts and scores; what was missed first.",
        ),
        Planned(
            "weekly-retrain", "retrain", crons=(times.retrain,), request={"force": False},
            description="A challenger if the model is old, put before the gate.",
        ),
        Planned(
            "weekly-controls", "controls", crons=(times.controls,), request={"size": "full"},
            description="Random walks, planted signals, broken models and leaks, at full size.",
        ),
        Planned(
            "nightly", "nightly", crons=(times.nightly,), about="keeping",
            description="Everything read again and compared with the manifest, then a backup.",
        ),
        Planned("ingest", "ingest", "Only prices: fetched, checked, kept and published.", about="prices"),
        Planned("tune", "tune", "Search for a better network on validation sessions; every trial is kept."),
        Planned(
            "backfill", "backfill", "Past sessions without a forecast; never counted as live.", request=None, about="forecasts",
        ),
        Planned(
            "backtest", "backtest", "Train, judge on a span never seen, let the gate speak; stores nothing.", request=None,
            resumes=False,
        ),
        Planned(
            "promote", "promote", "Put a model in service that passed the gate, or turn it down; with a reason.",
            request=None, resumes=False,
        ),
        Planned(
            "rollback", "rollback", "Put the model back in service that served before; with a reason.", request=None,
            resumes=False,
        ),
    )  # fmt: skip


def times_of(settings: Settings) -> Times:
    """The schedules that follow from the symbols of the settings."""
    from forecasting.sessions import calendar_of

    return times_for({calendar_of(symbol) for symbol in settings.universe.symbols}, settings.source.final_after_minutes)


def deployments(settings: Settings) -> list[RunnerDeployment]:
    """The same for Prefect. At most one run of each at a time: a second one is cancelled, not queued, and says why."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from deployments import prefect_flows
    from tasks.opening import code_version

    times = times_of(settings)
    one = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
    return [
        getattr(prefect_flows, plan.flow).to_deployment(
            name=plan.name,
            description=plan.description,
            tags=plan.tags,
            version=code_version(),
            schedules=[Cron(cron, timezone=times.timezone) for cron in plan.crons],
            parameters={} if plan.request is None else {"request": plan.request},
            concurrency_limit=one,
            entrypoint_type=EntrypointType.MODULE_PATH,
        )
        for plan in planned(times)
    ]
