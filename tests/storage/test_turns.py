"""Who may have the database open: one process that writes, or several that read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from forecasting.errors import DatabaseLocked, StorageError
from storage.turns import closed, file_of, turn

ROOT = Path(__file__).parents[2]
OTHER = """
import sys
from pathlib import Path
from forecasting.errors import DatabaseLocked
from storage.turns import turn
try:
    with turn(Path(sys.argv[1]), sys.argv[2] == "writes", float(sys.argv[3])):
        print("its turn", flush=True)
        sys.stdin.readline()
except DatabaseLocked as error:
    print(str(error).partition("open in ")[2].partition(";")[0], flush=True)
"""


def other(database: Path, does: str, wait: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, "-c", OTHER, str(database), does, str(wait)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


@pytest.fixture
def database(tmp_path) -> Path:
    """Of a home that was written to: the file of the turns is there."""
    with turn(tmp_path / "x.duckdb", True, 0.0):
        return tmp_path / "x.duckdb"


@pytest.mark.parametrize(
    ("here", "there", "both"),
    [("writes", "writes", False), ("writes", "reads", False), ("reads", "writes", False), ("reads", "reads", True)],
)
def test_turn__of_two_processes(database, here, there, both):
    with turn(database, here == "writes", 0.0), other(database, there) as process:
        answer = said(process)
        process.communicate("\n")
    assert (answer == "its turn") is both
    if not both:
        assert answer == f"{Path(sys.executable).resolve().name} (pid {os.getpid()})"


def test_turn__is_waited_for_and_ends_with_its_process(database):
    with other(database, "writes") as first:
        assert said(first) == "its turn"
        with pytest.raises(DatabaseLocked, match=rf"\(pid {first.pid}\)"), turn(database, True, 0.1):
            pass
        with other(database, "writes", 30.0) as second:
            first.send_signal(signal.SIGKILL)
            assert said(second) == "its turn"
            second.communicate("\n")
    with turn(database, True, 0.0):
        pass


def test_turn__belongs_to_all_connections_of_the_process_until_the_last_is_closed(database):
    with turn(database, False, 0.0):
        with turn(database, True, 0.0), turn(database, False, 0.0):  # a reader that comes to write keeps all others out
            pass
        with other(database, "reads") as process:
            assert said(process) != "its turn"
            process.communicate("\n")
        with pytest.raises(DatabaseLocked, match="is open in this process"), closed(database, 0.0):
            pass
    with other(database, "writes") as process:
        assert said(process) == "its turn"
        process.communicate("\n")


def test_closed__keeps_everybody_from_opening_it_the_threads_of_this_process_too(database):
    with closed(database, 0.0):
        with other(database, "reads") as process:
            assert said(process) != "its turn"
            process.communicate("\n")
        with pytest.raises(DatabaseLocked, match="is open in this process"), turn(database, False, 0.0):
            pass


def test_turn__is_of_the_file_whatever_it_is_called(database, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    with turn(database, True, 0.0):
        with turn(tmp_path / "link" / "x.duckdb", True, 0.0):
            pass
        with other(database, "reads") as process:
            assert said(process) != "its turn"
            process.communicate("\n")


def test_turn__is_not_inherited_by_a_child(database):
    with turn(database, True, 0.0):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with turn(database, True, 0.0):
                    pass
            except DatabaseLocked:
                code = 7
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        with other(database, "writes") as process:
            assert said(process) != "its turn"  # the child's end took nothing from its parent
            process.communicate("\n")


def test_turn__a_reader_makes_no_file_since_it_may_not_own_the_home(tmp_path):
    with turn(tmp_path / "x.duckdb", False, 0.0):
        assert not file_of(tmp_path / "x.duckdb").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_turn__a_writer_who_may_not_write_is_told_so(tmp_path):
    tmp_path.chmod(0o555)
    try:
        with pytest.raises(StorageError, match="check its permissions"), turn(tmp_path / "x.duckdb", True, 0.0):
            pass
    finally:
        tmp_path.chmod(0o755)
