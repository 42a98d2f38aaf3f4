"""The night: everything is read again, then backed up; a home in which nothing is yet has nothing to do."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pandas as pd
import pytest

from flows.nightly import nightly
from flows.parameters import Nightly
from forecasting.errors import DatabaseCorrupt
from storage.backup import backups
from storage.home import Home
from storage.landing import landing_files, save_landing


def test_nightly__backs_up_and_removes_its_own_of_the_same_day(copied):
    """Pressed twice in one night, one is left; what is damaged in between is not copied over it."""
    first = nightly(Nightly(home=str(copied)))
    second = nightly(Nightly(home=str(copied)))
    assert second["removed"] == [first["backup"].rpartition("/")[2]] and second["findings"] == []
    (copied / "snapshot.duckdb").chmod(0o644)
    (copied / "snapshot.duckdb").write_bytes(b"something else")
    with pytest.raises(DatabaseCorrupt, match="not the published file; run `nextclose recover`$"):
        nightly(Nightly(home=str(copied)))
    assert [str(backup.path) for backup in backups(copied / "backups")] == [second["backup"]]


def test_nightly__removes_what_the_sources_sent_long_ago_but_not_what_came_again_since(copied):
    """Three files came 401 days ago, one of which came again today; 400 days are kept. The backup has them all."""
    home = Home(copied)
    frames = [pd.DataFrame({"close": [float(n)]}) for n in range(3)]
    old = [save_landing(home, frame).path for frame in frames]
    for path in old:
        os.utime(path, times=(time.time() - 401 * 86_400,) * 2)
    save_landing(home, frames[0])
    others = set(landing_files(home)) - set(old)
    report = nightly(Nightly(home=str(copied)))
    assert report["landing_removed"] == 2 and set(landing_files(home)) == others | {old[0]}
    assert all((Path(report["backup"]) / "landing" / path.name).exists() for path in old)
    assert nightly(Nightly(home=str(copied)))["findings"] == []


def test_nightly__before_the_first_day_has_nothing_to_do(tmp_path):
    assert nightly(Nightly(home=str(tmp_path)))["nothing_to_do"].endswith("the first daily run does it")
    assert list(tmp_path.iterdir()) == []


def test_nightly__of_a_home_that_lost_its_database_fails(copied):
    (copied / "nextclose.duckdb").unlink()
    (copied / "manifest.json").unlink()
    with pytest.raises(DatabaseCorrupt, match="run `nextclose recover`"):
        nightly(Nightly(home=str(copied)))
