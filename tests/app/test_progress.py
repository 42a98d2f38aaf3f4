"""The progress line: how far, how long still, and quiet where nobody watches."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

from app.progress import Left, Moving, in_words
from tasks.listening import heard_by, one_by_one, tell

ROOT = Path(__file__).resolve().parents[2]


def test_left__is_from_how_fast_it_went_and_no_guess_at_first():
    now = [0.0]
    left = Left(lambda: now[0])
    assert left.seconds(0.0) is None
    now[0] = 2.0
    assert left.seconds(0.1) is None  # two seconds in
    now[0] = 10.0
    assert left.seconds(0.25) == 30.0  # a quarter in ten seconds
    now[0] = 20.0
    assert left.seconds(0.0) is None  # begun anew: the next member of an ensemble
    now[0] = 25.0
    assert left.seconds(0.5) == 5.0


def test_in_words__is_no_more_exact_than_a_guess():
    assert [in_words(s) for s in (0.4, 3, 41, 89, 95, 600, 3599, 5400)] == [
        "1 s", "5 s", "40 s", "90 s", "2 min", "10 min", "1 h 00 min", "1 h 30 min",
    ]  # fmt: skip


class Status:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.shown: list[str] = []

    def update(self, text: object) -> None:
        self.shown.append(str(text))


def test_moving__shows_the_whole_beside_the_step_under_way():
    status = Status()
    with heard_by(Moving(status)):  # type: ignore[arg-type]
        for days in one_by_one("sessions", ["a", "b"]):
            tell().started("forecast", days)
            tell().advanced("forecasting", 0.5)
    assert status.shown[2] == f"sessions {'╌' * 20} 0%  forecasting a: forecasting {'━' * 10}{'╌' * 10} 50%"
    assert status.shown[-2].startswith(f"sessions {'━' * 10}{'╌' * 10} 50%  forecasting b: ")
    assert status.shown[-1] == "forecasting b"  # the whole is done


def test_one_by_one__says_nothing_of_one_alone():
    status = Status()
    with heard_by(Moving(status)):  # type: ignore[arg-type]
        assert list(one_by_one("symbols", [("AAA",)])) == [("AAA",)]
    assert status.shown == []


_TRAIN = """
import time
from app.progress import watching
from tasks.listening import tell
with watching(quiet=QUIET):
    tell().started("train", "")
    for n in range(8):
        tell().advanced("training", n / 8)
        time.sleep(0.5)
    tell().finished("train", "", "a model", 4.0, 1.0)
"""


def test_progress__moves_on_a_terminal_with_time_left_and_is_plain_lines_elsewhere():
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "90"}
    child = subprocess.Popen([sys.executable, "-c", _TRAIN.replace("QUIET", "False")], cwd=ROOT, env=env, stderr=slave)
    os.close(slave)
    said = b""
    while True:
        try:
            part = os.read(master, 65536)
        except OSError:
            break
        if not part:
            break
        said += part
    os.close(master)
    assert child.wait(30) == 0
    text = said.decode()
    assert "training: training ━" in text and "s left" in text and "training: a model (4.0 s)" in text
    plain = {
        quiet: subprocess.run(
            [sys.executable, "-c", _TRAIN.replace("QUIET", quiet).replace("0.5", "0")], cwd=ROOT, capture_output=True,
            text=True, check=True,
        ).stderr
        for quiet in ("False", "True")
    }  # fmt: skip
    assert plain == {"False": "  training: a model (4.0 s)\n", "True": ""}
