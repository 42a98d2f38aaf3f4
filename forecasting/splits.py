"""Chronological, purged spans: what may be learnt from, what may be chosen on, and what is only ever judged on.

There is no shuffled split in the product, and no code path that could make one: a row's span follows from the session
of its origin and the session at which its outcome settles.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from forecasting.errors import InputError, NotEnoughHistory
from forecasting.panel import Panel
from forecasting.targets import Targets


@dataclass(frozen=True)
class Spans:
    """Three spans of sessions, each up to and including its end; a span begins after the end of the one before.

    ``embargo``: sessions at the end of the training and of the validation span in which no outcome of theirs may settle any
    more. The earlier span gives way, so that what is judged is the same whatever the embargo.
    ``train_begin``: first session that may be learnt from; None: the first there is.
    """

    train_end: date
    valid_end: date
    test_end: date
    embargo: int = 0
    train_begin: date | None = None

    def __post_init__(self) -> None:
        if self.embargo < 0 or (self.train_begin is not None and self.train_begin > self.train_end):
            raise InputError(
                f"embargo {self.embargo} from {self.train_begin or 'the first session'} to {self.train_end} leaves nothing to "
                "learn from; give an embargo of 0 or more and a training span that begins before it ends"
            )
        if not self.train_end < self.valid_end < self.test_end:
            raise InputError(
                f"spans must follow one another: train to {self.train_end}, validate to {self.valid_end}, "
                f"test to {self.test_end}; put the dates in order"
            )


def label_masks(panel: Panel, targets: Targets, spans: Spans) -> dict[str, np.ndarray]:
    """For 'train', 'valid' and 'test' the labels that belong there, bool [R, H].

    A label belongs to a span when its origin lies in the span **and** its outcome settles inside the span. Labels that
    straddle a border belong to none: that is the purge (López de Prado 2018, section 7.4.1). Between the last outcome of a
    span and the first origin of the next lie at least ``spans.embargo`` whole sessions (section 7.4.2).
    """
    known = np.isfinite(targets.returns) & np.isfinite(targets.scale)[:, None]
    ends = [
        np.searchsorted(panel.sessions, np.datetime64(end, "D"), side="right")
        for end in (spans.train_end, spans.valid_end, spans.test_end)
    ]
    masks, begin = {}, 0
    if spans.train_begin is not None:
        begin = np.searchsorted(panel.sessions, np.datetime64(spans.train_begin, "D"))
    for name, end, gap in zip(("train", "valid", "test"), ends, (spans.embargo, spans.embargo, 0), strict=True):
        masks[name] = known & ((panel.at >= begin) & (panel.at < end))[:, None] & (targets.settles_at < end - gap)
        begin = end
    return masks


def default_spans(
    sessions: np.ndarray, origin: date, valid_sessions: int, test_sessions: int, lookback: int, embargo: int = 0
) -> Spans:
    """Spans that end at ``origin``: the last ``test_sessions`` judge, the ``valid_sessions`` before them choose.

    With a short history both shrink to a sixth of it, so that two thirds stay to learn from.
    Raises NotEnoughHistory where the training span would be shorter than twice the lookback.
    """
    sessions = sessions[sessions <= np.datetime64(origin, "D")]
    test = min(test_sessions, len(sessions) // 6)
    valid = min(valid_sessions, len(sessions) // 6)
    train = len(sessions) - test - valid
    if train < 2 * lookback or min(test, valid) < 1:
        raise NotEnoughHistory("the universe", len(sessions), 3 * lookback + 1, "training, validation and test", origin)
    day = sessions.astype("datetime64[D]").astype(object)
    return Spans(day[train - 1], day[train + valid - 1], day[-1], embargo)
