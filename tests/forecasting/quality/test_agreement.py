"""Two sources compared: what counts as the same, what as a small difference, and what nobody should use."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from forecasting.quality.agreement import COLUMNS, REASONS, common_spans, compare, compare_actions, reason_of
from forecasting.quality.thresholds import QualityThresholds
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, typed_frame
from sources.files import FilesSource
from tests.quality.table import days_of, good

T = QualityThresholds(agree_within=0.001, quarantine_beyond=0.02, volume_within=0.5, action_days=7)
DAYS = days_of()


def bars(symbol: str = "AAPL", price: float = 100.0) -> pd.DataFrame:
    frame = good(price=price).rename(columns={"Date": "session", **{c: c.lower() for c in good().columns[1:]}})
    return typed_frame(BAR_COLUMNS, frame.assign(symbol=symbol)[list(BAR_COLUMNS)])


def other(**cells: dict[int, float]) -> pd.DataFrame:
    """The same bars with some cells of some rows multiplied."""
    frame = bars()
    for column, rows in cells.items():
        for row, factor in rows.items():
            frame.loc[row, column] *= factor
    return frame


def told(compared) -> list[tuple[str, str, str]]:
    table = compared.disagreements
    return list(zip(table["session"].dt.strftime("%Y-%m-%d"), table["field"], table["verdict"], strict=True))


def actions(*rows: tuple[str, str, float]) -> pd.DataFrame:
    return typed_frame(ACTION_COLUMNS, [("AAPL", day, kind, value) for day, kind, value in rows])


# --- both as traded -------------------------------------------------------------------------------------------------


def test_same_bars__agree():
    found = compare(bars(), bars().sample(frac=1.0, random_state=1), T)
    assert (found.agreed, found.compared, found.verdict) == (60, 60, "agree")
    assert list(found.disagreements.columns) == list(COLUMNS) and found.disagreements.empty


def test_differences__are_judged_by_their_size():
    second = other(close={10: 1.0009, 20: 1.004, 30: 1.03}, low={40: 0.97})
    found = compare(bars(), second, T)
    assert told(found) == [
        (DAYS[20], "close", "warn"),
        (DAYS[30], "close", "quarantine"),
        (DAYS[40], "low", "quarantine"),
    ]
    assert (found.agreed, found.compared, found.verdict) == (57, 60, "quarantine")
    row = found.disagreements.iloc[1]
    assert row["second_value"] == pytest.approx(row["first_value"] * 1.03) and row["difference"] == pytest.approx(0.03)


def test_rounding__is_no_difference():
    """A price of 0.30 in cents is 0.304 in mills; half a cent of it is 1.7 %."""
    penny = bars(price=0.3)
    prices = ["open", "high", "low", "close"]
    exact = penny.assign(**{c: penny[c] + 0.004 * np.sin(np.arange(60)) for c in prices})
    assert compare(exact, penny, T).verdict == "agree" and compare(penny, exact, T).verdict == "agree"
    assert compare(penny.assign(close=penny["close"] + 0.02), penny, T).verdict == "quarantine"


def test_unknown_cells__are_not_compared():
    second = other().assign(open=np.nan)
    second.loc[5, "close"] = np.nan
    second.loc[6, "open"] = 0.0
    assert compare(bars(), second, T).verdict == "agree"


def test_volume__is_compared_loosely_and_never_sets_aside():
    found = compare(bars(), other(volume={10: 1.4, 20: 1.7, 30: 100.0}), T)
    assert told(found) == [(DAYS[20], "volume", "warn"), (DAYS[30], "volume", "warn")]


def test_session_of_one_source_only__inside_the_span_of_both_is_told():
    first, second = bars().iloc[5:].drop(index=20), bars().iloc[:50].drop(index=30)
    found = compare(first, second, T)
    assert told(found) == [(DAYS[20], "session", "warn"), (DAYS[30], "session", "warn")]
    assert np.isnan(found.disagreements["first_value"][0]) and found.compared == 43 == found.agreed


def test_symbols__are_compared_each_with_itself_and_those_of_one_source_not_at_all():
    first = pd.concat([bars("AAPL"), bars("MSFT", 300.0), bars("ONLY")])
    second = pd.concat([bars("MSFT", 300.0), other(close={3: 1.5})])
    found = compare(first, second, T)
    assert found.disagreements[["symbol", "field"]].values.tolist() == [["AAPL", "close"]] and found.compared == 120


def test_nothing_in_common__compares_nothing():
    assert compare(bars(), bars("MSFT"), T).compared == 0
    assert compare(bars(), bars().iloc[:0], T).verdict == "agree"
    assert compare(bars().iloc[:0], bars().iloc[:0], T, "adjusted", "adjusted").compared == 0


# --- one of them adjusted -------------------------------------------------------------------------------------------


def adjusted(frame: pd.DataFrame, row: int, factor: float) -> pd.DataFrame:
    """All prices before ``row`` times ``factor``, as for a dividend or split with that ex-date."""
    frame = frame.copy()
    frame.loc[: row - 1, ["open", "high", "low", "close"]] *= factor
    return frame


def test_adjusted__levels_differ_and_moves_agree():
    found = compare(bars(), adjusted(bars(), 30, 0.97), T, "as_traded", "adjusted", actions((DAYS[30], "dividend", 3.0)))
    assert (found.verdict, found.agreed) == ("agree", 60)


def test_adjusted__a_step_without_an_action_is_told_once_at_its_first_row():
    found = compare(bars(), adjusted(bars(), 30, 0.97), T, "as_traded", "adjusted")
    assert told(found) == [(DAYS[30], "close", "quarantine")]
    assert found.disagreements["difference"][0] == pytest.approx(1 / 0.97 - 1, rel=1e-3)


def test_adjusted__wrong_rows_are_told_and_their_neighbours_not():
    """A wrong close moves two returns; only the one row is wrong."""
    second = adjusted(other(close={10: 1.05, 11: 1.05, 40: 0.9}), 60, 0.5)
    found = compare(bars(), second, T, "as_traded", "adjusted")
    prices = [(day, verdict) for day, field, verdict in told(found) if field == "close"]
    assert prices == [(DAYS[10], "quarantine"), (DAYS[11], "quarantine"), (DAYS[40], "quarantine")]


def test_adjusted__also_where_the_first_row_is_the_wrong_one():
    found = compare(bars(), other(close={0: 1.05}), T, "adjusted", "adjusted")
    assert (DAYS[0], "close", "quarantine") in told(found) and DAYS[1] not in {day for day, _, _ in told(found)}


def test_adjusted__open_high_and_low_are_compared_beside_the_close():
    second = adjusted(other(high={20: 1.1}), 60, 0.25)
    assert told(compare(bars(), second, T, "as_traded", "adjusted")) == [(DAYS[20], "high", "quarantine")]


def test_adjusted__against_a_plain_reading_of_returns():
    """On random walks with a few wrong closes, the rows told are those that a look at each return by hand finds."""
    rng = np.random.default_rng(11)
    for _ in range(20):
        wrong = np.sort(rng.choice(np.arange(2, 58, 3), size=4, replace=False))  # never two beside each other
        second = adjusted(other(close={int(i): 1.0 + rng.uniform(0.03, 0.2) for i in wrong}), 60, rng.uniform(0.1, 3.0))
        found = compare(bars(), second, T, "adjusted", "as_traded")
        by_hand = []
        one, two = bars()["close"].to_numpy(), second["close"].to_numpy()
        for i in range(1, 59):
            off, back = two[i] / two[i - 1] - one[i] / one[i - 1], two[i + 1] / two[i - 1] - one[i + 1] / one[i - 1]
            if abs(off) > 0.01 and abs(back) < 0.01:
                by_hand.append(DAYS[i])
        assert [day for day, field, _ in told(found) if field == "close"] == by_hand == [DAYS[i] for i in wrong]


def test_adj_ratio__a_step_of_one_source_only_is_a_warning():
    first, second = bars().assign(adj_ratio=1.0), bars().assign(adj_ratio=1.0)
    second.loc[:29, "adj_ratio"] = 0.98
    found = compare(first, second, T)
    assert told(found) == [(DAYS[30], "adj_ratio", "warn")]
    first["adj_ratio"] = second["adj_ratio"] * 0.5  # an action after the span moves the whole level
    assert compare(first, second, T).verdict == "agree"


# --- actions --------------------------------------------------------------------------------------------------------


def test_actions__known_to_one_source_only_are_in_doubt():
    one = actions((DAYS[5], "dividend", 0.5), (DAYS[10], "split", 2.0), (DAYS[20], "dividend", 0.5))
    found = compare_actions(one, actions((DAYS[5], "dividend", 0.5), (DAYS[40], "dividend", 0.6)), T)
    said = found[["session", "field", "verdict"]].assign(session=found["session"].dt.strftime("%Y-%m-%d")).values.tolist()
    assert said == [
        [DAYS[10], "split", "quarantine"],
        [DAYS[20], "dividend", "quarantine"],
        [DAYS[40], "dividend", "quarantine"],
    ]
    assert np.isnan(found["second_value"][0]) and np.isnan(found["first_value"][2])


def test_actions__amounts_are_judged_as_prices_are():
    one = actions((DAYS[5], "dividend", 0.5), (DAYS[10], "dividend", 0.5), (DAYS[20], "dividend", 0.5))
    two = actions((DAYS[5], "dividend", 0.5002), (DAYS[10], "dividend", 0.505), (DAYS[20], "dividend", 50.0))
    assert compare_actions(one, two, T)["verdict"].tolist() == ["warn", "quarantine"]


def test_actions__the_same_on_a_near_day_is_a_warning():
    one, two = actions((DAYS[10], "split", 2.0)), actions((DAYS[11], "split", 2.0))
    found = compare_actions(one, two, T)
    assert found[["field", "verdict"]].values.tolist() == [["split", "warn"]]
    assert compare_actions(one, actions((DAYS[40], "split", 2.0)), T)["verdict"].tolist() == ["quarantine"] * 2


def test_actions__outside_the_common_span_are_not_compared():
    spans = common_spans(bars(), bars().iloc[10:])
    one = actions((DAYS[5], "dividend", 0.5), (DAYS[12], "dividend", 0.5))
    assert compare_actions(one, actions((DAYS[12], "dividend", 0.5)), T, spans).empty
    assert spans.astype(str).values.tolist() == [["AAPL", DAYS[10], DAYS[59]]]


def test_reasons__every_field_and_verdict_has_a_code():
    fields = ("open", "high", "low", "close", "volume", "session", "adj_ratio", "split", "dividend")
    codes = {reason_of(field, verdict) for field in fields for verdict in ("warn", "quarantine")}
    assert codes == set(REASONS)


# --- real defects ---------------------------------------------------------------------------------------------------

REPAIRED = (
    "1398-HK-1d-bad-div 4063-T-1d-bad-div 4063-T-1d-bad-stock-split ABDP-L-1d-bad-div AET-L-1d-100x-error "
    "ALPHA-PA-1d-bad-stock-split AV-L-1wk-bad-stock-split CNE-L-1d-bad-stock-split DODFX-1d-cg-double-count KAP-IL-1d-bad-div "
    "KME-MI-1d-bad-div NVT-L-1d-bad-div RGL-L-1d-bad-div SAND-1d-bad-div SPM-MI-1d-bad-stock-split"
).split()


@pytest.mark.parametrize("name", REPAIRED)
def test_second_source__finds_every_real_defect_at_its_rows(shared_data, name):
    """The repaired twin as second source: every row whose own prices differ is told, and nothing else is."""
    folder = shared_data / "dirty" / "yfinance_repair"
    first, second = (
        FilesSource(folder / f"{name}{end}.csv", symbol="X", basis="as_traded").fetch(["X"]) for end in ("", "-fixed")
    )
    found = compare(first.bars, second.bars, T).disagreements
    doubted = compare_actions(first.actions, second.actions, T, common_spans(first.bars, second.bars))
    a, b = (side.bars.drop_duplicates("session", keep="last").set_index("session") for side in (first, second))
    columns = ["open", "high", "low", "close"]
    wrong = a.index[((b[columns] / a[columns] - 1.0).abs() > 0.002).any(axis=1)]
    prices = found[found["field"].isin(columns)]
    assert sorted(set(prices["session"])) == sorted(wrong)
    assert len(prices) + len(doubted) + int((found["field"] == "adj_ratio").sum()) > 0
