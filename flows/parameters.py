"""What each flow can be asked for: validated models that are also the forms in the Prefect UI.

Everything has a default, so that a schedule needs no parameters; ``home`` falls back to the folder that the process that
serves the flows was started for.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from forecasting.errors import SymbolError
from forecasting.symbols import normalise_symbols
from tasks.settings import SourceName


def _home_last(schema: dict[str, Any]) -> None:
    """A form shows first what people ask for."""
    schema["properties"]["home"] = schema["properties"].pop("home")


class Parameters(BaseModel):
    """What every flow can be asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_extra=_home_last)

    home: str | None = Field(None, description="the folder that holds the database; empty: the one this server works for")


class WithPrices(Parameters):
    """What every flow that fetches prices can be asked for."""

    symbols: list[str] | None = Field(
        None, max_length=5000, description="empty: those of the settings, or all that a file holds"
    )
    source: SourceName | None = Field(None, description="empty: the source of the settings")
    source_options: dict[str, Any] = Field(
        default_factory=dict, description="for files: path, columns, basis; for synthetic: seed"
    )

    @field_validator("symbols")
    @classmethod
    def _written_as_the_exchange_does(cls, value: list[str] | None) -> list[str] | None:
        if value is None:
            return None
        if not value:
            raise ValueError("name at least one symbol, or leave it empty for those of the settings")
        try:
            return list(normalise_symbols(value))
        except SymbolError as error:
            raise ValueError(str(error)) from error


class Daily(WithPrices):
    """The day: prices in, checked and kept, a model retrained if due, forecasts written, what settled scored."""

    origin: date | None = Field(None, description="the session whose close is the last one known; empty: the last final one")
    retrain: bool = Field(False, description="train a challenger even if the model is young")
    replay: int = Field(0, ge=0, le=2500, description="sessions before the origin to forecast first, marked as backfill")


class Ingest(WithPrices):
    """Only prices: fetched, checked and kept."""

    start: date | None = Field(None, description="first session to ask for; empty: what is missing, and the trailing sessions")
    end: date | None = Field(None, description="last session to ask for; empty: the last final one")


class Retrain(Parameters):
    """Train a challenger on what is stored and put it before the gate."""

    origin: date | None = Field(None, description="the last session that may be learnt from; empty: the last one stored")
    force: bool = Field(True, description="train even if the model is young")
    again: bool = Field(False, description="train even if that would make the model that this session has already")

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Retrain:
        if self.again and not self.force:
            raise ValueError("again trains in any case, force = false only where a model is due: leave one of the two out")
        return self


class Tune(Parameters):
    """Search for a better specification of the network, on validation sessions only; every trial is kept."""

    trials: int | None = Field(None, ge=1, le=10_000, description="to try beside the one in use; empty: by the settings")
    minutes: float | None = Field(None, gt=0, le=10_000, description="no trial begins after this long; empty: by the settings")
    sampler: Literal["grid", "tpe"] | None = Field(None, description="empty: the one of the settings")
    space: str | None = Field(None, description="TOML or JSON file of what may change; empty: that of the settings")
    origin: date | None = Field(None, description="the last session that counts as known; empty: the last one stored")
    adopt: bool = Field(False, description="put the best specification into the settings")


class Backfill(Parameters):
    """Forecast past sessions that have no forecast yet, oldest first, with the serving model; never counted as live."""

    start: date = Field(description="first origin")
    end: date | None = Field(None, description="last origin; empty: the last session stored")

    @model_validator(mode="after")
    def _in_order(self) -> Backfill:
        if self.end is not None and self.end < self.start:
            raise ValueError(f"end {self.end} lies before start {self.start}")
        return self


class Word(Parameters):
    """A person's word on who serves; kept with its reason."""

    reason: str = Field(max_length=500, description="why, in one line; kept beside the gate's decision")
    by: str | None = Field(None, max_length=100, description="whose word it is; kept as well")

    @field_validator("reason", "by")
    @classmethod
    def _one_printable_line(cls, value: str | None) -> str | None:
        if value is None:
            return None
        line = " ".join("".join(c if c.isprintable() else " " for c in value).split())
        if not line:
            raise ValueError("say it in a few words")
        return line


class Promote(Word):
    """Put a model in service that passed the gate, or turn it down."""

    model: str = Field(pattern=r"^[0-9a-fA-F]{4,64}$", description="first digits of the model's id, four or more")
    forecaster: str = Field("lstm", max_length=40, description="lstm, or one of the rivals that the model holds")
    reject: bool = Field(False, description="say no to a model that waits for a yes")
    even_if_refused: bool = Field(False, description="put it in service although the gate did not open; kept as an override")


class Rollback(Word):
    """Take the model that serves out of service, and put the one before it back."""


class Controls(Parameters):
    """Random walks, planted signals, broken models and leaks: whether the product says of each what is true."""

    size: Literal["small", "full"] = Field("small", description="small: a minute or two; full: 200 random walks and more")
    processes: int | None = Field(None, ge=1, le=64, description="cases side by side; empty: one a core")


class Nightly(Parameters):
    """Everything read again and compared with the manifest, then a backup."""

    keep: int | None = Field(None, ge=1, le=1000, description="nightly backups to keep; empty: by the settings")


class Backtest(Parameters):
    """Train, evaluate on a span that was never seen, and let the gate speak; nothing is stored."""

    prices: str = Field(description="CSV or Parquet file, or a folder of them")
    train_end: date = Field(description="last session to learn from")
    valid_end: date = Field(description="last session on which training may choose when to stop")
    test_end: date = Field(description="last session of the span that judges")
    macro: str | None = Field(None, description="CSV or Parquet of macro series, such as the VIX")
    spec: str | None = Field(
        None, description="TOML or JSON file with the network's specification; empty: that of the settings"
    )
    symbols: list[str] | None = Field(None, max_length=5000, description="empty: all that the file holds")
    retrain_every: int | None = Field(
        None, ge=5, le=5000, description="walk forward: judged sessions after which a new model takes over; empty: one model"
    )
    train_sessions: int | None = Field(
        None, ge=100, description="length of a rolling training span; empty: it begins with the first session"
    )
    embargo: int | None = Field(
        None, ge=0, le=250, description="sessions free between two spans; empty: 5 when walking forward, else 0"
    )
    sectors: str | None = Field(None, description="CSV file of symbol and sector; empty: that of the settings")
    trials: int = Field(1, ge=1, description="specifications tried on the way to this one; p values are corrected for it")
    ranks: bool = Field(False, description="also score the probabilities of each symbol's fifth over blocks of the test span")
    plots: str | None = Field(None, description="folder to draw pictures into")

    @model_validator(mode="after")
    def _in_order(self) -> Backtest:
        if not self.train_end < self.valid_end < self.test_end:
            raise ValueError("the dates must follow one another: train_end < valid_end < test_end")
        if self.ranks and self.retrain_every is not None:
            raise ValueError("ranks are scored with one model: leave retrain_every (--retrain-every) out, or ranks (--ranks)")
        return self
