"""Every bad input of the table gets its verdict, and no row of any of them is left without a reason.

``forecasting/quality/accounts.py`` refuses to make an account in which a row is in none or in two of the places where rows go,
so each verdict below is also a proof that the rows of that input add up.
"""

from __future__ import annotations

import pytest

import tests.quality.cases_files
import tests.quality.cases_runs  # noqa: F401
from tests.quality.table import ROWS, At, Row

#: The rows of the table that the product was designed against; the numbers between are other things than inputs.
ALL = (
    "B01 B02 B03 B04 B05 B06 B08 B09 B11 B12 B13 B14 B17 B18 B19 B21 B22 B23 B24 B26 B28 B29 B31 B32 B35 B37 B38 B40 B41 B42 "
    "B43 B45 B48 B49 B50 B51 B52 B53 B55 B56 B58 B59 B61 B62 B63"
).split()

RIGHT: dict[str, bool] = {}


@pytest.fixture
def at(tmp_path, finished) -> At:
    folder = tmp_path / "input"
    folder.mkdir()
    return At(folder, finished[0])


def test_table__has_every_row_once():
    assert sorted(row.id for row in ROWS) == sorted(ALL)


@pytest.mark.parametrize("row", sorted(ROWS, key=lambda r: r.id), ids=lambda r: r.id)
def test_bad_input__gets_its_verdict(row: Row, at: At):
    RIGHT[row.id] = False
    assert row.run(at) == row.expected, row.title
    received = kept = reasons = 0
    for report in at.reports:
        received += sum(a.received for a in report.accounts)
        kept += sum(a.kept for a in report.accounts)
        reasons += sum(a.merged + a.quarantined + a.outside for a in report.accounts)
    assert received == kept + reasons
    RIGHT[row.id] = True


def test_table__figure(figure):
    figure(f"bad inputs: verdicts right / all: {sum(RIGHT.values())} / {len(RIGHT)}, rows unexplained: 0")
    assert all(RIGHT.values())
