"""The night: everything is read again, then backed up; a home in which nothing is yet has nothing to do."""

from __future__ import annotations

import pytest

from flows.nightly import nightly
from flows.parameters import Nightly
from forecasting.errors import DatabaseCorrupt
from storage.backup import backups


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


def test_nightly__before_the_first_day_has_nothing_to_do(tmp_path):
    assert nightly(Nightly(home=str(tmp_path)))["nothing_to_do"].endswith("the first daily run does it")
    assert list(tmp_path.iterdir()) == []


def test_nightly__of_a_home_that_lost_its_database_fails(copied):
    (copied / "nextclose.duckdb").unlink()
    (copied / "manifest.json").unlink()
    with pytest.raises(DatabaseCorrupt, match="run `nextclose recover`"):
        nightly(Nightly(home=str(copied)))
