"""Findings, verdicts and accounts: what is said about prices, and that every row is somewhere."""

from __future__ import annotations

from datetime import date

import numpy as np
import pandas as pd
import pytest

from forecasting.errors import NoSession, UnknownSymbol
from forecasting.quality.accounts import Account, Finding, accounts_of, disagreement_findings, findings_of, rules, verdict_of
from forecasting.quality.cleaning import clean_bars
from sources.base import BAR_COLUMNS, REJECT_COLUMNS, typed_frame
from tests.quality.table import days_of, good

DAYS = days_of()
WARNED = Finding("stale", "warn", "AAPL", (date(2024, 1, 2),), "")
ASIDE = Finding("nan_close", "quarantine", "AAPL", (date(2024, 1, 3),), "")
REFUSED = Finding("shifted_sessions", "reject", "AAPL", (date(2024, 1, 4),), "")


def bars(symbol: str = "AAPL") -> pd.DataFrame:
    frame = good().rename(columns={"Date": "session"} | {c: c.lower() for c in ("Open", "High", "Low", "Close", "Volume")})
    return typed_frame(BAR_COLUMNS, frame.assign(symbol=symbol)[list(BAR_COLUMNS)])


def cleaned(frame: pd.DataFrame):
    return clean_bars(frame, np.array(DAYS, dtype="datetime64[D]"), date(2024, 3, 28))


def test_verdict__is_the_worst_that_was_found():
    assert verdict_of([]) == "accept"
    assert verdict_of([WARNED]) == "accept with warning"
    assert verdict_of([WARNED, ASIDE]) == "quarantine"
    assert verdict_of([ASIDE, REFUSED, WARNED]) == "reject"


def test_verdict__where_one_of_two_symbols_is_rejected_the_other_goes_on():
    assert verdict_of([REFUSED], ["AAPL"]) == "reject"
    assert verdict_of([REFUSED], ["AAPL", "MSFT"]) == "quarantine"
    assert verdict_of([Finding("unreadable", "reject", "", (), "")], ["AAPL", "MSFT"]) == "reject"


def test_findings__name_the_rule_the_symbol_and_exactly_the_rows():
    frame = pd.concat([bars("AAPL"), bars("MSFT")], ignore_index=True)
    frame.loc[[10, 12], "close"] = np.nan
    frame.loc[70, "volume"] = -1.0
    found = findings_of(cleaned(frame))
    assert [(f.rule, f.severity, f.symbol, [str(d) for d in f.sessions]) for f in found] == [
        ("nan_close", "quarantine", "AAPL", [DAYS[10], DAYS[12]]),
        ("negative_volume", "quarantine", "MSFT", [DAYS[10]]),
    ]
    assert found[0].message == "the close is not known (2 rows)" and str(found[1]).startswith(f"MSFT {DAYS[10]}: the volume is")


def test_findings__the_gravest_first_and_one_for_each_rule_of_a_symbol():
    rejects = typed_frame(
        REJECT_COLUMNS,
        [("AAPL", pd.Timestamp(DAYS[3]), 5, "not_a_number", "Close: 'x' is not a number", "{}"),
         ("AAPL", pd.Timestamp(DAYS[4]), 6, "not_a_number", "Close: 'y' is not a number", "{}"),
         (None, None, 9, "repeated_header", "is the header again", "{}")],
    )  # fmt: skip
    failures = {"ZZZ": UnknownSymbol("files", "ZZZ", "no such symbol there"), "HOL": NoSession("files", "HOL", "closed")}
    found = findings_of(cleaned(bars()), None, rejects, failures)
    assert [(f.rule, f.severity, f.symbol, f.rows) for f in found] == [
        ("unknown_symbol", "reject", "ZZZ", 0),
        ("not_a_number", "quarantine", "AAPL", 2),
        ("repeated_header", "warn", "", 1),
    ]
    assert found[1].sessions == (date(2024, 1, 5), date(2024, 1, 8)) and "Close: 'x' is not a number" in found[1].message


def test_accounts__say_of_every_row_where_it_went():
    frame = bars()
    frame.loc[10, "close"] = np.nan
    frame = pd.concat([frame, frame.iloc[[20]], bars("MSFT").iloc[:5]], ignore_index=True)
    rejects = typed_frame(
        REJECT_COLUMNS, [("MSFT", None, 7, "bad_date", "no date", "{}"), (None, None, 8, "bad_symbol", "", "{}")]
    )
    accounts = {a.symbol: a for a in accounts_of(frame, cleaned(frame), rejects)}
    assert accounts["AAPL"] == Account("AAPL", received=61, merged=1, quarantined=1, warned=accounts["AAPL"].warned)
    assert accounts["AAPL"].kept == 59 and accounts["MSFT"].kept == 5
    assert (accounts["MSFT"].received, accounts["MSFT"].quarantined) == (6, 1)
    assert accounts[""] == Account("", received=1, quarantined=1)
    assert sum(a.received for a in accounts.values()) == len(frame) + len(rejects)


def test_accounts__refuse_a_row_that_vanished():
    frame = bars()
    found = cleaned(frame)
    with pytest.raises(ValueError, match="rows without a reason.*received=61.*60 kept"):
        accounts_of(pd.concat([frame, frame.iloc[[0]].assign(session=pd.Timestamp("2023-12-29"))]), found)


@pytest.mark.parametrize(
    "numbers",
    [
        {"received": 5, "quarantined": 6},
        {"received": 5, "merged": 3, "quarantined": 3},
        {"received": 5, "warned": 6},
        {"received": 5, "quarantined": 1, "stored": 5},
        {"received": 5, "stored": 2, "unchanged": 1, "revised": 1},
    ],
)
def test_account__that_does_not_add_up_cannot_be_made(numbers):
    with pytest.raises(ValueError, match="rows without a reason: Account"):
        Account("AAPL", **numbers)


def test_account__of_stored_rows_adds_up():
    account = Account("AAPL", received=10, merged=1, quarantined=2, outside=1, stored=3, unchanged=2, revised=1)
    assert account.kept == 6


def test_disagreements__become_findings_of_their_own():
    rows = pd.DataFrame(
        [("AAPL", pd.Timestamp(DAYS[3]), "close", 100.0, 104.0, 0.04, "quarantine"),
         ("AAPL", pd.Timestamp(DAYS[3]), "high", 101.0, 105.0, 0.04, "quarantine"),
         ("AAPL", pd.Timestamp(DAYS[5]), "close", 100.0, 100.5, 0.005, "warn"),
         ("AAPL", pd.Timestamp(DAYS[9]), "split", 2.0, np.nan, np.nan, "quarantine"),
         ("AAPL", pd.Timestamp(DAYS[9]), "session", 2.0, np.nan, np.nan, "warn")],
        columns=["symbol", "session", "field", "first_value", "second_value", "difference", "verdict"],
    )  # fmt: skip
    found = disagreement_findings(rows)
    assert [(f.rule, f.severity, len(f.sessions)) for f in found] == [
        ("sources_disagree", "quarantine", 1),
        ("actions_disagree", "quarantine", 1),
        ("sources_differ", "warn", 1),
        ("one_source_only", "warn", 1),
    ]
    assert "close of 2024-01-05: 100 and 104" in found[0].message and "2 and nothing" in found[1].message


def test_rules__each_has_a_severity_and_a_sentence_and_no_code_means_two_things():
    for code, (severity, text) in rules().items():
        assert severity in ("warn", "quarantine", "reject") and text and code == code.lower()
