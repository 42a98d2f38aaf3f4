"""Every setting, its default and its limits; one TOML file in the home folder, the environment above it.

    [universe]
    symbols = ["AAPL", "MSFT", "TSLA"]

    [retraining]
    after_sessions = 60

``NEXTCLOSE_UNIVERSE__SYMBOLS='["TSLA"]'`` or ``NEXTCLOSE_UNIVERSE__SYMBOLS=TSLA,AAPL`` says the same from outside, and
wins. TOML keeps tickers such as ``ON`` and ``0700.HK`` the text that they are.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import tomllib
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
)

from forecasting.errors import SettingError, SymbolError
from forecasting.gate import GateThresholds
from forecasting.lstm import LstmSpec
from forecasting.symbols import normalise_symbols
from sources.registry import source_names

PREFIX = "NEXTCLOSE_"
#: Names that start like a setting and are none; each is read in the one place that needs it.
NOT_SETTINGS = frozenset({"HOME", "DEBUG", "FAULT", "PYTHON", "THREADS", "SHARED_DATA"})
MOST_SYMBOLS = 5000
DEFAULT_SYMBOLS = ("AAPL", "AMZN", "GOOG", "META", "MSFT", "NVDA", "TSLA")


def _listed(value: object) -> object:
    """'TSLA,AAPL' from the environment is a list."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _known_source(value: str) -> str:
    if value not in source_names():
        close = difflib.get_close_matches(value, source_names(), n=1)
        raise ValueError(f"one of {', '.join(source_names())}" + (f"; did you mean {close[0]!r}?" if close else ""))
    return value


#: The name of a registered source; a form shows the built-in ones to choose from.
SourceName = Annotated[str, AfterValidator(_known_source), WithJsonSchema({"type": "string", "enum": list(source_names())})]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Universe(_Section):
    symbols: Annotated[tuple[str, ...], BeforeValidator(_listed)] = Field(
        DEFAULT_SYMBOLS, min_length=1, max_length=MOST_SYMBOLS, description="forecast every day when a run names none"
    )

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
    chunk: int = Field(50, ge=1, le=1000, description="symbols fetched and stored in one step")
    trailing_sessions: int = Field(10, ge=1, le=250, description="sessions asked for again each day, to see revisions")
    final_after_minutes: int = Field(30, ge=0, le=24 * 60, description="a bar counts from this long after its session's close")


class Macro(_Section):
    path: str | None = Field(None, description="CSV or Parquet of macro series known at each session's close, such as the VIX")


class Evaluation(_Section):
    valid_sessions: int = Field(250, ge=20, le=2500, description="sessions on which training may choose when to stop")
    test_sessions: int = Field(
        500, ge=40, le=5000, description="last sessions before the origin, used to judge and for nothing else"
    )


class Retraining(_Section):
    after_sessions: int = Field(60, ge=1, le=2500, description="a model older than this many sessions is trained anew")


class Catching(_Section):
    most_sessions: int = Field(250, ge=0, le=5000, description="missed sessions that one daily run catches up, oldest first")


class StorageSettings(_Section):
    memory_mb: int = Field(1024, ge=128, le=1024 * 1024, description="memory that DuckDB may take, MiB")


class Settings(_Section):
    """All settings of a home. Frozen: a run works with the settings that it began with."""

    universe: Universe = Universe()
    source: SourceSettings = SourceSettings()
    macro: Macro = Macro()
    lstm: LstmSpec = LstmSpec()
    evaluation: Evaluation = Evaluation()
    gate: GateThresholds = GateThresholds()
    retraining: Retraining = Retraining()
    catching: Catching = Catching()
    storage: StorageSettings = StorageSettings()

    @property
    def digest(self) -> str:
        """SHA-256 over what decides the content of a run (not over how much memory it may use)."""
        content = self.model_dump(mode="json", exclude={"storage"})
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    @property
    def names_symbols(self) -> bool:
        """Whether somebody chose the symbols, or they are the default."""
        return "universe" in self.model_fields_set and "symbols" in self.universe.model_fields_set


def read_settings(file: Path, environment: Mapping[str, str]) -> Settings:
    """The settings of ``file`` (which need not exist) with those of ``environment`` above them.

    Raises SettingError that names the setting, what was found and what is expected; for an unknown one, the nearest name.
    """
    values: dict[str, Any] = {}
    if file.exists():
        try:
            values = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise SettingError(str(file), "not readable", f'TOML such as [universe] symbols = ["TSLA"]; {error}') from error
        except OSError as error:
            raise SettingError(str(file), "not readable", f"a file that may be read; {error.strerror}") from error
    for name, text in sorted(environment.items()):
        if name.startswith(PREFIX) and name.removeprefix(PREFIX) not in NOT_SETTINGS:
            _put(values, name, text)
    return settings_of(values)


def settings_of(values: Mapping[str, Any]) -> Settings:
    """Settings from nested plain values; SettingError for the first thing wrong with them."""
    try:
        return Settings.model_validate(dict(values))
    except ValidationError as error:
        raise _translated(error) from error


def _put(values: dict[str, Any], name: str, text: str) -> None:
    *sections, key = name.removeprefix(PREFIX).lower().split("__")
    if len(sections) == 0:
        raise SettingError(name, text, f"a name such as {PREFIX}UNIVERSE__SYMBOLS" + _nearest(key, list(Settings.model_fields)))
    place = values
    for section in sections:
        place = place.setdefault(section, {})
        if not isinstance(place, dict):
            raise SettingError(name, text, f"a value of [{sections[0]}], which is not a section in the settings file")
    place[key] = _parsed(text)


def _parsed(text: str) -> object:
    """A list or table in JSON; anything else stays the text that it is, for pydantic to read as what the setting wants."""
    if not text.lstrip().startswith(("[", "{")):
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text


def _translated(error: ValidationError) -> SettingError:
    first = error.errors(include_url=False)[0]
    place = [str(part) for part in first["loc"]]
    name = ".".join(place)
    if first["type"] == "extra_forbidden":
        known = _fields_at(place[:-1])
        where = f"one of the settings of [{'.'.join(place[:-1])}]" if len(place) > 1 else "one of the sections"
        return SettingError(name, "unknown", where + _nearest(place[-1], known))
    message = first["msg"].removeprefix("Value error, ")
    message = message[0].lower() + message[1:] if message else message
    return SettingError(name or "settings", _short(first.get("input")), message.removeprefix("input should be "))


def _fields_at(place: list[str]) -> list[str]:
    model: Any = Settings
    for part in place:
        model = getattr(model.model_fields.get(part), "annotation", None)
        if not hasattr(model, "model_fields"):
            return []
    return list(model.model_fields)


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f"; did you mean {close[0]!r}?" if close else (f" ({', '.join(known)})" if known else "")


def _short(value: object) -> object:
    if isinstance(value, (list, tuple)) and len(value) > 8:
        return f"{len(value)} values"
    return value if value is None or isinstance(value, (str, int, float, bool, list, tuple)) else f"a {type(value).__name__}"
