"""Every setting, its default and its limits; one TOML file in the home folder, the environment above it.

    [universe]
    symbols = ["AAPL", "MSFT", "TSLA"]

    [source]
    name = "yahoo"
    then = ["stooq"]

    [retraining]
    after_sessions = 60

``NEXTCLOSE_UNIVERSE__SYMBOLS='["TSLA"]'`` or ``NEXTCLOSE_UNIVERSE__SYMBOLS=TSLA,AAPL`` says the same from outside, and
wins. TOML keeps tickers such as ``ON`` and ``0700.HK`` the text that they are.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from forecasting.drift import DriftThresholds
from forecasting.errors import SettingError, SettingsClash, SymbolError
from forecasting.judging.gate import GateThresholds
from forecasting.lstm import LstmSpec
from forecasting.quality.thresholds import QualityThresholds
from forecasting.rivals import RIVALS
from forecasting.rivals.own import name_of
from forecasting.search_space import Sampler
from forecasting.symbols import normalise_symbols
from sources.macro import macro_source_names
from sources.registry import ALIASES, proper_name, source_names
from tasks.settings_running import Running
from tasks.settings_serving import SECRETS, Notify, Serve
from tasks.settings_values import listed, nearest, read_values
from tasks.web_settings import WebSettings

MOST_SYMBOLS = 5000
DEFAULT_SYMBOLS = ("AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA", "TSLA")


def _known_source(value: str) -> str:
    value = proper_name(value)
    if value not in source_names():
        close = difflib.get_close_matches(value, (*source_names(), *ALIASES), n=1)
        raise ValueError(f"one of {', '.join(source_names())}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return value


def _symbol_keys(value: dict[str, Any]) -> dict[str, Any]:
    return dict(zip(normalise_symbols(list(value)), value.values(), strict=True)) if value else value


#: The name of a registered source; a form shows the built-in ones to choose from.
SourceName = Annotated[str, AfterValidator(_known_source), WithJsonSchema({"type": "string", "enum": list(source_names())})]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Universe(_Section):
    symbols: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        DEFAULT_SYMBOLS, min_length=1, max_length=MOST_SYMBOLS, description="forecast every day when a run names none"
    )
    inactive_after: int = Field(
        20, ge=5, le=250, description="a symbol silent for this many sessions of its exchange no longer trades"
    )
    sectors: str | None = Field(None, description="CSV file of symbol and sector, to judge by sector; empty: no such cut")

    @field_validator("symbols")
    @classmethod
    def _written_as_the_exchange_does(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return normalise_symbols(value)
        except SymbolError as error:
            raise ValueError(str(error)) from error


class SourceSettings(_Section):
    name: SourceName = Field("yahoo", description="where prices come from")
    options: dict[str, Any] = Field(default_factory=dict, description="handed to the source; for files: path, columns, basis")
    then: Annotated[tuple[SourceName, ...], BeforeValidator(listed)] = Field(
        (), max_length=5, description="asked in this order for a symbol that the one before has no answer for"
    )
    check: bool = Field(True, description="whether the next source in the order checks what the first said")
    per_symbol: Annotated[dict[str, tuple[SourceName, ...]], AfterValidator(_symbol_keys)] = Field(
        default_factory=dict, description="symbols with an order of their own"
    )
    chunk: int | None = Field(
        None, ge=1, le=5000, description="symbols fetched and stored in one step; empty: 50, more where rows are few"
    )
    trailing_sessions: int = Field(10, ge=1, le=250, description="sessions asked for again each day, to see revisions")
    final_after_minutes: int = Field(30, ge=0, le=24 * 60, description="a bar counts from this long after its session's close")


def _known_macro_source(value: str) -> str:
    if value not in macro_source_names():
        close = difflib.get_close_matches(value, macro_source_names(), n=1)
        raise ValueError(f"one of {', '.join(macro_source_names())}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return value


def _series_name(value: str) -> str:
    if not re.fullmatch(r"[A-Z0-9_]{1,60}", value.upper()):
        raise ValueError("the name of a series, such as VIX or DGS10")
    return value.upper()


#: The name of a source of macro series, and of a series.
MacroSourceName = Annotated[
    str, AfterValidator(_known_macro_source), WithJsonSchema({"type": "string", "enum": list(macro_source_names())})
]
Series = Annotated[str, AfterValidator(_series_name)]


class Macro(_Section):
    path: str | None = Field(None, description="CSV or Parquet of macro series, such as the VIX, or a folder of them")
    source: Annotated[tuple[MacroSourceName, ...], BeforeValidator(listed)] = Field(
        (), max_length=3, description="where macro series come from: files, cboe, fred; asked in this order"
    )
    series: Annotated[tuple[Series, ...], BeforeValidator(listed)] = Field(
        (), max_length=100, description="the series wanted; empty: all that the files hold"
    )
    options: dict[MacroSourceName, dict[str, Any]] = Field(
        default_factory=dict, description="options of each source of macro series by its name"
    )
    lag_sessions: dict[Series, Annotated[int, Field(ge=0, le=500)]] = Field(
        default_factory=dict, description="sessions after its day at whose close a series without release dates is public"
    )

    @property
    def sources(self) -> tuple[str, ...]:
        """The names in the order in which they are asked; a path alone means files."""
        return self.source if self.path is None or "files" in self.source else ("files", *self.source)

    @model_validator(mode="after")
    def _says_what_is_wanted(self) -> Macro:
        asked = [name for name in self.source if name != "files"]
        if asked and not self.series:
            raise ValueError(f'name series for {asked[0]}, for example series = ["{"VIX" if asked[0] == "cboe" else "DGS10"}"]')
        return self


class UserFeatures(_Section):
    file: str | None = Field(None, description="Python file of one's own features, executed as it is; from the home folder")


class Evaluation(_Section):
    valid_sessions: int = Field(250, ge=20, le=2500, description="sessions on which training may choose when to stop")
    test_sessions: int = Field(
        500, ge=40, le=5000, description="last sessions before the origin, used to judge and for nothing else"
    )
    embargo: int = Field(
        0, ge=0, le=250, description="sessions kept free between the outcomes of one span and the origins of the next"
    )
    cost_bps: float = Field(10.0, ge=0, le=1000, description="cost of a trade of the paper portfolio, hundredths of a percent")
    plots: bool = Field(True, description="draw pictures of each evaluation into the folder plots of the home")


class Rivals(_Section):
    garch: bool = Field(
        False, description="also fit GJR-GARCH(1,1)-t for each symbol; needs the extra garch, about 0.1 s a symbol"
    )

    own: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), max_length=10, description="Python files with a forecaster each, executed as they are; from the home folder"
    )

    @field_validator("own")
    @classmethod
    def _one_name_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        names = [name_of(file) for file in value]
        if len(set(names)) < len(names):
            raise ValueError("two files of one name would be one forecaster: give one of them another name")
        return value

    @property
    def names(self) -> tuple[str, ...]:
        """The rivals to fit with a model."""
        return RIVALS + (("garch",) if self.garch else ()) + tuple(name_of(file) for file in self.own)


class Retraining(_Section):
    after_sessions: int = Field(60, ge=1, le=2500, description="a model older than this many sessions is trained anew")
    again_after_sessions: int = Field(
        5, ge=1, le=250, description="so many sessions after a training that failed the next one is tried by itself"
    )


class Promotion(_Section):
    approval: bool = Field(False, description="whether a model that passed the gate waits for a person's yes before it serves")


class Tuning(_Section):
    sampler: Sampler = Field("tpe", description="how the next trial is chosen: tpe learns from the last ones, grid tries all")
    trials: int = Field(30, ge=1, le=10_000, description="specifications to try beside the one in use")
    minutes: float | None = Field(None, gt=0, le=10_000, description="no trial begins after this long; empty: no bound")
    folds: int = Field(3, ge=1, le=20, description="validation spans, one after the other, on which each is tried")
    members: int = Field(1, ge=1, le=20, description="networks that a trial trains; the ensemble is for what is found")
    parallel: int = Field(2, ge=1, le=64, description="trials side by side, each a process of one thread")
    prune: bool = Field(True, description="give up on a trial that falls behind the median of those before it")
    space: dict[str, Any] = Field(default_factory=dict, description="what may change, see docs/tuning.md; empty: the usual")


class Catching(_Section):
    most_sessions: int = Field(250, ge=0, le=5000, description="missed sessions that one daily run catches up, oldest first")


class StorageSettings(_Section):
    memory_mb: int = Field(1024, ge=128, le=1024 * 1024, description="memory that DuckDB may take, MiB")


class Settings(_Section):
    """All settings of a home. Frozen: a run works with the settings that it began with."""

    universe: Universe = Universe()
    source: SourceSettings = SourceSettings()
    sources: dict[SourceName, dict[str, Any]] = Field(default_factory=dict, description="options of each source by its name")
    macro: Macro = Macro()
    lstm: LstmSpec = LstmSpec()
    features: UserFeatures = UserFeatures()
    evaluation: Evaluation = Evaluation()
    quality: QualityThresholds = QualityThresholds()
    gate: GateThresholds = GateThresholds()
    rivals: Rivals = Rivals()
    retraining: Retraining = Retraining()
    drift: DriftThresholds = DriftThresholds()
    promotion: Promotion = Promotion()
    tuning: Tuning = Tuning()
    catching: Catching = Catching()
    storage: StorageSettings = StorageSettings()
    run: Running = Running()
    serve: Serve = Serve()
    notify: Notify = Notify()
    web: WebSettings = WebSettings()

    @property
    def digest(self) -> str:
        """SHA-256 over what decides the content of a run (not over its memory, where its work is done, or whether it draws)."""
        outside = {"storage": True, "run": True, "serve": True, "notify": True, "web": True, "evaluation": {"plots"}}
        content = self.model_dump(mode="json", exclude=outside)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def names_symbols(self) -> bool:
        """Whether somebody chose the symbols, or they are the default."""
        return "universe" in self.model_fields_set and "symbols" in self.universe.model_fields_set


def read_settings(file: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of ``file`` (which need not exist) with those of ``environment`` above them.

    Raises SettingError that names the setting, what was found and what is expected; for an unknown one, the nearest name.
    """
    return settings_of(read_values(file, environment))


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Settings from nested plain values; SettingError for the first thing wrong with them."""
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise _translated(error) from error


def _translated(error: ValidationError) -> SettingError:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _fields_at(place[:-1])
        where = f"one of the settings of [{'.'.join(place[:-1])}]" if len(place) > 1 else "one of the sections"
        return SettingError(name, "unknown", where + nearest(place[-1], known))
    if isinstance(first.get("input"), dict) and first["type"] == "value_error":
        return clash(f"settings of [{name}]", first)
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message else message
    if first["type"] == "literal_error":
        message += nearest(str(first.get("input")).lower(), re.findall(r"'([^']*)'", message), only=True)
    found = "not shown here" if place[-1:] and place[-1] in SECRETS else _short(first.get("input"))
    return SettingError(name or "settings", found, message.removeprefix("input should be "))


def clash(section: str, error: Mapping[str, Any]) -> SettingsClash:
    """What a validator of a whole section (an entry of ``ValidationError.errors()``) says, and the values that it speaks of."""
    message = error["msg"].removeprefix("Value error, ")
    return SettingsClash(section, {n: v for n, v in error["input"].items() if re.search(rf"\b{n}\b", message)}, message)


def _fields_at(place: list[str]) -> list[str]:
    model: Any = Settings
    for part in place:
        model = getattr(model.model_fields.get(part), "annotation", None)
        if not hasattr(model, "model_fields"):
            return []
    return list(model.model_fields)


def _short(value: object) -> object:
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{len(value)} values"
    return value if value is None or isinstance(value, (str, int, float, bool, list, tuple)) else f"a {type(value).__name__}"
