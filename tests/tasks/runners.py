"""What the tests of spread work share: a job, and a home with a runner in its settings."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.settings_running import Running


def who(number: int) -> tuple[int, int]:
    if number < 0:
        raise ValueError("negative")
    return number, os.getpid()


def with_run(home: Path, how: Running, more: str = "") -> str:
    """Add the runner to a home's settings; its path."""
    with (home / "settings.toml").open("a", encoding="utf-8") as file:
        file.write(f'{more}\n[run]\ntask_runner = "{how.task_runner}"\n')
        if how.address:
            file.write(f'address = "{how.address}"\n')
        if how.workers:
            file.write(f"workers = {how.workers}\n")
    return str(home)
