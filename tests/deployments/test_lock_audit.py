"""The audit of the lock: what is excepted is dated and explained, and what has run out is asked about again."""

from __future__ import annotations

from datetime import date

import pytest

from deployments.audit import LIST, excepted, locked_names, order
from forecasting.errors import InputError
from tests.deployments.conftest import ROOT

LOCK = locked_names((ROOT / "requirements.lock").read_text(encoding="utf-8"))
ENTRY = """
[[exception]]
id = "CVE-2026-1234"
package = "keras"
since = 2026-11-01
until = 2027-01-31
why = "Needs a model file of somebody else, and we load none."
"""


def test_list__is_of_the_form_and_about_locked_packages():
    assert {"prefect", "keras", "duckdb", "typing-extensions"} <= LOCK
    found = excepted(LIST.read_text(encoding="utf-8"), LOCK)
    assert len({one.id for one in found}) == len(found)


def test_exception__is_passed_over_until_its_last_day_and_no_longer():
    found = excepted(ENTRY, LOCK)
    assert order(found, date(2027, 1, 31))[-2:] == ["--ignore-vuln", "CVE-2026-1234"]
    assert "--ignore-vuln" not in order(found, date(2027, 2, 1))
    assert order(found, date(2027, 2, 1), ["--format", "json"])[-2:] == ["--format", "json"]


@pytest.mark.parametrize(
    ("was", "now", "words"),
    [
        ('"CVE-2026-1234"', '"the one in keras"', "is no id such as"),
        ('"keras"', '"left-pad"', "excepts left-pad, which is not locked"),
        ("2027-01-31", "2027-12-31", "180 days at most"),
        ("2027-01-31", "2026-10-31", "180 days at most"),
        ('"Needs a model file of somebody else, and we load none."', '"fine"', "needs a sentence"),
        ("since = 2026-11-01\n", "", "has not id, package, since, until and why"),
    ],
)
def test_exception__that_says_too_little_is_refused(was, now, words):
    with pytest.raises(InputError, match=words):
        excepted(ENTRY.replace(was, now), LOCK)
