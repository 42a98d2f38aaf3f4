"""Where a flow meets the world: the home folder, the settings, the environment and the clock, each asked once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flows.parameters import Parameters
from tasks.clock import now_utc
from tasks.opening import Asked, home_at, open_run
from tasks.run import Run
from tasks.settings import Settings, read_settings

DEFAULT_HOME = "nextclose-home"


@contextmanager
def running(request: Parameters, **asked: Any) -> Iterator[Run]:
    """A run of the flow that ``request`` is for, open while inside; see ``tasks/opening.py``."""
    flow = type(request).__name__.lower()
    with open_run(Asked(flow=flow, **asked), home_at(home_path(request)), settings_for(request), now_utc()) as run:
        yield run


def home_path(request: Parameters) -> Path:
    """The home asked for, else NEXTCLOSE_HOME, else ``nextclose-home`` in the current folder."""
    return Path(request.home or os.environ.get("NEXTCLOSE_HOME") or DEFAULT_HOME).expanduser().absolute()


def settings_for(request: Parameters) -> Settings:
    """The settings of the home with the environment above them."""
    return read_settings(home_at(home_path(request)).settings, os.environ)
