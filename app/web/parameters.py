"""The parameters of the API: typed, bounded, and none that is not known."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from app.web.questions import MOST_ROWS, MOST_SKIPPED, Question
from forecasting.errors import SymbolError
from forecasting.symbols import normalise_symbol

MOST_NAMES = 500
#: What ``normalise_symbol`` lets in, in either case: no two points side by side.
SYMBOL_PATTERN = r"^[A-Za-z0-9^](\.?[A-Za-z0-9^=&-])*\.?$"


def symbol_of(text: str) -> str:
    """The symbol as the exchange writes it; ValueError with the sentence for what is none."""
    try:
        return normalise_symbol(text)
    except SymbolError as error:
        raise ValueError(str(error)) from error


def _split(value: Any) -> Any:
    """'TSLA,AAPL' and repeated parameters name the same."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, list) and all(isinstance(one, str) for one in value):
        return [part for one in value for part in one.split(",")]
    return value


def _written_out(value: Any) -> Any:
    """A date as YYYY-MM-DD; pydantic by itself also takes seconds since 1970."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
        raise ValueError("a date such as 2026-11-18")
    return value


Symbol = Annotated[str, Field(min_length=1, max_length=20, pattern=SYMBOL_PATTERN), AfterValidator(symbol_of)]
Word = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[A-Za-z0-9_]+$")]
Text = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9_ .:/-]+$")]
Hex = Annotated[str, Field(min_length=4, max_length=64, pattern=r"^[0-9a-f]+$")]
Horizon = Annotated[int, Field(ge=1, le=250)]
Day = Annotated[date, BeforeValidator(_written_out)]

_SYMBOLS = Annotated[Annotated[list[Symbol], Field(max_length=MOST_NAMES)] | None, BeforeValidator(_split)]
_HORIZONS = Annotated[Annotated[list[Horizon], Field(max_length=20)] | None, BeforeValidator(_split)]
_WORDS = Annotated[Annotated[list[Word], Field(max_length=50)] | None, BeforeValidator(_split)]

#: Filter -> its type and what it says in the description.
KNOWN: dict[str, tuple[Any, str]] = {
    "symbol": (_SYMBOLS, "symbols as the exchange writes them; repeat it or separate with commas"),
    "horizon": (_HORIZONS, "sessions ahead of the origin"),
    "forecaster": (_WORDS, "lstm or a rival; in scores also served"),
    "mode": (Literal["live", "backfill"] | None, "live, or backfill where it was computed later; the two are never mixed"),
    "settled": (bool | None, "whether what came true is known"),
    "serving": (bool | None, "whether it is the forecast that was served"),
    "since": (Day | None, "first origin"),
    "until": (Day | None, "last origin"),
    "session_since": (Day | None, "first session"),
    "session_until": (Day | None, "last session"),
    "run": (Hex | None, "id of a run"),
    "model": (Hex | None, "first digits of a model's id, four or more"),
    "decision": (Hex | None, "id of a gate decision"),
    "verdict": (Word | None, "what was decided: promoted, refused, cannot_tell; of drift steady, drifted, cannot_tell"),
    "source": (Text | None, "name of a source"),
    "severity": (Word | None, "warning, warn, quarantine or reject"),
    "reason": (Word | None, "stable code of a rule"),
    "flow": (Word | None, "daily, retrain, tune, ..."),
    "status": (Word | None, "completed, degraded or nothing_to_do"),
    "metric": (_WORDS, "names of metrics"),
    "kind": (Word | None, "which kind"),
}


class _Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Formed(_Asked):
    """What every table can be asked for besides its filters."""

    format: Literal["json", "csv", "arrow", "parquet"] | None = Field(
        None, description="the form of the answer; empty: by the Accept header, else JSON"
    )
    limit: int = Field(1000, ge=1, le=MOST_ROWS, description="most rows in one answer")
    offset: int = Field(0, ge=0, le=MOST_SKIPPED, description="rows to skip; `next` in the JSON answer has the next one")


def model_for(question: Question, names: Iterable[str]) -> type[Formed]:
    """The query parameters of a table as a model: the filters in ``names``, and form, limit and offset."""
    fields: dict[str, Any] = {}
    for name in names:
        kind, text = KNOWN[name]
        fields[name] = (Annotated[kind, Field(description=text)], None)
    return create_model(f"Asked_{question.name}", __base__=Formed, **fields)
