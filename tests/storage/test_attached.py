"""The engine is kept between two bursts, the file is not: who else wants it finds it closed, and whole."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

import storage.attached as module
from forecasting.errors import DatabaseCorrupt, DatabaseLocked
from storage.connection import open_database, opened

ROOT = Path(__file__).resolve().parents[2]

ANOTHER = """
import sys, duckdb
with duckdb.connect(sys.argv[1], read_only=True) as con:
    print(con.execute("SELECT max(n) FROM numbers").fetchone()[0])
"""


@pytest.fixture
def file(tmp_path):
    """A file with the numbers 1, 2 and 3."""
    path = tmp_path / "numbers.duckdb"
    con = open_database(path)
    con.execute("CREATE TABLE numbers AS SELECT unnest([1, 2, 3]) AS n")
    con.execute("CHECKPOINT")
    con.close()
    module.end_idle()
    yield path
    module.end_idle()


@pytest.fixture
def engines(monkeypatch):
    """The engines that were made, in order."""
    made, real = [], module._made
    monkeypatch.setattr(module, "_made", lambda settings: made.append(real(settings)) or made[-1])
    return made


def total(path: Path, **how) -> int:
    with opened(path, **how) as con:
        return con.execute("SELECT sum(n) FROM numbers").fetchone()[0]


def add(path: Path, number: int) -> None:
    with opened(path) as con:
        con.execute("INSERT INTO numbers VALUES (?)", [number])


def mine(path: Path) -> list[str]:
    """The descriptors that this process has of the file or of what lies beside it."""
    names = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return [os.readlink(name) for name in names if os.path.lexists(name) and path.name in os.readlink(name)]


def test_bursts__share_one_engine_and_leave_the_file_closed_in_between(file, engines):
    for number in (4, 5, 6):
        add(file, number)
        assert mine(file) == []
        assert subprocess.check_output([sys.executable, "-c", ANOTHER, str(file)], text=True) == f"{number}\n"
    assert total(file) == 21
    assert len(engines) == 1


def test_bursts__leave_the_log_for_the_publish_to_fold_in(file):
    whole = file.read_bytes()
    add(file, 4)
    assert Path(f"{file}.wal").stat().st_size > 0
    assert file.read_bytes() == whole
    with opened(file) as con:
        con.execute("CHECKPOINT")
    assert not Path(f"{file}.wal").exists()
    assert total(file) == 10


def test_burst__sees_the_file_that_took_the_place_of_another(file, tmp_path, engines):
    copy = shutil.copy(file, tmp_path / "copy.duckdb")
    add(file, 100)
    with opened(file) as con:
        con.execute("CHECKPOINT")
    os.replace(copy, file)  # as a restore does
    assert total(file) == 6
    assert len(engines) == 1


def test_bursts__of_several_threads_share_the_file_and_the_last_one_closes_it(file, engines):
    met = threading.Barrier(4)

    def adds(number: int) -> None:
        with opened(file) as con:
            met.wait(10)
            con.execute("INSERT INTO numbers VALUES (?)", [number])
            assert mine(file) != []

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(adds, [10, 20, 30, 40]))
    assert (mine(file), total(file), len(engines)) == ([], 106, 1)


def test_burst__that_fails_takes_its_engine_with_it(file, engines):
    with pytest.raises(ZeroDivisionError), opened(file) as con:
        con.execute("INSERT INTO numbers VALUES (4)")
        con.execute("BEGIN")
        con.execute("INSERT INTO numbers VALUES (5)")
        raise ZeroDivisionError
    assert mine(file) == []
    assert total(file) == 10  # what was committed, and no more
    assert len(engines) == 2


def test_file__that_is_damaged_does_not_spoil_the_next_one(file, tmp_path):
    damaged = tmp_path / "damaged.duckdb"
    bad = bytearray(file.read_bytes())
    bad[12288:] = b"\x00" * (len(bad) - 12288)
    damaged.write_bytes(bad)
    with pytest.raises(DatabaseCorrupt), opened(damaged):
        pass
    assert mine(damaged) == []
    assert total(file) == 6


def test_block__that_is_damaged_is_found_in_the_burst_and_does_not_spoil_the_next_one(file, tmp_path, engines):
    damaged = tmp_path / "damaged.duckdb"
    con = open_database(damaged)
    con.execute("CREATE TABLE texts AS SELECT md5(range::VARCHAR) AS t FROM range(50_000)")
    con.execute("CHECKPOINT")
    con.close()
    bad = bytearray(damaged.read_bytes())
    bad[600_000:600_100] = b"\x55" * 100
    damaged.write_bytes(bad)
    with pytest.raises(duckdb.Error), opened(damaged) as con:
        con.execute("SELECT count(DISTINCT t) FROM texts").fetchall()
    assert mine(damaged) == []
    assert total(file) == 6
    assert len(engines) == 2


@pytest.mark.parametrize("place", ["_left", "_is_small", "_keep"])
def test_burst__that_is_interrupted_at_its_end_leaves_nothing_attached(file, engines, monkeypatch, place):
    """As by a signal: the file must not stay attached when the turn is given back, for another process may write then."""

    def interrupted(*args):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, place, interrupted)
        with pytest.raises(KeyboardInterrupt):
            add(file, 4)
    assert (mine(file), module._ATTACHED) == ([], {})
    other = "import sys, duckdb; duckdb.connect(sys.argv[1]).execute('INSERT INTO numbers VALUES (100); CHECKPOINT')"
    subprocess.run([sys.executable, "-c", other, str(file)], check=True)
    add(file, 5)
    assert total(file) == 6 + 4 + 100 + 5


def test_burst__clears_away_what_a_killed_one_had_spilled(file, engines):
    left = Path(f"{file}.tmp")
    left.mkdir()
    (left / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"x" * 1000)
    assert total(file, read_only=True) == 6
    assert left.exists()  # may be another reader's
    assert (total(file), left.exists()) == (6, False)
    assert total(file) == 6


def test_file__that_another_program_has_is_waited_for_with_the_same_engine(file, engines):
    program = "import sys, duckdb; con = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", program, str(file)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "open\n"
        with pytest.raises(DatabaseLocked, match=f"pid {other.pid}"):
            total(file, lock_wait=0.1)
        threading.Timer(0.2, other.stdin.close).start()
        assert total(file, lock_wait=30.0) == 6
    assert len(engines) == 1


def test_file__that_this_process_writes_is_not_opened_for_reading_beside_it(file):
    with opened(file), pytest.raises(DatabaseLocked, match="this process"):
        total(file, read_only=True, lock_wait=0.0)
    assert total(file, read_only=True) == 6
    with opened(file, read_only=True) as con, pytest.raises(duckdb.Error, match="read-only"):
        con.execute("INSERT INTO numbers VALUES (4)")


def test_engine__of_other_settings_or_that_spilled_is_not_kept(file, engines):
    assert total(file, memory_mb=64) == 6
    assert total(file, memory_mb=32) == 6
    assert len(engines) == 2
    with opened(file, memory_mb=32) as con:
        con.execute("SET threads = 1")
        con.execute("CREATE TABLE hashes AS SELECT md5(range::VARCHAR) AS h FROM range(1_500_000) ORDER BY h")
    assert not Path(f"{file}.tmp").exists()
    assert total(file, memory_mb=32) == 6
    assert len(engines) == 3


def test_engine__of_a_large_file_is_not_kept_with_its_memory(file, engines, monkeypatch):
    monkeypatch.setattr(module, "SMALL_BYTES", file.stat().st_size - 1)
    assert (total(file), total(file), len(engines)) == (6, 6, 2)
    monkeypatch.setattr(module, "SMALL_BYTES", file.stat().st_size)
    assert (total(file), total(file), len(engines)) == (6, 6, 3)


def test_child__by_fork_makes_its_own_and_its_parent_goes_on(file, engines):
    assert total(file) == 6
    with opened(file) as con:
        pid = os.fork()
        if pid == 0:
            module_is_clear = not module._ATTACHED and not module._IDLE
            os._exit(0 if module_is_clear else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert con.execute("SELECT count(*) FROM numbers").fetchone() == (3,)
    pid = os.fork()
    if pid == 0:
        add(file, 4)
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    assert total(file) == 10


def test_child__by_fork_after_a_burst_ends_without_waiting_for_threads_of_its_parent(file):
    """It runs to its very end, where the engine of its parent would wait for threads that are not there."""
    program = f"""
import os, sys
from pathlib import Path
from storage.connection import opened
with opened(Path({str(file)!r})) as con:
    con.execute("SET threads = 4")
    con.execute("SELECT sum(n) FROM numbers").fetchone()
pid = os.fork()
if pid == 0:
    sys.exit(7)
print(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.stdout == "7\n", done.stderr
