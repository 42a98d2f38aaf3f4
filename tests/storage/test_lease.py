"""One writer at a time: taken over at once from the dead, never from the living."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from forecasting.errors import AlreadyRunning
from storage.database import Database
from storage.lease import hold_lease

ROOT = Path(__file__).parents[2]

_HOLD = """
    from storage.database import Database
    from storage.home import Home
    from storage.lease import hold_lease
    home = Home({home!r})
    with hold_lease(home, Database(home), "other run") as lease:
        print(lease.token, flush=True)
        input()
"""


def _holder(home) -> subprocess.Popen:
    script = textwrap.dedent(_HOLD.format(home=str(home.path)))
    return subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def test_lease__a_second_holder_is_told_who_has_it_within_two_seconds(home, db):
    with _holder(home) as other:
        assert other.stdout.readline() == b"1\n"
        began = time.monotonic()
        with pytest.raises(AlreadyRunning, match=f"already running: other run .pid {other.pid}."), hold_lease(home, db, "me"):
            pass
        assert time.monotonic() - began < 2
        other.communicate(b"\n")
    with hold_lease(home, db, "me") as lease:  # free again
        assert lease.token == 2


def test_open__while_a_run_keeps_the_file_open_says_already_running_within_two_seconds(home, db):
    script = textwrap.dedent(_HOLD.format(home=str(home.path))).replace(
        "print(", "kept = Database(home).kept_open()\n    kept.__enter__()\n    print("
    )
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout.readline() == b"1\n"
        began = time.monotonic()
        with pytest.raises(AlreadyRunning, match=f"other run .pid {other.pid}."):
            Database(home)
        assert time.monotonic() - began < 2
        other.communicate(b"\n")


def test_lease__is_taken_over_at_once_from_a_killed_holder(home, db):
    with _holder(home) as other:
        assert other.stdout.readline() == b"1\n"
        other.kill()
        other.wait()
    began = time.monotonic()
    with hold_lease(home, db, "me") as lease:
        assert lease.token == 2
    assert time.monotonic() - began < 2  # though its row had 15 minutes to go


def test_lease__of_another_host_is_respected_until_it_expires(home, db):
    with hold_lease(home, db, "far away", ttl_seconds=0.6, host=lambda: "other-host"):
        pass
    with db.transaction() as con:  # as a killed holder on the other host would have left it
        con.execute("UPDATE store.lease SET holder = 'far away', host = 'other-host', expires_at = now() + INTERVAL 1 SECOND")
    with pytest.raises(AlreadyRunning, match="far away on other-host may write for"), hold_lease(home, db, "me"):
        pass
    time.sleep(1.1)
    with hold_lease(home, db, "me"):
        pass


def test_lease__a_sleeper_that_was_succeeded_cannot_write(home, db):
    with hold_lease(home, db, "sleeper") as old:
        pass
    with hold_lease(home, db, "successor"), pytest.raises(AlreadyRunning), db.writing(old, "run1", "ingest"):
        pass
    with pytest.raises(AlreadyRunning), db.writing(old, "run1", "ingest"):  # nor after the successor is done
        pass


def test_lease__of_two_processes_that_start_at_once_one_writes(home, db):
    script = textwrap.dedent(f"""
        import sys, time
        from forecasting.errors import AlreadyRunning
        from storage.bars import append_bars
        from storage.database import Database
        from storage.home import Home
        from storage.lease import hold_lease
        from tests.storage.by_hand import MONDAY, bars
        home = Home({str(home.path)!r})
        print("ready", flush=True)
        input()
        try:
            with hold_lease(home, Database(home), "racer") as lease:
                with Database(home).writing(lease, "run-" + sys.argv[1], "ingest") as tx:
                    append_bars(tx, bars(("AAPL", "2024-03-0" + sys.argv[1], 10)), "files", "as_traded", MONDAY)
                time.sleep(2)
            print("wrote")
        except AlreadyRunning as error:
            print(error)
    """)
    racers = [
        subprocess.Popen([sys.executable, "-c", script, n], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for n in "12"
    ]
    for racer in racers:
        assert racer.stdout.readline() == b"ready\n"
    for racer in racers:
        racer.stdin.write(b"\n")
        racer.stdin.flush()
    said = sorted(racer.communicate()[0].decode().strip() for racer in racers)
    assert said[1] == "wrote" and said[0].startswith("already running: racer (pid ")
    with db.reading() as con:
        assert con.execute("SELECT count(*) FROM store.bars").fetchone() == (1,)
