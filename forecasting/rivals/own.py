"""Forecasters of one's own, in whatever library: a file with the two functions of a rival, named after the file.

    # torch_lstm.py
    def fit(known, labels):            # learn; the parts that come back are kept in the model folder as plain arrays
        return {"weights": ..., "bias": ...}

    def quantiles(parts, known, rows):  # float64 [N, H, 7], log returns over each horizon
        ...

``forecasting.rivals.known`` says what ``known`` and ``labels`` hold. Such a forecaster is fitted, audited, judged, issued,
scored and served as every other rival; nothing here asks what it was made with, since only its arrays are kept.

The file is executed with all rights of the process. Nothing but the text that a person named is ever handed in here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from forecasting.errors import RivalFileError, UntrustedModel
from forecasting.metrics import LEVELS
from forecasting.rivals.known import Known, Labels, Parts

NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
BATCH = 512  # rows asked for at once, always so many, so that a sum in a library never has another shape

_registered: dict[str, Own] = {}
_texts: dict[str, str] = {}  # file -> the text that it was registered from


@dataclass(frozen=True)
class Own:
    """A rival from a file: its functions behind a check of what they answer."""

    name: str
    file: str
    digest: str  # SHA-256 of the text
    fit_itself: Callable[[Known, Labels], Mapping[str, Any]]
    quantiles_itself: Callable[[Parts, Known, np.ndarray], Any]

    def fit(self, known: Known, labels: Labels) -> dict[str, np.ndarray]:
        """The parts, as arrays of plain numbers; RivalFileError where the function fails or answers something else."""
        parts = self._asked("fit", self.fit_itself, known, labels)
        if not isinstance(parts, Mapping) or not all(isinstance(name, str) for name in parts):
            raise RivalFileError(self.file, f"fit answers a {type(parts).__name__}", "return a dict of name and array")
        arrays = {name: np.array(part) for name, part in parts.items()}
        for name, array in arrays.items():
            if array.dtype.kind not in "biuf":
                raise RivalFileError(self.file, f"fit answers {name!r} of the kind {array.dtype}", "return arrays of numbers")
        return arrays

    def quantiles(self, parts: Parts, known: Known, rows: np.ndarray) -> np.ndarray:
        """The answers for ``rows``, ascending, float64 [N, H, Q].

        Asked in batches of one shape and rounded to single precision, so that a row's answer does not depend on its company
        although a library may add up in another order.
        """
        shape = (len(rows), len(known.horizons), len(LEVELS))
        found = np.empty(shape)
        for begin in range(0, len(rows), BATCH):
            own = rows[begin : begin + BATCH]
            asked = np.concatenate([own, np.repeat(own[:1], BATCH - len(own))])
            answer = np.asarray(self._asked("quantiles", self.quantiles_itself, parts, known, asked), dtype=np.float64)
            if answer.shape != (BATCH, *shape[1:]):
                wanted = "x".join(str(n) for n in (BATCH, *shape[1:]))
                raise RivalFileError(self.file, f"quantiles answers the shape {answer.shape}", f"return {wanted} numbers")
            found[begin : begin + BATCH] = answer[: len(own)]
        if not np.isfinite(found).all():
            row = int(rows[np.flatnonzero(~np.isfinite(found).all(axis=(1, 2)))[0]])
            where = f"{known.panel.symbols[known.panel.symbol_index[row]]} {known.panel.session[row]}"
            raise RivalFileError(self.file, f"quantiles answers no number for {where}", "answer every row that is asked for")
        return np.sort(found.astype(np.float32).astype(np.float64), axis=-1)

    def _asked(self, what: str, function: Callable, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except Exception as error:
            line = _line_of(error, self.file)
            raise RivalFileError(
                self.file, f"{what} fails in line {line}: {type(error).__name__}: {error}", "correct it"
            ) from error


def load_own_rivals(texts: Mapping[str, str]) -> tuple[str, ...]:
    """Execute the texts (file name -> text) and register their forecasters instead of those of before; their names.

    RivalFileError, naming the file, where one cannot be taken as it is; nothing is registered then.
    """
    found = [_loaded(file, text) for file, text in texts.items()]
    _registered.clear()
    _registered.update({own.name: own for own in found})
    _texts.clear()
    _texts.update(texts)
    return tuple(_registered)


def own_rivals_source() -> dict[str, str]:
    """What ``load_own_rivals`` was given, to be given to it in another process."""
    return dict(_texts)


def own_rival(name: str) -> Own | None:
    """The registered forecaster of that name."""
    return _registered.get(name)


def own_names(names: Iterable[str]) -> tuple[str, ...]:
    """Those of ``names`` that come from a file."""
    return tuple(name for name in names if name in _registered)


def own_digests(names: Iterable[str]) -> dict[str, str]:
    """The digest of the text of each of ``names`` that comes from a file: what a model card keeps as ``own_rivals``."""
    return {name: _registered[name].digest for name in own_names(names)}


def require_own_rivals(card: Mapping[str, Any]) -> None:
    """UntrustedModel where a forecaster of a person's own that the model holds is missing or was changed since."""
    for name, digest in (card.get("own_rivals") or {}).items():
        here = _registered.get(name)
        if here is None:
            raise UntrustedModel(
                f"the model holds the forecaster {name}, which is in no file that the settings name; "
                f"put it back into [rivals] own, or type `nextclose retrain`"
            )
        if here.digest != digest:
            raise UntrustedModel(
                f"{here.file} is not the file that the model's forecaster {name} was fitted with ({here.digest[:12]} instead "
                f"of {digest[:12]}); put the old file back, or type `nextclose retrain`"
            )


def name_of(file: str) -> str:
    """The forecaster's name: that of its file. ValueError where that is no name of a forecaster or that of a built-in one."""
    from forecasting.rivals import OPTIONAL, RIVALS

    name = re.sub(r"\.py$", "", re.split(r"[/\\]", file)[-1])
    if not NAME.fullmatch(name):
        raise ValueError(f"{file!r:.80} names a forecaster {name!r:.60}: small letters, digits and _, a letter first")
    if name in (*RIVALS, *OPTIONAL, "lstm", "champion", "served", "joint_bootstrap", "uniform"):
        raise ValueError(f"{file!r:.80} names a forecaster {name!r}, and there is one of that name: give the file another one")
    return name


def _loaded(file: str, text: str) -> Own:
    space: dict[str, Any] = {"__name__": f"own_rival_{name_of(file)}", "__file__": file}
    try:
        exec(compile(text, file, "exec"), space)  # the one text that the person named, and nothing else
    except Exception as error:
        line = getattr(error, "lineno", None) or _line_of(error, file)
        missing = isinstance(error, ModuleNotFoundError)
        advice = "install it where nextclose is, or take the file out of [rivals] own" if missing else "correct it"
        raise RivalFileError(file, f"{type(error).__name__} in line {line}: {error}", advice) from error
    missing = [name for name in ("fit", "quantiles") if not callable(space.get(name))]
    if missing:
        raise RivalFileError(file, f"no function {' and none '.join(missing)} in it", "see docs/rivals.md for the two it takes")
    return Own(name_of(file), file, hashlib.sha256(text.encode()).hexdigest(), space["fit"], space["quantiles"])


def _line_of(error: BaseException, file: str) -> int | str:
    """The line of ``file`` in which the error arose."""
    line, trace = "?", error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
