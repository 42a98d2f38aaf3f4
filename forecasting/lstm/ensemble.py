"""The networks of a model: some members from different seeds, one set for all symbols or one for each.

Their weights lie in the model's arrays as ``lstm/MEMBER/NN``, or ``lstm/SYMBOL/MEMBER/NN`` where each symbol has its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from forecasting.errors import UntrustedModel
from forecasting.lstm.network import LstmSpec, Network
from forecasting.panel import Panel

if TYPE_CHECKING:
    from forecasting.lstm.inference import Compiled

Progress = Callable[[str, int, int], None]  # stage, done, of how many
Looked = Callable[[int, int, float], None]  # member, look, validation loss; what it raises ends the training
Starts = tuple[np.ndarray, ...]  # each a table [H, Q] or the weights of a linear model [H, Q, 1 + F]


@dataclass(frozen=True)
class Lesson:
    """What the networks of one symbol, or of all, are trained from; see ``Trainer``. Plain values, fit for another process.

    ``symbol`` is None for the networks of all symbols; ``starts``: what the members begin with, taken in turn.
    """

    spec: LstmSpec
    symbol: str | None
    panel: Panel
    x: np.ndarray
    y: np.ndarray
    train: np.ndarray
    valid: np.ndarray
    starts: Starts
    excess: np.ndarray | None = None

    def of(self, symbol: str) -> Lesson:
        """The part of one symbol."""
        i = self.panel.symbols.index(symbol)
        rows = slice(int(self.panel.starts[i]), int(self.panel.starts[i + 1]))
        parts = {name: getattr(self, name)[rows] for name in ("x", "y", "train", "valid")}
        excess = None if self.excess is None else self.excess[rows]
        return replace(self, symbol=symbol, panel=self.panel.only((symbol,)), **parts, excess=excess)


Learnt = tuple[dict[str, np.ndarray], list[dict]]  # weights by name, and one history a network
Spread = Callable[[Callable[[Lesson], Learnt], Sequence[Lesson]], Iterable[Learnt]]  # like ``map``, wherever it is done


def train_networks(
    lesson: Lesson, progress: Progress | None = None, looked: Looked | None = None, spread: Spread = map
) -> Learnt:
    """Train every network of the lesson's spec. Returns the weights and one history a network.

    With ``per_symbol`` each symbol is a lesson of its own, all of them handed to ``spread``: in which process one is learnt
    changes no bit of it. A symbol without a training sequence gets no network, and nobody is told of the looks. Networks of
    all symbols are trained here, one after the other: two cores are busy with one of them already.
    """
    if not lesson.spec.per_symbol:
        return learn(lesson, progress, looked)
    arrays: dict[str, np.ndarray] = {}
    histories: list[dict] = []
    lessons = [lesson.of(symbol) for symbol in lesson.panel.symbols]
    for done, (weights, told) in enumerate(spread(learn, lessons)):
        arrays |= weights
        histories += told
        if progress:
            progress("training", done + 1, len(lessons))
    return arrays, histories


def learn(lesson: Lesson, progress: Progress | None = None, looked: Looked | None = None) -> Learnt:
    """Train the members of one lesson, one after the other; nothing for a symbol without a training sequence."""
    from forecasting.lstm.training import train_member

    spec, symbol = lesson.spec, lesson.symbol
    given = (lesson.panel, lesson.x, lesson.y, lesson.train, lesson.valid)
    arrays: dict[str, np.ndarray] = {}
    histories: list[dict] = []
    for member in range(spec.members):
        start = start_of(lesson.starts, member)
        try:
            weights, history = train_member(spec, member, *given, start, progress, looked, lesson.excess)
        except ValueError:  # no training sequence
            if symbol is None:
                raise
            break
        arrays |= {f"{_stem(symbol)}/{member}/{i:02d}": w for i, w in enumerate(weights)}
        histories.append(history.as_card() | ({} if symbol is None else {"symbol": symbol}))
    return arrays, histories


def start_of(starts: Starts, member: int) -> np.ndarray:
    """What ``member`` (from 0) begins with."""
    return starts[member % len(starts)]


def _stem(symbol: str | None) -> str:
    return "lstm" if symbol is None else f"lstm/{symbol}"


@dataclass(frozen=True)
class Ensemble:
    """The trained networks of a model. ``starts``: what the members began with, in turn; ``symbols``: those that were learnt
    from, in the order of the embedding."""

    spec: LstmSpec
    arrays: Mapping[str, np.ndarray]
    starts: Starts
    symbols: tuple[str, ...]

    def knows(self, symbol: str) -> bool:
        """Whether there is a network for ``symbol``: always, unless each symbol has its own."""
        return not self.spec.per_symbol or f"{_stem(symbol)}/0/00" in self.arrays

    def answers(self, panel: Panel, x: np.ndarray, rows: np.ndarray, progress: Progress | None = None) -> np.ndarray:
        """The mean of the members' answers for ``rows`` (int [N]), float64 [N, H, Q] or, for points, [N, H].

        NaN for a row of a symbol that no network knows.
        """
        who = np.array([self.number(symbol) for symbol in panel.symbols], dtype=np.int64)
        if not self.spec.per_symbol:
            return self._mean(None, panel, x, rows, progress, who)
        shape = self.starts[0].shape[: 2 if self.spec.output == "quantiles" else 1]
        found, index = np.full((len(rows), *shape), np.nan), panel.symbol_index[rows]
        for i in np.unique(index):
            if self.knows(panel.symbols[i]):
                mine = np.flatnonzero(index == i)
                found[mine] = self._mean(panel.symbols[i], panel, x, rows[mine], progress, who)
        return found

    def number(self, symbol: str) -> int:
        """The symbol's number in the embedding, from 1; 0 for a stranger."""
        return self._numbers.get(symbol, 0)

    def networks(self, symbol: str) -> Iterator[Network]:
        """The members that answer for ``symbol``: few networks, compiled once, with the weights of one after the other."""
        return (one.network for one in self._compiled_members(symbol))

    def _compiled_members(self, symbol: str) -> Iterator[Compiled]:
        for member in range(self.spec.members):
            one = self._compiled(start_of(self.starts, member).shape)
            with one.lock:
                one.network.start.assign(start_of(self.starts, member))
                one.network.set_weights(self._weights(one.network, symbol if self.spec.per_symbol else None, member))
                yield one

    def _mean(self, symbol: str | None, panel: Panel, x: np.ndarray, rows: np.ndarray, progress, who: np.ndarray) -> np.ndarray:
        parts = [one.run(panel, x, rows, progress, who).astype(np.float64) for one in self._compiled_members(symbol or "")]
        return np.sum(parts, axis=0) / len(parts)

    def _weights(self, network: Network, symbol: str | None, member: int) -> list[np.ndarray]:
        """The weights of one member, in the network's order."""
        expected = [tuple(w.shape) for w in network.weights]
        names = [f"{_stem(symbol)}/{member}/{i:02d}" for i in range(len(expected))]
        stored = [self.arrays[name] for name in names if name in self.arrays]
        if [a.shape for a in stored] != expected:
            raise UntrustedModel("the stored weights do not fit the network that the card describes; type `nextclose retrain`")
        return stored

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {symbol: i for i, symbol in enumerate(self.symbols, 1)} if self.spec.embedding_units else {}

    def _compiled(self, shape: tuple[int, ...]) -> Compiled:
        """A network of the spec and its forecasting function, shared with the other models of the same spec."""
        from forecasting.lstm.inference import compiled

        symbols = len(self.symbols) if self.spec.embedding_units else 0
        return compiled(self.spec, len(self.spec.features), tuple(shape), symbols)
