"""The disk that fails on demand does what it says: what was synced stays, of the rest any part."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disk import build, compiler, environment

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.skipif(compiler() is None, reason="needs Linux and a C compiler")

CHILD = """
import os, shutil, sys
from pathlib import Path
from tests.faults.disk import fail
folder, number = Path(sys.argv[1]), int(sys.argv[2])
synced, over, copied = (os.open(folder / name, os.O_RDWR | os.O_CREAT) for name in ("synced", "over", "copied"))
os.write(over, b"a" * 8192)
fail(folder, "power", number)
os.write(synced, b"b" * 8192)
os.fsync(synced)
os.pwrite(over, b"c" * 8192, 0)
os.write(over, b"d" * 8192)  # from where the file stood: after the first 8,192 bytes
shutil.copyfile(folder / "synced", folder / "copied")
for more in range(number):
    os.write(os.open(folder / "end", os.O_WRONLY | os.O_CREAT | os.O_APPEND), b"")
"""


def test_power__leaves_what_was_synced_and_any_part_of_what_was_not(tmp_path):
    library, seen = build(tmp_path), set()
    for number in range(20, 40):  # also the seed
        folder = tmp_path / str(number)
        folder.mkdir()
        command = [sys.executable, "-c", CHILD, str(folder), str(number)]
        assert subprocess.run(command, cwd=ROOT, env=environment(library), check=False).returncode == -9
        assert (folder / "synced").read_bytes() == b"b" * 8192
        over, copied = (folder / "over").read_bytes(), (folder / "copied").read_bytes()
        assert set(over[:8192]) <= set(b"ac") and set(over[8192:]) <= set(b"d\0") and set(copied) <= set(b"b\0")
        for begin in range(0, 8192, 512):
            assert len(set(over[begin : begin + 512])) == 1  # a sector is written or not
        seen |= {("over", over[:8192].count(b"c") // 512), ("appended", len(over) // 512), ("copied", len(copied) // 512)}
    assert {("over", 0), ("over", 16), ("appended", 16), ("appended", 32), ("copied", 0), ("copied", 16)} <= seen
    assert len({sectors for what, sectors in seen if what == "over"}) > 3  # and parts of it
