"""Landing files named by their content, and stored feature values."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import StorageError
from storage.append import Appended
from storage.features import append_features, read_features
from storage.landing import load_landing, save_landing
from storage.quarantine import append_quarantine, refused_by
from tests.storage.by_hand import MONDAY, bars


def test_landing__keeps_a_reply_under_its_digest_and_notices_a_change(home):
    reply = bars(("NA", "2024-03-01", 10), ("0700.HK", "2024-03-01", 300))
    landed = save_landing(home, reply)
    assert save_landing(home, reply) == landed
    assert (landed.rows, len(list(home.landing.iterdir()))) == (2, 1)
    pd.testing.assert_frame_equal(load_landing(home, landed.digest), reply)
    landed.path.write_bytes(landed.path.read_bytes() + b" ")
    with pytest.raises(StorageError, match="was changed"):
        load_landing(home, landed.digest)
    with pytest.raises(StorageError, match="cannot be read"):
        load_landing(home, "0" * 64)


def test_features__are_read_back_as_stored(db, lease):
    session = pd.to_datetime(["2024-03-01", "2024-03-04"]).astype("datetime64[us]")
    frame = pd.DataFrame({"symbol": "AAPL", "session": session, "feature": "rsi_14", "value": [np.nan, 55.5]})
    with db.writing(lease, "run1", "features") as tx:
        assert append_features(tx, frame, "first/1") == Appended(2, 0, 0)
        assert append_features(tx, frame.assign(value=1.0), "first/1") == Appended(0, 2, 0)
    with db.reading() as con:
        pd.testing.assert_frame_equal(read_features(con, "first/1"), frame, check_dtype=False)
        assert len(read_features(con, "first/1", symbols=["AAPL"], until=date(2024, 3, 1))) == 1
        assert con.execute("SELECT session, value FROM features_latest").fetchall() == [(date(2024, 3, 4), 55.5)]


def test_refusals__are_kept_of_every_run(db, lease):
    """Two runs of one evening leave BBB out for the same reason: each says so."""
    row = {"symbol": ["BBB"], "session": [pd.Timestamp("2024-03-01")], "reason": "down", "severity": "refused"}
    frame = pd.DataFrame({**row, "message": "no answer", "row_json": None})
    first, again = Appended(1, 0, 0), Appended(0, 1, 0)
    for run, step, expected in (("run1", "clean", first), ("run2", "clean", first), ("run2", "forecast", again)):
        with db.writing(lease, run, step) as tx:
            assert append_quarantine(tx, frame, "files", MONDAY) == expected
    with db.reading() as con:
        assert [refused_by(con, run) for run in ("run1", "run2")] == [[("BBB", "down", "no answer")]] * 2


def test_quarantine__keeps_the_same_bad_row_once_and_another_beside_it(db, lease):
    row = {"symbol": ["AAPL"], "session": [pd.Timestamp("2024-03-01")], "reason": "high_below_low", "severity": "quarantine"}
    frame = pd.DataFrame({**row, "message": "high 9 below low 10", "row_json": '{"high": 9}'})
    for run, expected in (("run1", Appended(1, 0, 0)), ("run2", Appended(0, 1, 0))):
        with db.writing(lease, run, "clean") as tx:
            assert append_quarantine(tx, frame, "files", MONDAY) == expected
    with db.writing(lease, "run3", "clean") as tx:
        assert append_quarantine(tx, frame.assign(row_json='{"high": 8}', session=pd.NaT), "files", MONDAY) == Appended(1, 0, 0)
