"""The page on scaling says what the code and its own arithmetic say."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

from storage.store import Store
from tasks.settings import MOST_SYMBOLS, settings_of
from tasks.settings_running import TaskRunner

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")


def test_runners__are_all_there_with_the_extra_that_each_needs():
    table = dict(re.findall(r"^\| `(\w+)` \| .* \| (.+) \|$", PAGE, flags=re.MULTILINE))
    assert set(table) == set(get_args(TaskRunner))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert all(f"nextclose[{name}]" in table[name] and name in extras for name in ("dask", "ray"))


def test_example__is_a_setting():
    example = tomllib.loads(re.search(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL).group(1))
    assert settings_of(example).run.task_runner == "dask"
    assert f"names {MOST_SYMBOLS:,} at most" in PAGE


def test_store__has_so_many_methods_as_the_page_says():
    assert len([name for name in vars(Store) if not name.startswith("_")]) == 8 and "eight methods" in PAGE


def test_arithmetic__is_right():
    """From the figures of the first table: 43 bytes a row of the ledger, 17 a bar, 520 + 0.87 GB of memory, 12 s + 10 s."""

    def row(name: str) -> str:
        return [line for line in PAGE.splitlines() if line.startswith(f"| {name}")][-1]

    for symbols, rows, memory, minutes, bars, year in (
        (8_000, "10 million", "6.1 GB", "9 min", "170 MB", "2.1 GB"),
        (80_000, "101 million", "53 GB", "83 min", "1.7 GB", "21 GB"),
    ):
        count = symbols * 1260
        assert rows in row("rows") and abs(count / 1e6 - float(rows.split()[0])) < 0.5
        assert memory in row("memory of a training") and abs(0.87 + count * 520e-9 - float(memory.split()[0])) < 0.5
        assert minutes in row("training of four") and abs(4 * (10 + 12.3e-6 * count) / 60 - float(minutes.split()[0])) < 1
        assert bars in row("bars on disk") and year in row("ledger, a year")
        assert abs(symbols * 252 * 3 * 4 * 2 * 43e-9 - float(year.split()[0])) < 0.3
