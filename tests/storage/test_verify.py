"""Digests depend on content alone, and verify finds what DuckDB's own checksum does not."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from datetime import date

import duckdb
import numpy as np
import pandas as pd
import pytest

import storage.manifest as manifest_module
from forecasting.errors import StorageError
from storage.bars import append_bars
from storage.database import Database
from storage.home import Home
from storage.lease import hold_lease
from storage.ledger import append_forecasts
from storage.manifest import NOT_CONTENT, content_digest, digest_tables
from storage.model_folders import save_model
from storage.registry import append_model
from storage.runs import finish_attempt, record_stage_times, start_attempt
from storage.snapshot import publish
from storage.verify import verify
from tests.storage.by_hand import MONDAY, TUESDAY, bars, forecasts


def _digest(home: Home, parts: list[pd.DataFrame], known_at=MONDAY, attempts: int = 0) -> str:
    db = Database(home)
    with hold_lease(home, db, "test") as lease:
        for frame in parts:
            with db.writing(lease, "run1", "ingest") as tx:
                append_bars(tx, frame, "files", "as_traded", known_at)
        for n in range(attempts):
            with db.writing(lease, "run1", None) as tx:
                finish_attempt(tx, start_attempt(tx, "run1", "daily", MONDAY), "failed", "killed", TUESDAY)
                record_stage_times(tx, "run1", [("ingest", float(n), None)])
    with db.reading() as con:
        tables = digest_tables(con)
        tables.pop("steps")  # the parts of this story are steps of different sizes
        return manifest_module.combined(tables)


def test_content_digest__depends_on_the_content_alone(tmp_path):
    rows = bars(("AAPL", "2024-02-28", 9), ("AAPL", "2024-03-01", 10), ("MSFT", "2024-03-01", 20), ("MSFT", "2024-03-04", 21))
    first = _digest(Home(tmp_path / "a"), [rows])
    assert _digest(Home(tmp_path / "b"), [rows.iloc[[3, 1]], rows.iloc[[2, 0]]], TUESDAY, attempts=2) == first
    assert _digest(Home(tmp_path / "c"), [rows.iloc[:3]]) != first
    assert _digest(Home(tmp_path / "d"), [rows.assign(close=[9, 10, 21, 20])]) != first
    assert _digest(Home(tmp_path / "e"), [rows, rows.iloc[:1].assign(close=9.5), rows.iloc[:1]]) != first  # revised twice


def test_content_digest__by_month_in_one_query_or_streamed_is_the_same(db, lease, monkeypatch):
    days = pd.bdate_range("2024-01-01", periods=60)
    with db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(*(("AAPL", str(d.date()), 10.0 + n) for n, d in enumerate(days))), "files", "as_traded", MONDAY)
    with db.reading() as con:
        whole = digest_tables(con)
        monkeypatch.setattr(manifest_module, "_BATCH_ROWS", 22)  # some months batched, some streamed
        assert digest_tables(con) == whole
    assert sorted(whole["bars"].chunks) == [202401, 202402, 202403]


def test_digest_tables__with_a_previous_one_reads_only_what_grew_and_agrees(db, lease):
    with db.writing(lease, "run1", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-02-28", 9), ("AAPL", "2024-03-01", 10)), "files", "as_traded", MONDAY)
    with db.reading() as con:
        before = digest_tables(con)
    with db.writing(lease, "run2", "ingest") as tx:
        append_bars(tx, bars(("AAPL", "2024-02-28", 9.5), ("AAPL", "2024-04-01", 10)), "files", "as_traded", MONDAY)
    with db.reading() as con:
        assert digest_tables(con, before) == digest_tables(con)
        assert digest_tables(con, before)["bars"].chunks[202403] is before["bars"].chunks[202403]


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Home:
    """A home with 30 symbols x 250 sessions, forecasts and a model, published."""
    home = Home(tmp_path_factory.mktemp("verify") / "home")
    db = Database(home)
    rng = np.random.default_rng(5)
    days = [str(d.date()) for d in pd.bdate_range("2023-01-02", periods=250)]
    rows = [(f"S{i:02d}", day, float(rng.uniform(10, 100))) for i in range(30) for day in days]
    issued = forecasts(*((f"S{i:02d}", days[-1], 1, "2023-12-29", name) for i in range(30) for name in ("lstm", "ewma")))
    with hold_lease(home, db, "test") as lease:
        with db.writing(lease, "run1", "ingest") as tx:
            append_bars(tx, bars(*rows), "synthetic", "as_traded", MONDAY)
            append_forecasts(tx, issued)
            model_id = save_model(home, {"kernel": rng.normal(size=(8, 8))}, {"spec": {}})
            append_model(tx, model_id, date(2023, 12, 1), "global", {}, None, None, None, None, MONDAY)
        publish(db, home, "run1", MONDAY)
    assert verify(home) == []
    return home


@pytest.fixture
def copy(published, tmp_path) -> Home:
    shutil.copytree(published.path, tmp_path / "copy")
    return Home(tmp_path / "copy")


_READ_ALL = """
import sys, hashlib, duckdb
try:
    with duckdb.connect(sys.argv[1], read_only=True) as con:
        names = con.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'store' ORDER BY 1").fetchall()
        rows = {n: con.execute(f"SELECT * FROM store.{n} ORDER BY ALL").fetchall() for (n,) in names if n not in sys.argv[2:]}
        print(hashlib.sha256(repr(rows).encode()).hexdigest())
except (duckdb.Error, UnicodeDecodeError) as error:
    print(type(error).__name__)
"""


def _content(home: Home) -> str:
    """A digest of everything the database answers, or how it fails; in a process of its own, which some damage crashes."""
    child = subprocess.run([sys.executable, "-c", _READ_ALL, str(home.database), *NOT_CONTENT], capture_output=True, text=True)
    return child.stdout.strip() or f"ended with {child.returncode}"


def _flip_bit(data: bytearray, at: int, rng) -> None:
    data[at] ^= 1 << int(rng.integers(8))


def _swap_words(data: bytearray, at: int, rng) -> None:
    """Exchange two different 8-byte words of one block: DuckDB's checksum does not depend on their order."""
    at -= at % 8
    for step in range(1, 400):
        other = at + 8 * step
        if data[at : at + 8] != data[other : other + 8] and other + 8 < len(data):
            data[at : at + 8], data[other : other + 8] = data[other : other + 8], data[at : at + 8]
            return


def _zero_stretch(data: bytearray, at: int, rng) -> None:
    data[at : at + 512] = bytes(len(data[at : at + 512]))


@pytest.mark.parametrize("damage", [_flip_bit, _swap_words, _zero_stretch], ids=lambda f: f.__name__.strip("_"))
def test_verify__finds_every_change_of_content_in_the_database_file(copy, damage):
    whole = copy.database.read_bytes()
    expected = _content(copy)
    rng = np.random.default_rng(11)
    changed = 0
    used = [at for at in range(3 * 4096, len(whole) - 4096, 512) if whole[at : at + 512].count(0) < 400]
    for at in rng.choice(used, 12, replace=False) + rng.integers(0, 504, 12):
        data = bytearray(whole)
        damage(data, int(at), rng)
        copy.database.write_bytes(data)
        if _content(copy) != expected:  # the rest hit bytes that nobody reads
            changed += 1
            findings = verify(copy)
            assert findings, f"{damage.__name__} at {at} was not found"
            assert all("\n" not in str(finding) for finding in findings)
    assert changed >= 5
    copy.database.write_bytes(whole)
    assert verify(copy) == []


def test_verify__finds_values_exchanged_behind_a_valid_checksum(copy):
    """As if DuckDB had read swapped words without noticing: the rows are whole, but not those that were stored."""
    with duckdb.connect(str(copy.database)) as con:
        con.execute("UPDATE store.bars SET close = 100 - close WHERE symbol = 'S07' AND session = '2023-05-02'")
        con.execute("UPDATE store.forecasts SET issued_at = issued_at + INTERVAL 1 SECOND WHERE symbol = 'S01'")
        con.execute("DELETE FROM store.bars WHERE symbol = 'S07' AND session = '2023-07-04'")
    said = [str(finding) for finding in verify(copy)]
    assert said == [
        "database bars 2023-05: the rows are not those that were stored; run `nextclose recover`",
        "database bars 2023-07: 629 rows, the manifest says 630: rows were lost; run `nextclose recover`",
        "database forecasts 2023-12-15: the rows are not those that were stored; run `nextclose recover`",
    ]


def test_verify__of_a_home_that_is_published_meanwhile_finds_nothing(copy, monkeypatch):
    """A run publishes after the manifest was read and before the snapshot is looked at."""
    import storage.verify

    real, ran = storage.verify._database_apart, []

    def and_a_run_ends(home, lock_wait):
        found = real(home, lock_wait)
        if not ran:
            ran.append(True)
            db = Database(copy)
            with hold_lease(copy, db, "test") as lease, db.writing(lease, "run2", "ingest") as tx:
                append_bars(tx, bars(("S01", "2024-01-02", 1.0)), "synthetic", "as_traded", MONDAY)
            publish(db, copy, "run2", MONDAY)
        return found

    monkeypatch.setattr(storage.verify, "_database_apart", and_a_run_ends)
    assert verify(copy) == [] and ran


def test_verify__names_rows_that_are_not_published_yet(copy):
    """Only such rows can sit in the log that DuckDB may tear silently; the run that wrote them is simply run again."""
    db = Database(copy)
    with hold_lease(copy, db, "test") as lease, db.writing(lease, "run2", "ingest") as tx:
        append_bars(tx, bars(("S01", "2024-01-02", 1.0)), "synthetic", "as_traded", MONDAY)
    assert [(f.kind, f.what) for f in verify(copy)] == [("unpublished", "bars 2024-01"), ("unpublished", "steps")]
    publish(db, copy, "run2", MONDAY)
    assert not copy.database.with_name("nextclose.duckdb.wal").exists()
    assert verify(copy) == []


def test_verify__finds_a_changed_manifest_snapshot_or_model_and_a_missing_file(copy, monkeypatch):
    monkeypatch.setattr("storage.verify._MOMENT", 0.1)  # nobody publishes

    def kinds() -> list[str]:
        return [finding.kind for finding in verify(copy)]

    text = copy.manifest.read_bytes()
    copy.manifest.write_bytes(text.replace(b'"rows": 7500', b'"rows": 7501'))
    assert kinds() == ["manifest"]
    copy.manifest.write_bytes(text[:-10])
    assert kinds() == ["manifest"]
    copy.manifest.write_bytes(text)

    content = bytearray(copy.snapshot.read_bytes())
    copy.snapshot.chmod(0o644)
    content[len(content) // 2] ^= 1
    copy.snapshot.write_bytes(content)
    assert kinds() == ["snapshot"]
    content[len(content) // 2] ^= 1
    copy.snapshot.write_bytes(content)

    (weights,) = copy.models.glob("*/weights.npz")
    weights.write_bytes(weights.read_bytes()[:-1])
    assert kinds() == ["model"]
    copy.database.unlink()
    assert kinds() == ["database"]
    with pytest.raises(StorageError):
        Database(copy)  # and no empty one is made in its place


def test_content_digest__is_64_hex_digits(published):
    with Database(published).reading() as con:
        assert len(bytes.fromhex(content_digest(con))) == struct.calcsize("32s")
