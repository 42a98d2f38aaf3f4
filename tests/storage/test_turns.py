"""Who may have the database open: one process that writes, or several that read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from storage.turns import file_of, nobody_here, turn

ROOT = Path(__file__).parents[2]
OTHER = """
import sys
from pathlib import Path
from storage.turns import turn
try:
    with turn(Path(sys.argv[1]), sys.argv[2] == "writes", float(sys.argv[3])):
        print("its turn", flush=True)
        sys.stdin.readline()
except TimeoutError as error:
    print(error, flush=True)
"""


def other(database: Path, does: str, wait: float = 0.0) -> subprocess.Popen:
    command = [sys.executable, "-c", OTHER, str(database), does, str(wait)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen) -> str:
    return process.stdout.readline().strip()


@pytest.fixture
def database(tmp_path) -> Path:
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
    if not both and here == "writes":
        assert answer == f"{Path(sys.executable).name} (pid {os.getpid()})"


def test_turn__is_waited_for_and_ends_with_its_process(database):
    with other(database, "writes") as first:
        assert said(first) == "its turn"
        with pytest.raises(TimeoutError, match=rf"\(pid {first.pid}\)"), turn(database, True, 0.1):
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
        with nobody_here(database, 0.0) as closed:
            assert not closed
    with nobody_here(database, 0.0) as closed:
        assert closed
    with other(database, "writes") as process:
        assert said(process) == "its turn"
        process.communicate("\n")


def test_turn__is_not_inherited_by_a_child(database):
    with turn(database, True, 0.0):
        child = os.fork()
        if child == 0:
            code = 1
            try:
                with turn(database, True, 0.0):
                    pass
            except TimeoutError:
                code = 7
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        with other(database, "writes") as process:
            assert said(process) != "its turn"  # the child's end took nothing from its parent
            process.communicate("\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_turn__a_reader_without_the_right_to_write_needs_no_file(database):
    database.parent.chmod(0o555)
    try:
        with turn(database, False, 0.0):
            assert not file_of(database).exists()
        with pytest.raises(PermissionError), turn(database, True, 0.0):
            pass
    finally:
        database.parent.chmod(0o755)
