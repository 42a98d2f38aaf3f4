"""The sources of a run, in the order in which they are asked for a symbol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any

from forecasting.errors import InputError, NextcloseError, SourceDown, SourceError
from sources.registry import make_source, proper_name

if TYPE_CHECKING:
    from sources.base import Fetched, Source
    from tasks.settings import Settings


@dataclass(frozen=True)
class CannotBeRead:
    """A stand-in that cannot be read today: it is in nobody's way, and is asked only where a symbol has no other source."""

    name: str
    error: NextcloseError

    def symbols(self) -> tuple[str, ...]:
        return ()

    def fetch(self, symbols: Sequence[str], start: date | None = None, end: date | None = None) -> Fetched:
        raise SourceDown(self.name, None, str(self.error))

    def identity(self) -> str:
        return f"{self.name}:cannot be read"


@dataclass(frozen=True)
class Ranked:
    """``sources`` by name; ``order`` for every symbol but those with one of their own in ``own``.

    The first source of a symbol's order is asked first; where it has no answer the next one is. The one after the source
    that answered also checks what it said, where ``check`` is set.
    """

    sources: Mapping[str, Source]
    order: tuple[str, ...]
    own: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    check: bool = True

    @property
    def first(self) -> Source:
        return self.sources[self.order[0]]

    @property
    def several(self) -> bool:
        return len(self.sources) > 1

    def order_of(self, symbol: str) -> tuple[str, ...]:
        return self.own.get(symbol, self.order)

    def asked_for(self, symbol: str) -> tuple[str, ...]:
        """Those of its order that can be read; all where none can, so that the reason is said."""
        order = self.order_of(symbol)
        return tuple(name for name in order if not isinstance(self.sources[name], CannotBeRead)) or order

    def after(self, symbol: str, name: str) -> tuple[str, ...]:
        """Those that are asked for the symbol where ``name`` has no answer."""
        order = self.asked_for(symbol)
        return order[order.index(name) + 1 :]

    def checker_of(self, symbol: str, answered: str) -> str | None:
        """The source that checks what ``answered`` said of the symbol, None where there is none."""
        others = [name for name in self.asked_for(symbol) if name != answered]
        return others[0] if others and self.check else None

    def unreadable(self) -> list[str]:
        """Why stand-ins cannot be read, a line each."""
        return [
            f"{source.name} cannot stand in or check: {source.error}"
            for source in self.sources.values()
            if isinstance(source, CannotBeRead)
        ]

    def identity(self) -> str:
        """What the prices come from; the same text means the same answers, except for live sources."""
        if not self.several:
            return self.first.identity()
        order = f"{','.join(self.order)} {sorted(self.own.items())} {self.check}"
        return " ".join([order, *(source.identity() for _, source in sorted(self.sources.items()))])


def _standing_in(source: Source) -> Source:
    """The source where it can be read."""
    try:
        source.identity(), source.symbols()
    except (InputError, SourceError) as error:
        return CannotBeRead(source.name, error)
    return source


def ranked_sources(settings: Settings, asked: str | None, asked_options: Mapping[str, Any]) -> Ranked:
    """The sources by the settings; one that was asked for by name is asked alone.

    Raises SettingError for an unknown source or option.
    """
    chosen = settings.source
    first = proper_name(asked or chosen.name)
    order = (first,) if asked else tuple(dict.fromkeys((first, *chosen.then)))
    own = {} if asked else {symbol: tuple(names) for symbol, names in chosen.per_symbol.items()}
    names = sorted({*order, *(name for names in own.values() for name in names)})
    sources = {}
    for name in names:
        options = dict(settings.sources.get(name, {}))
        if name == chosen.name:
            options |= dict(chosen.options)
        if name == first:
            options |= dict(asked_options)
        source = make_source(name, options)
        sources[name] = source if name == first else _standing_in(source)
    return Ranked(sources, order, own, chosen.check)
