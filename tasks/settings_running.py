"""Where work that can be spread is done: in threads or processes of this machine, or on a Dask or Ray cluster. None of it
decides a forecast: the bits are the same wherever they are computed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

TaskRunner = Literal["threads", "processes", "dask", "ray"]
CLUSTERS = ("dask", "ray")


class Running(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    task_runner: TaskRunner = Field(
        "processes", description="where chunks, networks, folds, trials and controls are worked on; dask and ray are extras"
    )
    workers: int | None = Field(None, ge=1, le=1024, description="workers side by side; empty: one a core of this machine")
    address: str | None = Field(
        None, max_length=500, description="a Dask scheduler or a Ray cluster that is there; empty: one is started for the run"
    )

    @model_validator(mode="after")
    def _an_address_is_of_a_cluster(self) -> Running:
        if self.address is not None and self.task_runner not in CLUSTERS:
            raise ValueError("address is that of a cluster: set task_runner to dask or ray, or leave address out")
        return self
