"""The sources by name. To add one: write a class with the protocol of ``sources.base.Source`` and register it.

    from sources.registry import register_source
    register_source("house", lambda path: HouseSource(path))

The parameters of what is registered are the source's options; an unknown one is refused with the nearest right name.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from forecasting.errors import SettingError

if TYPE_CHECKING:
    from sources.base import Source

# name -> module and class, imported only when asked for: yfinance alone takes a second
_BUILT_IN = {
    "alpha_vantage": ("sources.alpha_vantage", "AlphaVantageSource"),
    "bundled": ("sources.bundled", "BundledSource"),
    "database": ("sources.database", "DatabaseSource"),
    "files": ("sources.files", "FilesSource"),
    "http_csv": ("sources.http_csv", "HttpCsvSource"),
    "kaggle": ("sources.kaggle", "KaggleSource"),
    "nasdaq_data_link": ("sources.nasdaq_data_link", "NasdaqDataLinkSource"),
    "scrape": ("sources.scrape", "ScrapeSource"),
    "stooq": ("sources.stooq", "StooqSource"),
    "synthetic": ("sources.synthetic", "SyntheticSource"),
    "yahoo": ("sources.yahoo", "YahooSource"),
}
# what people call some of them; tables and messages say the name
ALIASES = {"quandl": "nasdaq_data_link", "github": "http_csv", "csv": "files", "sql": "database"}
_registered: dict[str, Callable[..., Source]] = {}


def source_names() -> tuple[str, ...]:
    return tuple(sorted(_BUILT_IN.keys() | _registered.keys()))


def proper_name(name: str) -> str:
    """The name under which a source is stored and shown: 'quandl' is nasdaq_data_link."""
    return ALIASES.get(name, name)


def register_source(name: str, factory: Callable[..., Source]) -> None:
    """Make ``factory`` (a class or function whose parameters are the options) known as ``name``.

    ValueError for a name that is taken by another factory; registering the same one again is fine.
    """
    if name in _BUILT_IN or name in ALIASES or _registered.get(name, factory) is not factory:
        raise ValueError(f"there is already a source called {name!r}")
    _registered[name] = factory


def make_source(name: str, options: Mapping[str, Any] | None = None) -> Source:
    """The source with its options; SettingError for an unknown name, an unknown option or one that is missing."""
    options = dict(options or {})
    name = proper_name(name)
    if name in _registered:
        factory = _registered[name]
    elif name in _BUILT_IN:
        module, cls = _BUILT_IN[name]
        factory = getattr(import_module(module), cls)
    else:
        raise SettingError("source", name, _suggest(name, source_names()))
    return made(factory, options, f"{name} option")


def made(factory: Callable[..., Any], options: Mapping[str, Any], label: str, between: str = " ") -> Any:
    """``factory`` called with its options; SettingError that begins with ``label`` for one that is unknown or
    missing (there ``between`` stands before the option)."""
    parameters = inspect.signature(factory).parameters
    for option in options:
        if option not in parameters:
            raise SettingError(label, option, _suggest(option, tuple(parameters)))
    for option, parameter in parameters.items():
        if parameter.default is inspect.Parameter.empty and option not in options:
            raise SettingError(f"{label}{between}{option}", None, "a value: the source cannot do without")
    return factory(**options)


def _suggest(found: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(found, known, n=1)
    listed = ", ".join(known) or "none, it has no options"
    return f"{near[0]!r} (of {listed})" if near else f"one of {listed}" if known else listed
