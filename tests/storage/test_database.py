"""The one write helper: all or nothing, read back, and no silent loss where DuckDB would be silent."""

from __future__ import annotations

import errno
import subprocess
import sys
import textwrap
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from forecasting.errors import AlreadyRunning, DatabaseCorrupt, DatabaseLocked, HomeNotWritable, StorageError
from storage.append import Appended
from storage.bars import append_bars, read_bars
from storage.database import Database
from storage.home import Home, disk_errors
from storage.lease import Lease
from tests.storage.by_hand import MONDAY, bars

ROOT = Path(__file__).parents[2]


def _count(db: Database, table: str = "bars") -> int:
    with db.reading() as con:
        return con.execute(f"SELECT count(*) FROM store.{table}").fetchone()[0]


def test_writing__stores_rows_and_the_ledger_row_of_their_step_together(db, lease):
    with db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10), ("AAPL", "2024-03-04", 11)), "files", "as_traded", MONDAY)
    done = db.step_done("run1", "ingest")
    assert (_count(db), done["rows"]) == (2, 2)
    assert db.step_done("run1", "clean") is None


def test_writing__an_exception_leaves_neither_rows_nor_ledger_row(db, lease):
    with pytest.raises(KeyError), db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
        raise KeyError("after the write")
    assert (_count(db), db.step_done("run1", "ingest")) == (0, None)


def test_duckdb__commit_after_a_failed_statement_reports_success_and_has_rolled_back(tmp_path):
    """The habit of DuckDB that the helper is built against; when this fails, DuckDB has changed."""
    con = duckdb.connect(str(tmp_path / "x.duckdb"))
    con.execute("CREATE TABLE dogs (name VARCHAR NOT NULL)")
    con.execute("BEGIN")
    con.execute("INSERT INTO dogs VALUES ('Cleo')")
    with pytest.raises(duckdb.ConstraintException):
        con.execute("INSERT INTO dogs VALUES (NULL)")
    con.execute("COMMIT")  # no error
    assert con.execute("SELECT count(*) FROM dogs").fetchone() == (0,)


def test_writing__a_failed_statement_that_was_swallowed_still_fails_the_write(db, lease):
    with pytest.raises(StorageError), db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
        try:
            tx.execute("INSERT INTO store.symbols (symbol) VALUES (NULL)")
        except duckdb.Error:
            pass
    assert (_count(db), db.step_done("run1", "ingest")) == (0, None)


def test_writing__a_commit_that_did_not_last_is_noticed_by_reading_it_back(db, lease, monkeypatch):
    class Lying:
        """Rolls back where it was told to commit, and says nothing: what COMMIT does after a failure."""

        def __init__(self, con):
            self.con = con

        def execute(self, sql, *parameters):
            return self.con.execute("ROLLBACK" if sql == "COMMIT" else sql, *parameters)

        def __getattr__(self, name):
            return getattr(self.con, name)

    import storage.connection as module

    @contextmanager
    def lying(*args):
        with real(*args) as con:
            yield Lying(con)

    real = module.attached
    monkeypatch.setattr(module, "attached", lying)
    with pytest.raises(StorageError, match="reported success but is not there"), db.writing(lease, "run1", "ingest"):
        pass


def test_append__a_key_twice_in_the_batch_is_refused_before_the_write(db, lease):
    twice = bars(("AAPL", "2024-03-01", 10), ("AAPL", "2024-03-01", 99))
    with pytest.raises(StorageError, match="2 rows for one key .symbol AAPL, session 2024-03-01"):
        with db.writing(lease, "run1", "ingest") as tx:
            append_bars(tx, twice, "files", "as_traded", MONDAY)
    assert _count(db) == 0


def test_append__an_empty_part_of_the_key_or_an_unknown_column_is_refused(db, lease):
    nameless = bars(("AAPL", "2024-03-01", 10)).assign(symbol=[None])
    with pytest.raises(StorageError, match="has an empty part"), db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, nameless, "files", "as_traded", MONDAY)
    with pytest.raises(StorageError, match="unknown columns .'colour'."), db.writing(lease, "run1", "ingest") as tx:
        tx.append("universe", pd.DataFrame({"symbol": ["A"], "valid_from": [MONDAY], "colour": ["red"]}), ("symbol",))


def test_append__the_same_rows_again_change_nothing(db, lease):
    rows = bars(("AAPL", "2024-03-01", 10), ("MSFT", "2024-03-01", 20))
    answers = []
    for run in ("run1", "run1", "run2"):
        with db.writing(lease, run, "ingest") as tx:
            answers.append(append_bars(tx, rows, "files", "as_traded", MONDAY))
    assert answers == [Appended(2, 0, 0), Appended(0, 2, 0), Appended(0, 2, 0)]
    assert _count(db) == 2
    assert db.step_done("run1", "ingest")["rows"] == 2  # the first ledger row of a step stays


def test_append__keeps_tickers_that_look_like_something_else(db, lease):
    odd = ["0005.HK", "0700.HK", "BRK-B", "FALSE", "INF", "NA", "NULL", "ON", "TRUE", "^GSPC"]
    with db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(*((symbol, "2024-03-01", 10.0) for symbol in odd)), "files", "as_traded", MONDAY)
    with db.reading() as con:
        assert sorted(read_bars(con)["symbol"]) == odd
        assert list(read_bars(con, symbols=["NA", "ON"])["symbol"]) == ["NA", "ON"]


def test_writing__without_a_step_touches_operation_logs_only(db, lease):
    with pytest.raises(StorageError, match="belong to a step"), db.writing(lease, "run1", None) as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)


def test_writing__does_not_nest(db, lease):
    with pytest.raises(StorageError, match="do not nest"), db.writing(lease, "run1", "a"), db.writing(lease, "run1", "b"):
        pass
    assert db.step_done("run1", "a") is None


def test_writing__a_holder_whose_token_is_old_cannot_write(db, lease):
    sleeper = Lease("sleeper", lease.token - 1, 900)
    with pytest.raises(AlreadyRunning, match="passed to test"), db.writing(sleeper, "run1", "ingest"):
        pass


def test_reading__refuses_writes(db):
    with pytest.raises(StorageError), db.reading() as con:
        con.execute("DELETE FROM store.runs")


def test_kept_open__reads_and_writes_work_inside(db, lease):
    with db.kept_open():
        with db.writing(lease, "run1", "ingest") as tx:
            append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
        assert _count(db) == 1


def test_open__makes_a_file_that_older_clients_can_read_and_never_downloads(db):
    with db.reading() as con:
        version = con.execute("SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal").fetchone()[0]
        names = ["autoinstall_known_extensions", "autoload_known_extensions", "allow_community_extensions", "TimeZone"]
        found = dict(con.execute("SELECT name, value FROM duckdb_settings() WHERE name IN ?", [names]).fetchall())
    assert version.startswith("v1.5.0")
    assert [found[name] for name in names] == ["false", "false", "false", "UTC"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"symbol,session,close\nAAPL,2024-03-01,10\n", "not a DuckDB file"),
        (b"\x00" * 8192, "not a DuckDB file"),
    ],
)
def test_open__refuses_a_file_that_is_no_database_and_leaves_it_alone(home, content, says):
    home.path.mkdir()
    home.database.write_bytes(content)
    with pytest.raises(DatabaseCorrupt, match=says) as error:
        Database(home)
    assert home.database.read_bytes() == content
    assert "\n" not in str(error.value) and "run" in str(error.value)


def test_open__refuses_a_folder_a_foreign_database_and_a_damaged_one(home):
    home.database.mkdir(parents=True)
    with pytest.raises(DatabaseCorrupt, match="is a folder"):
        Database(home)
    home.database.rmdir()
    con = duckdb.connect(str(home.database))
    con.execute("CREATE TABLE dogs (name VARCHAR)")
    con.close()
    with pytest.raises(DatabaseCorrupt, match="not one of nextclose"):
        Database(home)
    head = home.database.read_bytes()[:5000]
    home.database.write_bytes(head)
    with pytest.raises(DatabaseCorrupt):
        Database(home)
    assert home.database.read_bytes() == head


def test_open__a_missing_file_is_not_replaced_by_an_empty_one_where_a_manifest_remembers_it(home):
    home.path.mkdir()
    home.manifest.write_text("{}")
    with pytest.raises(DatabaseCorrupt, match="is missing, but manifest.json"):
        Database(home)
    assert not home.database.exists()


def test_open__names_the_process_that_holds_the_file(db, home):
    script = f"import duckdb; con = duckdb.connect({str(home.database)!r}); print('open', flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with pytest.raises(DatabaseLocked, match=f"pid {other.pid}"), db.reading():
            pass
        other.communicate(b"\n")
    assert _count(db) == 0  # free again


@pytest.mark.parametrize(
    ("number", "says"),
    [(errno.ENOSPC, "disk full while writing"), (errno.EIO, "gave an error"), (errno.EROFS, "is a read-only file system")],
)
def test_disk__that_fails_in_a_run_is_one_line_with_what_to_do(home, number, says):
    with pytest.raises(StorageError, match=f"{says}.*run again.*nothing was lost") as error, disk_errors(home):
        raise OSError(number, "what the system says")
    assert "\n" not in str(error.value) and str(home.path) in str(error.value)
    with pytest.raises(FileNotFoundError), disk_errors(home):  # a fault of ours stays one
        raise FileNotFoundError(errno.ENOENT, "gone")


def test_publish__waits_for_a_program_that_has_the_file_open_for_a_moment(db, home):
    """As a second run has that is about to be told `already running`."""
    script = f"import duckdb, time; con = duckdb.connect({str(home.database)!r}); print('open', flush=True); time.sleep(0.1)"
    patient = Database(home, lock_wait=30.0)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"open\n"
        with patient.held_closed() as file:
            assert file.name == str(home.database)


def test_home__that_cannot_be_made_or_written_is_one_line(tmp_path):
    file = tmp_path / "file"
    file.write_text("not a folder")
    with pytest.raises(HomeNotWritable, match="--home DIR"):
        Database(Home(file / "home"))


def test_kill__in_the_middle_of_a_write_leaves_the_committed_rows_and_no_others(home, db, lease):
    with db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
    script = f"""
        import os, signal
        from storage.database import Database
        from storage.bars import append_bars
        from storage.home import Home
        from storage.lease import Lease
        from tests.storage.by_hand import MONDAY, bars
        with Database(Home({str(home.path)!r})).writing(Lease("test", {lease.token}, 900), "run2", "ingest") as tx:
            append_bars(tx, bars(("AAPL", "2024-03-04", 11)), "files", "as_traded", MONDAY)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    killed = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert (_count(db), db.step_done("run2", "ingest")) == (1, None)


ANOTHER = """
import sys
from pathlib import Path
from forecasting.errors import DatabaseLocked
from storage.connection import open_database
try:
    open_database(Path(sys.argv[1]), lock_wait=0)
    print("opened")
except DatabaseLocked:
    print("locked")
"""


def test_file__kept_open_is_locked_for_other_programs_however_often_it_is_opened_here(tmp_path):
    """POSIX takes a process' locks on a file away with the first descriptor of it that is closed, whoever opened that one."""
    home = Home(tmp_path / "home")
    db = Database(home)

    def another() -> str:
        command = [sys.executable, "-c", ANOTHER, str(home.database)]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout.strip()

    with db.kept_open():
        assert another() == "locked"
        with db.reading():
            pass
        Database(home)
        assert another() == "locked"
    assert another() == "opened"
