"""Processes that work beside the run: one thread each, and gone when the run is."""

from __future__ import annotations

import os
import threading
import time

from forecasting.features.user import load_user_features


def become_worker(parent: int, own_features: tuple[str | None, ...]) -> None:
    """Make this process a worker of ``parent`` (its process id).

    One thread in TensorFlow, and an end when the parent is no more: one that was killed cannot say so. ``own_features``: what
    ``user_source`` answers in the parent, since a process of its own knows nothing of them.
    """
    from forecasting.lstm import configure_tensorflow

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    configure_tensorflow(threads=1)
    load_user_features(*own_features)
