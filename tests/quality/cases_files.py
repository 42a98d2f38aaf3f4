"""Bad inputs that are a file: what ``nextclose quality --prices`` says of each."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd

from forecasting.inputs import make_inputs, rows_at
from forecasting.panel import Panel
from tests.quality.table import (
    ACCEPT,
    NOW,
    QUARANTINE,
    REJECT,
    WARN,
    At,
    bad_input,
    changed,
    days_of,
    good,
    judged,
    scaled,
)

DAYS = days_of()


@bad_input("B03", "all-NaN row today", QUARANTINE)
def all_nan(at: At) -> str:
    nothing = dict.fromkeys(("Open", "High", "Low", "Close", "Volume"))
    return at.verdict(changed(59, **nothing), "nan_close", DAYS[59:])


@bad_input("B04", "NaN close, other fields fine", QUARANTINE)
def nan_close(at: At) -> str:
    return at.verdict(changed(30, Close=None), "nan_close", DAYS[30:31])


@bad_input("B05", "NaN volume", WARN)
def nan_volume(at: At) -> str:
    assert at.verdict(good("^GSPC", price=5000.0).assign(Volume=None), None, name="^GSPC.csv") == ACCEPT  # an index has none
    assert at.verdict(good("EURUSD=X", price=1.1).assign(Volume=None), None, name="EURUSD=X.csv") == ACCEPT
    return at.verdict(changed(30, Volume=None), "volume_unknown", DAYS[30:31])


@bad_input("B06", "zero close", QUARANTINE)
def zero_close(at: At) -> str:
    zeros = changed(30, Open=0, High=0, Low=0, Close=0, Volume=0)
    assert at.verdict(zeros, "non_positive_price", DAYS[30:31]) == QUARANTINE
    return at.verdict(changed(30, Close=0), "non_positive_price", DAYS[30:31])


@bad_input("B08", "+inf, 1e308, subnormal", QUARANTINE)
def not_finite(at: At) -> str:
    assert at.verdict(changed(30, High="inf"), "non_finite", DAYS[30:31]) == QUARANTINE
    assert at.verdict(changed(30, Low="5e-324"), "implausible_price", DAYS[30:31]) == QUARANTINE
    return at.verdict(changed(30, High="1e308"), "implausible_price", DAYS[30:31])


@bad_input("B09", "low > open; high < close; low > high", QUARANTINE)
def out_of_order(at: At) -> str:
    quiet = changed(30, Open=100.0, High=102.0, Low=99.0, Close=101.0)
    for cells in ({"Low": 100.1}, {"Low": 101.5}, {"High": 100.9}, {"High": 99.5}):
        assert at.verdict(changed(30, quiet, **cells), "outside_range", DAYS[30:31]) == QUARANTINE, cells
    return at.verdict(changed(30, quiet, High=99.0, Low=102.0), "high_below_low", DAYS[30:31])


@bad_input("B11", "duplicate date, identical rows", WARN)
def duplicate_identical(at: At) -> str:
    verdict = at.verdict(pd.concat([good(), good().iloc[30:31]]), "duplicate_identical", DAYS[30:31])
    [account] = at.reports[-1].accounts
    assert (account.received, account.kept, account.merged) == (61, 60, 1)
    return verdict


@bad_input("B12", "duplicate date, different close", QUARANTINE)
def duplicate_conflict(at: At) -> str:
    other = changed(30, good(), Close=good()["Close"][30] + 0.05).iloc[30:31]
    verdict = at.verdict(pd.concat([good(), other]), "duplicate_conflict", DAYS[30:31], only=False)
    [account] = at.reports[-1].accounts
    assert (account.received, account.kept, account.quarantined) == (61, 59, 2)
    return verdict


@bad_input("B14", "unsorted, reversed dates", ACCEPT)
def unsorted(at: At) -> str:
    assert at.verdict(good().sample(frac=1.0, random_state=3)) == ACCEPT
    return at.verdict(good().iloc[::-1])


@bad_input("B17", "Sunday row, crypto ticker", ACCEPT)
def crypto_sunday(at: At) -> str:
    assert "2024-01-07" in days_of("BTC-USD")
    assert at.verdict(good("BTC-USD"), "not_a_session", name="AAPL.csv", only=False) != ACCEPT  # the same rows of a stock
    return at.verdict(good("BTC-USD"), name="BTC-USD.csv")


@bad_input("B18", "running session fetched before close", QUARANTINE)
def running_session(at: At) -> str:
    during = datetime(2024, 3, 27, 19, 45, tzinfo=UTC)  # 15:45 in New York on the day of the last row
    assert DAYS[59] == "2024-03-27"
    assert at.verdict(good(), None, now=datetime(2024, 3, 27, 21, tzinfo=UTC)) == ACCEPT
    return at.verdict(good(), "not_final", DAYS[59:], now=during)


@bad_input("B19", "half day (13:00 close), run at 14:00", ACCEPT)
def half_day(at: At) -> str:
    bars = good(start="2024-04-10")  # to 3 July 2024, which closes at 13:00
    assert bars["Date"].iloc[-1] == "2024-07-05"
    bars = bars.iloc[:59]
    assert at.verdict(bars, "not_final", ["2024-07-03"], now=datetime(2024, 7, 3, 16, tzinfo=UTC)) == QUARANTINE  # 12:00
    return at.verdict(bars, now=datetime(2024, 7, 3, 18, tzinfo=UTC))  # 14:00


@bad_input("B21", "ad hoc closure: calendar expects a session, no row in two sources", WARN)
def unknown_closure(at: At) -> str:
    (at.folder / "second").mkdir()
    second = at.write(good().drop(index=30), "second/AAPL.csv")
    assert at.verdict(good().drop(index=30), "gap", DAYS[30:31]) == WARN  # one source alone: only that something is missing
    return at.verdict(good().drop(index=30), "calendar_disagrees", DAYS[30:31], second=second)


@bad_input("B22", "gap of 1 session in the middle", WARN)
def gap(at: At) -> str:
    return at.verdict(good().drop(index=30), "gap", DAYS[30:31])


@bad_input("B23", "gap of 40 sessions (suspension)", WARN)
def long_gap(at: At) -> str:
    days = days_of(n=140)
    return at.verdict(good(n=140).drop(index=range(60, 100)), "long_gap", days[60:100], now=datetime(2024, 12, 1, tzinfo=UTC))


@bad_input("B24", "date shifted -1 day (Berlin midnight in UTC)", REJECT)
def shifted(at: At) -> str:
    bars = good("SAP.DE", start="2023-11-02", n=100)
    before = (pd.to_datetime(bars["Date"]) - pd.Timedelta(days=1)).dt.strftime("%Y-%m-%d")
    assert at.verdict(bars, name="SAP.DE.csv") == ACCEPT
    return at.verdict(bars.assign(Date=before), "shifted_sessions", list(before), name="SAP.DE.csv")


@bad_input("B26", "DST: midnight missing (Santiago), twice", ACCEPT)
def santiago(at: At) -> str:
    """Clocks went forward at midnight of Sunday 8 September 2019, and back at midnight before Sunday 5 April 2020."""
    for around, offsets in (("2019-09-08", ("-04:00", "-03:00")), ("2020-04-05", ("-03:00", "-04:00"))):
        start = str(np.datetime64(around) - 20)
        bars = good("SQM-B.SN", n=25, start=start, price=20_000.0)
        stamped = [f"{d} 00:00:00{offsets[d > around]}" for d in bars["Date"]]
        utc = [str(pd.Timestamp(s).tz_convert("UTC")) for s in stamped]
        for dates in (stamped, utc):
            assert at.verdict(bars.assign(Date=dates), name="SQM-B.SN.csv") == ACCEPT
            kept = judged(at.folder / "SQM-B.SN.csv").cleaned.bars
            assert [str(d.date()) for d in kept["session"]] == list(bars["Date"])
    return ACCEPT


@bad_input("B28", "100x block of 20 rows", QUARANTINE)
def unit_block(at: At) -> str:
    for factor in (0.01, 100.0, 1000.0):
        assert at.verdict(scaled(good(), factor, slice(20, 40)), "unit_jump", DAYS[20:40]) == QUARANTINE
    return at.verdict(scaled(good(), 100.0, slice(20, 40)), "unit_jump", DAYS[20:40])


@bad_input("B29", "whole table 100x against stored history", REJECT)
def unit_changed(at: At) -> str:
    path = at.write(scaled(good(), 100.0))
    assert judged(path).verdict == ACCEPT  # nothing in the file itself says so
    found = judged(path, stored={"AAPL": 99.0})
    assert [f.rule for f in found.findings] == ["unit_changed"] and len(found.findings[0].sessions) == 60
    return found.verdict


@bad_input("B31", "real +120% day with volume spike (GME)", WARN)
def large_move(at: At) -> str:
    bars = scaled(good(), 2.2, slice(30, None))
    bars.loc[30, "Low"] = bars["Low"][29]
    bars.loc[30, "Volume"] = 9_000_000
    return at.verdict(bars, "large_move", DAYS[30:31])


@bad_input("B35", "reverse split 1:30", ACCEPT)
def reverse_split(at: At) -> str:
    bars = scaled(good(price=2.0), 30.0, slice(30, None)).assign(**{"Dividends": 0.0, "Stock Splits": 0.0})
    bars.loc[30, "Stock Splits"] = 1 / 30
    verdict = at.verdict(bars)
    from tasks.checking import read_delivery

    actions = read_delivery(at.folder / "AAPL.csv", {})[0].actions
    assert [(a.kind, str(a.session.date()), round(a.value * 30, 9)) for a in actions.itertuples()] == [("split", DAYS[30], 1.0)]
    return verdict


@bad_input("B38", "10 repeated identical rows, zero volume", WARN)
def stale(at: At) -> str:
    bars = good()
    for row in range(31, 41):
        bars.loc[row, ["Open", "High", "Low", "Close"]] = bars["Close"][30]
        bars.loc[row, "Volume"] = 0
    return at.verdict(bars, "stale", DAYS[31:41], only=False)


@bad_input("B40", "close changes, volume 0", WARN)
def zero_volume(at: At) -> str:
    return at.verdict(changed(30, Volume=0), "zero_volume_move", DAYS[30:31])


@bad_input("B41", "constant series of 500 rows", ACCEPT)
def constant(at: At) -> str:
    late = datetime(2026, 6, 1, tzinfo=UTC)
    bars = good(n=500).assign(Open=10.0, High=10.0, Low=10.0, Close=10.0)
    verdict = at.verdict(bars, now=late)
    refused = _refused(judged(at.folder / "AAPL.csv", now=late).cleaned.bars, lookback=60)
    assert refused == "ConstantSeries"
    return verdict


@bad_input("B42", "1 row; 29 rows; exactly the minimum; minimum - 1", ACCEPT)
def few_rows(at: At) -> str:
    for rows, refused in ((1, "NotEnoughHistory"), (29, "NotEnoughHistory"), (59, "NotEnoughHistory"), (60, None)):
        assert at.verdict(good(n=rows)) == ACCEPT
        assert _refused(judged(at.folder / "AAPL.csv").cleaned.bars, lookback=60) == refused
    return ACCEPT


def _refused(bars: pd.DataFrame, lookback: int) -> str | None:
    inputs = make_inputs(Panel.from_frames(bars), ("ret",), (1,))
    _, refused = rows_at(inputs, ["AAPL"], bars["session"].max().date(), lookback)
    return type(refused["AAPL"]).__name__ if refused else None


@bad_input("B43", "volume 3e9, 11e9", ACCEPT)
def large_volume(at: At) -> str:
    bars = good()
    bars.loc[[30, 31], "Volume"] = [3_000_000_001, 11_000_000_003]
    bars["Volume"] = bars["Volume"].where(bars["Volume"] > 2**31, bars["Volume"] * 2000)  # a volume spike alone is no defect
    verdict = at.verdict(bars)
    assert judged(at.folder / "AAPL.csv").cleaned.bars["volume"].iloc[30:32].tolist() == [3_000_000_001.0, 11_000_000_003.0]
    return verdict


@bad_input("B45", 'price as "1,234.56", "1.234,56", "12.3 USD", "-"', QUARANTINE)
def foreign_numbers(at: At) -> str:
    bars = good(price=1234.0)
    english = bars.assign(Close=[f"{c:,.2f}" for c in bars["Close"]])
    german = bars.assign(**{k: [f"{c:,.2f}".translate(str.maketrans(",.", ".,")) for c in bars[k]]
                            for k in ("Open", "High", "Low", "Close")})  # fmt: skip
    assert at.verdict(english) == ACCEPT
    assert at.verdict(german, decimal=",") == ACCEPT
    assert at.verdict(german, "not_a_number", list(bars["Date"])) == QUARANTINE
    assert at.verdict(changed(30, Close="-"), "nan_close", DAYS[30:31]) == QUARANTINE
    return at.verdict(changed(30, Close="12.3 USD"), "not_a_number", DAYS[30:31])


@bad_input("B52", "0700.HK, 0005.HK, 005930.KS, 7203.T", ACCEPT)
def leading_zeros(at: At) -> str:
    for symbol in ("0700.HK", "0005.HK", "005930.KS", "7203.T"):
        assert at.verdict(good(symbol), name=f"{symbol}.csv") == ACCEPT
        assert at.reports[-1].accounts[0].symbol == symbol
    together = pd.concat([good(s).assign(ticker=s) for s in ("0700.HK", "0005.HK", "005930.KS", "7203.T")])
    verdict = at.verdict(together, name="asia.csv")
    assert [a.symbol for a in at.reports[-1].accounts] == ["0005.HK", "005930.KS", "0700.HK", "7203.T"]
    return verdict


@bad_input("B55", "=1+1, @SUM(A1), +A, -A, tab", QUARANTINE)
def formulas(at: At) -> str:
    hostile = ["=1+1", "@SUM(A1)", "+A", "-A", "A\tB"]
    bars = good().assign(ticker="AAPL")
    bars.loc[range(30, 35), "ticker"] = hostile
    verdict = at.verdict(bars, "bad_symbol", DAYS[30:35], name="panel.csv", only=False)
    assert {a.symbol: a.received for a in at.reports[-1].accounts} == {"": 5, "AAPL": 55}
    return verdict


@bad_input(
    "B56",
    "CSV: BOM, CRLF, semicolon, quoted newline, more columns, header twice, none, latin-1, NUL byte",
    "right, or one line",
)
def odd_csv(at: At) -> str:
    text = good().to_csv(index=False)
    head, *lines = text.splitlines()
    right = {
        "BOM": "\ufeff" + text,
        "CRLF": text.replace("\n", "\r\n"),
        "semicolon": text.replace(",", ";"),
        "quoted newline": "\n".join([head + ",Note", *(line + ',"two\nlines"' for line in lines)]) + "\n",
    }
    for name, content in right.items():
        (at.folder / "AAPL.csv").write_bytes(content.encode())
        assert at.verdict(at.folder / "AAPL.csv") == ACCEPT, name
    (at.folder / "AAPL.csv").write_bytes((head + ",Größe\n" + "\n".join(line + ",é" for line in lines)).encode("latin-1"))
    assert at.verdict(at.folder / "AAPL.csv") == ACCEPT
    wide = "\n".join([head, *lines[:30], lines[30] + ",1,2,3", *lines[31:]])
    assert at.verdict(wide, "wrong_width", only=False) == QUARANTINE
    assert [f.rule for f in at.reports[-1].findings] == ["wrong_width", "gap"]
    assert at.verdict("\n".join([head, *lines[:30], head, *lines[30:]]), "repeated_header") == WARN
    for content, says in (
        ("\n".join(lines), "line 1: there is no header"),
        (text[:900] + "\x00" + text[900:], "holds a NUL byte"),
    ):
        assert at.verdict(content, "unreadable") == REJECT
        [finding] = at.reports[-1].findings
        assert says in finding.message and "line " in finding.message and "\n" not in finding.message
    return "right, or one line"


@bad_input("B58", "mixed column order; extra column; missing volume; Adj Close missing", "by name; a missing price is a reject")
def columns(at: At) -> str:
    bars = good()
    assert at.verdict(bars[["Volume", "Close", "Date", "Low", "High", "Open"]]) == ACCEPT
    assert at.verdict(bars.assign(Sector="Tech")) == ACCEPT
    assert at.verdict(bars.assign(**{"Adj Close": bars["Close"]})) == ACCEPT
    assert at.verdict(bars.drop(columns="Volume"), "volume_unknown", only=True) in (WARN,)
    assert at.verdict(bars.drop(columns="Close"), "unreadable") == REJECT
    assert "no column for close" in at.reports[-1].findings[0].message
    return "by name; a missing price is a reject"


@bad_input("B59", "multi-index columns (yfinance download) / single", ACCEPT)
def two_header_lines(at: At) -> str:
    one, two = good(price=100.0), good(price=200.0)
    words = ["Close", "High", "Low", "Open", "Volume"]
    lines = [",".join(["Price", *words, *words]), ",".join(["Ticker", *["AAPL"] * 5, *["MSFT"] * 5]), "Date" + "," * 10]
    for a, b in zip(one.to_dict("records"), two.to_dict("records"), strict=True):
        lines.append(",".join([a["Date"], *(str(a[w]) for w in words), *(str(b[w]) for w in words)]))
    assert at.verdict("\n".join(lines) + "\n", name="download.csv") == ACCEPT
    wide = judged(at.folder / "download.csv").cleaned.bars
    for symbol, single in (("AAPL", one), ("MSFT", two)):
        assert at.verdict(single, name=f"{symbol}.csv") == ACCEPT
        alone = judged(at.folder / f"{symbol}.csv").cleaned.bars
        pd.testing.assert_frame_equal(wide[wide["symbol"] == symbol].reset_index(drop=True), alone)
    return ACCEPT


@bad_input("B53", "BRK-B, BRK.B, ^GSPC, EURUSD=X, GC=F, BTC-USD, RDS-A, M&M.NS", ACCEPT)
def odd_symbols(at: At) -> str:
    symbols = ("BRK-B", "BRK.B", "^GSPC", "EURUSD=X", "GC=F", "BTC-USD", "RDS-A", "M&M.NS")
    for symbol in symbols:
        assert at.verdict(good(symbol).assign(ticker=symbol), name="panel.csv", now=NOW) == ACCEPT, symbol
        assert at.reports[-1].accounts[0].symbol == symbol
    return ACCEPT
