"""Two processes that open one database in the same instant: the second is held where the engine has read the head of the file
and has not locked it yet, while the first stores something."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import duckdb
import pytest

import storage.backup
from forecasting.errors import DatabaseLocked
from storage.bars import append_bars
from storage.connection import open_database
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.verify import verify
from tests.faults.disk import build, compiler, environment
from tests.storage.by_hand import MONDAY, bars

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")

ENGINE = """
import sys, duckdb
from pathlib import Path
from tests.faults.disk import gate
gate(Path(sys.argv[2]))
with duckdb.connect(sys.argv[1]) as con:
    print(con.execute("SELECT count(*) FROM t").fetchone()[0])
    con.execute("INSERT INTO t VALUES (7)")
"""
OURS = """
import sys
from pathlib import Path
from storage.connection import opened
from tests.faults.disk import gate
gate(Path(sys.argv[2]))
with opened(Path(sys.argv[1])) as con:
    print(con.execute("SELECT writes FROM store.lease").fetchone()[0])
    con.execute("UPDATE store.lease SET writes = writes + 1")
"""


READER = """
import sys, duckdb
from pathlib import Path
from storage.home import Home
from storage.snapshot import open_snapshot
from tests.faults.disk import gate
attached, real = [], duckdb.connect
duckdb.connect = lambda *args, **kwargs: attached.append(1) or real(*args, **kwargs)
gate(Path(sys.argv[2]))
with open_snapshot(Home(Path(sys.argv[1]).parent)) as con:
    print(con.execute("SELECT count(*), sum(close) FROM prices").fetchone(), len(attached))
"""


def held(script: str, database: Path, folder: Path) -> tuple[subprocess.Popen, Path]:
    """A process that opens ``database`` and waits behind the reading of its head until the returned file is gone."""
    closed = folder / "gate"
    closed.touch()
    command = [sys.executable, "-c", script, str(database), str(closed)]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(build(folder)), stdout=subprocess.PIPE, text=True)
    while not closed.with_name("gate.met").exists():
        assert process.poll() is None
        time.sleep(0.01)
    return process, closed


def test_engine__loses_the_rows_of_a_process_that_came_between(tmp_path):
    """Why there are turns. When an engine keeps the 150 rows, storage/turns.py is no longer needed."""
    database = tmp_path / "x.duckdb"
    with duckdb.connect(str(database)) as con:
        con.execute("CREATE TABLE t AS SELECT range AS i FROM range(100)")
    process, gate = held(ENGINE, database, tmp_path)
    with duckdb.connect(str(database)) as con:
        con.execute("INSERT INTO t SELECT range FROM range(50)")
    with duckdb.connect(str(database)) as con:
        assert con.execute("SELECT count(*) FROM t").fetchone() == (150,)
    gate.unlink()
    assert process.communicate()[0] == "100\n"
    with duckdb.connect(str(database)) as con:
        assert con.execute("SELECT count(*) FROM t").fetchone() == (101,)


def test_reader__that_a_publish_comes_between_opens_the_new_snapshot_once_more(tmp_path):
    """By itself the engine would take the head of the old file for that of the new one."""
    home = Home(tmp_path / "home")
    db = Database(home)
    for day in (1, 2):
        if day == 2:
            process, gate = held(READER, home.snapshot, tmp_path)
        with hold_lease(home, db, "test") as lease, db.writing(lease, f"run{day}", "ingest") as tx:
            rows = [(f"S{n:03d}", f"2024-03-0{day}", float(day)) for n in range(500)]
            append_bars(tx, bars(*rows), "files", "as_traded", MONDAY)
        db.publish(f"run{day}", MONDAY)
    gate.unlink()
    assert process.communicate()[0] == "(1000, 1500.0) 2\n"


def test_backup__stays_whole_where_another_process_wants_the_file_between_its_two_copies(tmp_path, monkeypatch):
    """POSIX ends the lock on a file with the first descriptor of it that the process closes: a copy by name would do that."""
    home = Home(tmp_path / "home")
    db = Database(home)
    with hold_lease(home, db, "test") as lease, db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
    real, said = storage.backup.copy_open, []

    def then_another(file, target):
        real(file, target)
        script = "import sys, duckdb\ntry: duckdb.connect(sys.argv[1])\nexcept duckdb.IOException: print('locked')"
        command = [sys.executable, "-c", script, str(home.database)]
        said.append(subprocess.run(command, capture_output=True, text=True, check=False).stdout)

    monkeypatch.setattr(storage.backup, "copy_open", then_another)
    backup = storage.backup.back_up(home, home.backups, MONDAY)
    assert said == ["locked\n"] and storage.backup.problems(backup) == []
    with open_database(backup.path / "nextclose.duckdb", read_only=True) as con:
        assert con.execute("SELECT count(*) FROM store.bars").fetchone() == (1,)
    assert not (backup.path / home.log.name).exists()  # folded in
    assert home.log.exists()  # and left alone in the home


def test_turn__nobody_comes_between(tmp_path):
    home = Home(tmp_path / "home")
    db, impatient = Database(home), Database(home, lock_wait=0.3)
    with hold_lease(home, db, "one") as lease, db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
    db.checkpoint()
    process, gate = held(OURS, home.database, tmp_path)
    with (
        pytest.raises(DatabaseLocked, match=rf"is open in python.* \(pid {process.pid}\); close it there"),
        impatient.reading(),
    ):
        pass
    gate.unlink()
    writes = int(process.communicate()[0])
    with hold_lease(home, db, "two") as lease, db.writing(lease, "run2", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-04", 11)), "files", "as_traded", MONDAY)
    with db.reading() as con:
        assert con.execute("SELECT count(*) FROM store.bars").fetchone() == (2,)
        assert con.execute("SELECT writes FROM store.lease").fetchone() == (
            writes + 4,
        )  # its own, the lease, the bars, the end
    db.publish("run2", MONDAY)
    assert verify(home) == []
