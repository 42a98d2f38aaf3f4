"""The dear parts of a new edition, made beside before somebody waits for them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from app.web import scores
from app.web.calendars import Calendars
from storage.editions import PATIENT, Edition

log = logging.getLogger("nextclose.web")


class Warming:
    """``epoch`` is the calendars', and the first sight of an edition begins the work on it."""

    def __init__(self, calendars: Calendars, also: Callable[[Edition], object], on: bool = True) -> None:
        self.calendars, self.also, self.on = calendars, also, on
        self._seen, self._lock = "", threading.Lock()

    def epoch(self, edition: Edition) -> str:
        if self.on and edition.id != self._seen:
            with self._lock:
                if edition.id != self._seen:
                    self._seen = edition.id
                    threading.Thread(target=self._warm, args=(edition,), daemon=True).start()
        return self.calendars.epoch(edition)

    def _warm(self, edition: Edition) -> None:
        try:
            with edition.nobody_waits():
                self.also(edition)
            for span in ("1y", "3m"):
                edition.soon(("counted", span), lambda span=span: scores.count(edition, span), PATIENT)
        except Exception as error:  # whoever asks for it will be told
            log.warning("a page could not be prepared: %s", error)
