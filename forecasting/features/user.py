"""Features of one's own: plain functions in one file, registered beside the built-in ones and audited as they are.

    def gap_over_range(bars):
        \"\"\"Overnight gap over the mean range of the last 20 sessions.\"\"\"
        ...
        return values  # as many as there are bars

    gap_over_range.warm_up = 20

A function whose one parameter is called ``bars`` is a feature of its name; its docstring is its definition. It is called with
the whole history of one symbol at a time. ``warm_up`` (250 where it is not said) is how many sessions before a value decide
it: the first so many values are taken as unknown, and a feature that looks further back is refused.

The file is executed with all rights of the process. Nothing but the text that a person named is ever handed in here.
"""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from forecasting.errors import FeatureFileError, UntrustedModel
from forecasting.features import Feature, compute_features
from forecasting.features import registry as features
from forecasting.features.blocks import Block
from forecasting.panel import Panel

if TYPE_CHECKING:
    from forecasting.audit.features import AuditReport

GROUP = "user"
WARM_UP = 250  # sessions, where the function does not say
MOST_WARM_UP = 2500
TRIED = (0, 1, 2, 5, 10, 20, 40, 60, 120, 250, 500, 1000, 2500)  # when it is measured what a feature needs
ALIKE = 1e-4  # of a feature's spread: two values no further apart than this are the same
NAME = re.compile(r"[a-z][a-z0-9_]{0,59}")
INPUTS = ("open", "high", "low", "close", "volume", "split", "dividend", "market", "macro")

_registered: dict[str, tuple[str, str]] = {}  # name -> digest of the text, file
_source: list[tuple[str, str]] = []  # the text and the file that they come from


@dataclass(frozen=True)
class Bars:
    """The history of one symbol, oldest first; read-only arrays of N rows, float64 but for ``session``.

    Prices and volume are carried forward by splits: in units of the first row, so that no later split changes them.
    NaN is a value that is not known. ``returns`` are daily log total returns, NaN at the first row.
    """

    symbol: str
    session: np.ndarray  # datetime64[D]
    open: np.ndarray
    high: np.ndarray
    low: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    returns: np.ndarray
    _by_session: Callable[[str], np.ndarray] = field(repr=False)

    def __len__(self) -> int:
        return len(self.close)

    @property
    def market(self) -> np.ndarray:
        """Mean daily log total return of the market's symbols that had closed by the close of each session."""
        return self._by_session("market")

    def macro(self, series: str) -> np.ndarray:
        """The value of a macro series (``VIX``, ``DGS10``) known at the close of each session; NaN where there is none."""
        return self._by_session(series)


def load_user_features(text: str | None, file: str = "features.py") -> dict[str, str]:
    """Execute ``text`` and register its features instead of those of before; name -> SHA-256 of the text. None: none.

    FeatureFileError, naming ``file`` and the line or function, where it cannot be taken as it is; nothing is registered
    then.
    """
    found = _functions(text, file) if text is not None else {}
    forget_user_features()
    digest = hashlib.sha256((text or "").encode()).hexdigest()
    for name, function in found.items():
        _register(name, function, digest, file)
    _source.extend([(text, file)] if text is not None else [])
    return {name: digest for name in found}


def forget_user_features() -> None:
    """Take the features of a file out of the registry."""
    for name in _registered:
        features._FAMILIES.pop(name, None)
    _registered.clear()
    _source.clear()


def user_source() -> tuple[str, str] | tuple[None]:
    """What ``load_user_features`` was given, to be given to it in another process."""
    return _source[0] if _source else (None,)


def user_digests(names: Sequence[str]) -> dict[str, str]:
    """Those of ``names`` that come from a file, with the digest of its text: what a model card keeps as ``user_features``."""
    return {name: _registered[name][0] for name in names if name in _registered}


def unusable(card: Mapping[str, Any]) -> str | None:
    """Why a model of this card cannot be used with the features at hand, one sentence with what to type; None: it can."""
    for name, digest in (card.get("user_features") or {}).items():
        here = _registered.get(name)
        if here is None:
            return (
                f"the model needs the feature {name}, which is in no file that the settings name; "
                "set [features] file to it, or type `nextclose retrain`"
            )
        if here[0] != digest:
            return (
                f"{here[1]} is not the file that the model's feature {name} was trained with ({here[0][:12]} instead of "
                f"{digest[:12]}); put the old file back, or type `nextclose retrain`"
            )
    return None


def require_user_features(card: Mapping[str, Any]) -> None:
    """UntrustedModel where the model's own features are missing or were changed since it was trained."""
    reason = unusable(card)
    if reason is not None:
        raise UntrustedModel(reason)


def check_user_features(names: Sequence[str], panel: Panel, macro: pd.DataFrame | None = None) -> None:
    """FeatureFileError naming the first feature of a file among ``names`` whose value depends on more than its warm-up.

    The last values of the three longest histories are computed once more from ``warm_up`` sessions before them alone.
    Whether they see the future is asked by ``forecasting.audit.features`` after the training, of these as of all features; here
    already, with LeakFound, of one that fails: what depends on the whole history may depend on its end.
    """
    for name in user_digests(names):
        one = features.feature(name)
        if _enough(one, panel, macro, one.warm_up) is False:
            _audited(name, panel, macro).raise_if_leaky()
            needed = next((n for n in TRIED if n > one.warm_up and _enough(one, panel, macro, n)), None)
            advice = (
                f"write `{name}.warm_up = {needed}` below it" if needed is not None
                else "its value depends on where the history begins: let it forget, for example with a window"
            )  # fmt: skip
            problem = f"{name} looks further back than the {one.warm_up} sessions of its warm-up"
            raise FeatureFileError(_registered[name][1], problem, advice)


def _audited(name: str, panel: Panel, macro: pd.DataFrame | None) -> AuditReport:
    from forecasting.audit.features import audit

    return audit(lambda p, m: compute_features(p, (name,), macro=m, threads=1).values, panel, macro, (name,), symbols=2, cuts=3)


def _enough(one: Feature, panel: Panel, macro: pd.DataFrame | None, rows: int) -> bool | None:
    """Whether ``rows`` earlier sessions give the same last value; None where no history is long enough to tell."""
    told = None
    length = np.diff(panel.starts)
    for i in np.argsort(-length, kind="stable")[:3]:
        if length[i] <= rows + 1:
            continue
        alone = panel.only((panel.symbols[i],))
        whole = _unmasked(one, alone, macro)
        spread = np.nanstd(whole) if np.isfinite(whole).any() else 0.0
        for end in range(len(whole), max(len(whole) - 3, rows + 1), -1):
            session = alone.session
            kept = alone.take_rows(session >= session[end - 1 - rows])  # what comes later stays: that is the audit's business
            short = _unmasked(one, kept, macro)[rows]
            same = abs(short - whole[end - 1]) <= ALIKE * spread or (np.isnan(short) and np.isnan(whole[end - 1]))
            if not same:
                return False
            told = True
    return told


def _unmasked(one: Feature, panel: Panel, macro: pd.DataFrame | None) -> np.ndarray:
    """The values that the function itself answers, its warm-up not taken out."""
    bare = replace(one, compute=one.compute.bare)  # type: ignore[attr-defined]
    return compute_features(panel, (bare,), macro=macro, threads=1).values[:, 0]


def _functions(text: str, file: str) -> dict[str, FunctionType]:
    """The feature functions of the text, in its order."""
    space: dict[str, Any] = {"__name__": "user_features", "__file__": file}
    try:
        exec(compile(text, file, "exec"), space)  # the one text that the person named, and nothing else
    except Exception as error:
        line = getattr(error, "lineno", None) or _line_of(error, file)
        raise FeatureFileError(file, f"{type(error).__name__} in line {line}: {error}", "correct it") from error
    found = {name: value for name, value in space.items() if _is_feature(name, value, file)}
    if not found:
        raise FeatureFileError(file, "no function with the one parameter `bars` in it", "write `def my_feature(bars):`")
    for name, function in found.items():
        _refuse(name, function, file)
    return found


def _is_feature(name: str, value: object, file: str) -> bool:
    here = isinstance(value, FunctionType) and value.__code__.co_filename == file and not name.startswith("_")
    return here and list(inspect.signature(value).parameters) == ["bars"]


def _refuse(name: str, function: FunctionType, file: str) -> None:
    """FeatureFileError where the function cannot be a feature."""
    warm_up = getattr(function, "warm_up", WARM_UP)
    if not NAME.fullmatch(name):
        raise FeatureFileError(file, f"{name} is no name of a feature", "use small letters, digits and _, a letter first")
    if not function.__doc__:
        raise FeatureFileError(file, f"{name} has no docstring, and that is its definition", "say in it what it computes")
    if isinstance(warm_up, bool) or not isinstance(warm_up, int) or not 0 <= warm_up <= MOST_WARM_UP:
        raise FeatureFileError(file, f"{name}.warm_up is {warm_up!r}", f"a whole number of sessions up to {MOST_WARM_UP}")
    if name not in _registered and features.is_known(name):
        raise FeatureFileError(file, f"{name} is the name of a built-in feature", "give it another one")


def _register(name: str, function: FunctionType, digest: str, file: str) -> None:
    warm_up = int(getattr(function, "warm_up", WARM_UP))

    def bare(block: Block) -> np.ndarray:
        out = np.empty(len(block.at))
        for a, b, bars in _each(block):
            out[a:b] = _answer(name, function, file, bars)
        return out

    def compute(block: Block) -> np.ndarray:
        out = np.full(len(block.at), np.nan)
        for a, b, bars in _each(block):
            if b - a > warm_up:
                out[a + warm_up : b] = _answer(name, function, file, bars)[warm_up:]
        return out

    compute.__name__, compute.__doc__, compute.bare = name, function.__doc__, bare
    features.register(inputs=INPUTS, warm_up=warm_up, group=GROUP, version=digest[:12])(compute)
    _registered[name] = (digest, file)


def _each(block: Block) -> Iterator[tuple[int, int, Bars]]:
    columns = (block.open, block.high, block.low, block.close, block.volume, block.returns)
    session = block.day.astype("datetime64[D]")

    def series(a: int, b: int) -> Callable[[str], np.ndarray]:
        def at(name: str) -> np.ndarray:
            if name == "market":
                return block.by_session("mean", lambda m: m.mean)[a:b]
            return block.by_session(f"macro {name}", lambda m: m.macro_value(name))[a:b]

        return at

    for symbol, a, b in zip(block.symbols, block.starts[:-1].tolist(), block.starts[1:].tolist(), strict=True):
        arrays = [column[a:b] for column in (session, *columns)]
        for array in arrays:  # of the view alone: what a function does to its bars must not reach another feature
            array.flags.writeable = False
        yield a, b, Bars(symbol, *arrays, series(a, b))


def _answer(name: str, function: FunctionType, file: str, bars: Bars) -> np.ndarray:
    try:
        values = np.asarray(function(bars), dtype=np.float64)
    except Exception as error:
        where = f"{name} fails in line {_line_of(error, file)} with {len(bars)} bars of {bars.symbol}"
        raise FeatureFileError(
            file, f"{where}: {type(error).__name__}: {error}", "let it answer NaN where it cannot"
        ) from error
    if values.shape != (len(bars),):
        found = f"{name} answers values of the shape {values.shape} for {len(bars)} bars"
        raise FeatureFileError(file, found, "return one number a bar")
    return values


def _line_of(error: BaseException, file: str) -> int | str:
    """The line of ``file`` in which the error arose."""
    line, trace = "?", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
