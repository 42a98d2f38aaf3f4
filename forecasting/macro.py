"""Macro series as they became known: vintages with their instants of publication, and what each session could see of them.

A vintage is one value as published once: ``series``, ``about`` (the date that the value is about: a day, or the first day of
its month or quarter), ``published_at`` (UTC) and ``value``. A value counts from the first session whose close, plus the delay
after which bars are final, is not before ``published_at``. Sources that say when they published (FRED's vintages) are taken at
their word; for the others ``RULES`` says how late such a series comes, rather too late than too early.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import pandas as pd

from forecasting.sessions import DEFAULT_CALENDAR, FINAL_AFTER_MINUTES, closes_of, sessions_between

VINTAGE_COLUMNS = ("series", "about", "published_at", "value")
SAME_VALUE = 1e-6  # relative; sources send the same value with other last digits
PUBLISHER = "America/New_York"  # where a "day of publication" begins and ends
AFTER_CLOSE = np.timedelta64(15, "m")  # Cboe computes its indices until a quarter past four


@dataclass(frozen=True)
class Rule:
    """How late a value comes whose source does not say when it was published.

    ``sessions``: a quarter of an hour after the close of that many New York sessions after the day it is about;
    ``days``: at the end of that many days after it. ``revised``: whether what was published is changed afterwards.
    """

    sessions: int | None = None
    days: int | None = None
    revised: bool = True


SAME_SESSION = Rule(sessions=0, revised=False)
NEXT_SESSION = Rule(sessions=1, revised=False)

# Name of the series -> its rule; the first that fits counts. Days are the longest usual delay and a little more, counted
# from the first day of the month or quarter; values held up by a shutdown of the agency came later still, and only a source
# with release dates knows that.
RULES: tuple[tuple[str, Rule], ...] = (
    (r"VIX|VIX1D|VIX9D|VIX3M|VIX6M|VIX1Y|VVIX|SKEW|VXN|VXD|RVX|GVZ|OVX", SAME_SESSION),  # of Cboe itself
    (r"DGS\d+(MO)?|DTB\d+(MO|YR)?|DFII\d+|T\d+Y(\d+(M|Y)|FF|IE|IFR)|THREEFY\w+", NEXT_SESSION),  # H.15: next day, 16:15
    (r"DFF|EFFR|OBFR|SOFR\w*|DPRIME|RRPONTSYD|DAAA|DBAA|BAML\w+|DPCREDIT|AAA10Y|BAA10Y", NEXT_SESSION),
    (r"VIXCLS|V\w+CLS|SP500|DJIA|NASDAQ\w+|WILL\w+", NEXT_SESSION),  # copies at FRED
    (r"DEX\w+", Rule(days=8, revised=False)),  # H.10 brings a week of exchange rates every Monday
    (r"DTWEX\w+", Rule(days=8)),  # the dollar index of the same release; its weights change each year
    (r"DCOIL\w+|DHHNGSP|DJFUELUSGULF|DGASUSGULF|DGASNYH|DPROPANE\w+", Rule(days=9, revised=False)),  # EIA: on Wednesdays
    (r"ICSA|ICNSA|CCSA|IC4WSA|WALCL|WRESBAL|WM[12]NS|NFCI|ANFCI|STLFSI\d?|MORTGAGE\d+US|GASREG\w+|WEI", Rule(days=9)),
    (r"UNRATE|PAYEMS|CIVPART|CES\w+|U6RATE|FEDFUNDS|GS\d+(MO)?|TB\dMS|UMCSENT|M?PMI|NAPM\w*", Rule(days=45)),
    (r"CPI\w+|CORESTICK\w+|PPI\w+|INDPRO|TCU|RSAFS|RSXFS|RETAILSMSA|HOUST\w*|PERMIT\w*|M1SL|M2SL|EXPINF\w+", Rule(days=62)),
    (r"PCE\w*|PI|DSPI\w*|PSAVERT|DGORDER|NEWORDER|BUSINV|ISRATIO|TOTALSA|JTS\w+|CSUSHPI\w+|SPCS\w+|BOPGSTB", Rule(days=92)),
    (r"GDP\w*|GNP\w*|A\d{3}RX1Q020SBEA|GPDI\w*|PNFI", Rule(days=130)),
    (r"CP|CPATAX|CPROFIT", Rule(days=190)),
    (r"USREC\w*", Rule(days=640)),  # recessions are declared up to 21 months after they began
)
# A series that is not above, by the days between its dates: the median of them -> its rule.
UNKNOWN: tuple[tuple[float, Rule], ...] = (
    (4.0, Rule(days=8)),  # daily, perhaps published once a week
    (16.0, Rule(days=16)),
    (45.0, Rule(days=92)),
    (120.0, Rule(days=190)),
    (np.inf, Rule(days=640)),
)


def rule_of(series: str, about: np.ndarray | None = None, lag_sessions: Mapping[str, int] | None = None) -> Rule:
    """The rule of a series: the person's own (``lag_sessions``: series -> sessions), the table's, or by the distance of its
    dates (``about``, datetime64[D]; without two of them as for monthly values)."""
    name = series.upper()
    if lag_sessions and name in lag_sessions:
        return Rule(sessions=lag_sessions[name])
    for pattern, rule in RULES:
        if re.fullmatch(pattern, name):
            return rule
    days = np.unique(about) if about is not None else np.empty(0, dtype="datetime64[D]")
    distance = float(np.median(np.diff(days).astype(np.int64))) if len(days) > 2 else 30.0
    return next(rule for limit, rule in UNKNOWN if distance <= limit)


def publication_of(rule: Rule, about: np.ndarray) -> np.ndarray:
    """The instants (datetime64[us], UTC) at which values about these days (datetime64[D]) count as published.

    A day that is no session (a Saturday, a holiday of one market only) counts as the session before it, so that its value
    is never known too early; a value of the same session then waits for the next one.
    """
    about = np.asarray(about, dtype="datetime64[D]")
    if rule.sessions is None:
        return end_of_day(about + np.timedelta64(rule.days, "D"))
    if not len(about):
        return np.empty(0, dtype="datetime64[us]")
    reach = np.timedelta64(2 * rule.sessions + 30, "D")
    sessions = sessions_between(DEFAULT_CALENDAR, about.min() - np.timedelta64(30, "D"), about.max() + reach)
    at = np.searchsorted(sessions, about, side="right") - 1
    later = np.where(sessions[at] == about, rule.sessions, max(rule.sessions, 1))
    return closes_of(DEFAULT_CALENDAR, sessions)[at + later] + AFTER_CLOSE


def end_of_day(days: np.ndarray) -> np.ndarray:
    """The instants (datetime64[us], UTC) at which these days (datetime64[D]) are over in New York."""
    midnight = pd.DatetimeIndex(np.asarray(days, dtype="datetime64[D]") + np.timedelta64(1, "D"))
    return midnight.tz_localize(PUBLISHER).tz_convert("UTC").tz_localize(None).to_numpy().astype("datetime64[us]")


def seen_at(now: datetime) -> np.datetime64:
    """When something counts as published that was first seen at ``now``: at the end of that day in New York."""
    return end_of_day(np.array([pd.Timestamp(now).tz_convert(PUBLISHER).date()], dtype="datetime64[D]"))[0]


def with_publication(values: pd.DataFrame, lag_sessions: Mapping[str, int] | None = None) -> pd.DataFrame:
    """``values`` (series, about, published_at, value) with ``published_at`` (datetime64[us], UTC) by the rules where it is
    missing; a column ``dated_by`` says 'source' where it was not and 'rule' where it was."""
    dated = values.reset_index(drop=True).assign(published_at=values["published_at"].to_numpy().astype("datetime64[us]"))
    missing = dated["published_at"].isna().to_numpy()
    published = dated["published_at"].to_numpy().copy()
    about = dated["about"].to_numpy().astype("datetime64[D]")
    for series, rows in dated[missing].groupby("series", sort=True).indices.items():
        rows = np.flatnonzero(missing)[rows]
        published[rows] = publication_of(rule_of(str(series), about[rows], lag_sessions), about[rows])
    return dated.assign(published_at=published, dated_by=np.where(missing, "rule", "source").astype(object))


def fresh_vintages(values: pd.DataFrame, held: pd.DataFrame, seen: np.datetime64) -> pd.DataFrame:
    """Of ``values`` (as ``with_publication`` gives them) the vintages that are not in ``held`` (the stored ones), dated.

    Values that their source dated are all given back: the store knows which it has. Of the others, one that is held is
    left out; one that differs from the newest held vintage of the same day, or fills a hole among the held days, was not
    there before and counts as published when it was ``seen`` (``dated_by`` 'seen'), not when its rule would have it.
    """
    if held.empty or not (values["dated_by"] == "rule").any():
        return values
    newest = held.sort_values("published_at", kind="stable").drop_duplicates(["series", "about"], keep="last")
    span = newest.groupby("series")["about"].agg(["min", "max"])
    joined = values.merge(newest[["series", "about", "value"]].rename(columns={"value": "before"}), "left", ["series", "about"])
    joined = joined.join(span, on="series")
    by_rule = (joined["dated_by"] == "rule").to_numpy()
    known = joined["before"].notna().to_numpy()
    same = np.isclose(joined["value"].to_numpy(), joined["before"].to_numpy(), rtol=SAME_VALUE, atol=0.0)
    hole = ~known & (joined["about"] > joined["min"]).to_numpy() & (joined["about"] < joined["max"]).to_numpy()
    late = by_rule & ((known & ~same) | hole)
    published = np.where(late, np.maximum(joined["published_at"].to_numpy(), seen), joined["published_at"].to_numpy())
    dated = values.assign(published_at=published, dated_by=np.where(late, "seen", joined["dated_by"]))
    return dated[~(by_rule & known & same)].reset_index(drop=True)


def best_dated(vintages: pd.DataFrame) -> pd.DataFrame:
    """The vintages without those whose date of publication is a guess where another source of the series knows it.

    ``vintages`` also has source and dated_by: 'source' (it said when), 'rule', 'seen', or 'session' (stored before vintages
    were kept: only the session at whose close they were public is known).
    """
    if vintages.empty:
        return vintages
    series, about, kind = vintages["series"], vintages["about"], vintages["dated_by"]
    told, old = kind == "source", kind == "session"
    tells = told.groupby([series, vintages["source"]]).transform("any")
    covered = about.where(told).groupby(series).transform("max")
    begins = about.where(~old).groupby(series).transform("min")
    keep = (tells | ~(about <= covered)) & ~(old & (about > begins))
    return vintages[keep].reset_index(drop=True)


def as_known(vintages: pd.DataFrame, sessions: np.ndarray, finals: np.ndarray, as_of: datetime | None = None) -> pd.DataFrame:
    """What each session could see: series, session (datetime64[us]), value, one row for each change.

    ``sessions`` (datetime64[D], ascending) with ``finals``, the instants (datetime64, UTC) at which they are over and their
    bars final. A session sees the newest ``about`` published by then, in its latest vintage by then; so a revision of an
    older day changes nothing, and one of the newest only from its own publication on. Vintages published after ``as_of``
    are not seen at all. A vintage without a value says nothing.
    """
    days = np.asarray(sessions, dtype="datetime64[D]")
    rows = vintages[vintages["value"].notna()]
    published = _instants(rows["published_at"])
    if as_of is not None:
        keep = published <= np.datetime64(pd.Timestamp(as_of).tz_convert("UTC").tz_localize(None), "us")
        rows, published = rows[keep], published[keep]
    at = np.searchsorted(np.asarray(finals, dtype="datetime64[us]"), published, side="left")
    rows, published, at = rows[at < len(days)], published[at < len(days)], at[at < len(days)]
    names, code = np.unique(rows["series"].to_numpy(dtype=object).astype(str), return_inverse=True)
    about, value = rows["about"].to_numpy().astype("datetime64[D]").astype(np.int64), rows["value"].to_numpy(dtype=np.float64)
    order = np.lexsort((about, published, code))
    code, about, value, at = code[order], about[order], value[order], at[order]
    place = code * (1 << 32) + about  # so that the running maximum starts anew at each series
    newest = place == np.maximum.accumulate(place) if len(place) else np.zeros(0, dtype=bool)
    code, about, value, at = code[newest], about[newest], value[newest], at[newest]
    last = np.ones(len(code), dtype=bool)
    last[:-1] = (code[1:] != code[:-1]) | (at[1:] != at[:-1])
    code, about, value, at = code[last], about[last], value[last], at[last]
    changed = np.ones(len(code), dtype=bool)
    changed[1:] = (code[1:] != code[:-1]) | (about[1:] != about[:-1]) | (value[1:] != value[:-1])
    return pd.DataFrame({
        "series": pd.Series(names[code[changed]], dtype="str"), "session": days[at[changed]].astype("datetime64[us]"),
        "value": value[changed],
    })  # fmt: skip


def _instants(published_at: pd.Series) -> np.ndarray:
    """datetime64[us] in UTC, from a column with or without a time zone."""
    if getattr(published_at.dtype, "tz", None) is not None:
        published_at = published_at.dt.tz_convert("UTC").dt.tz_localize(None)
    return published_at.to_numpy().astype("datetime64[us]")


def as_known_at(
    vintages: pd.DataFrame, calendars: Sequence[str], first: date, last: date,
    final_after_minutes: int = FINAL_AFTER_MINUTES, as_of: datetime | None = None,
) -> pd.DataFrame:  # fmt: skip
    """``as_known`` at the closes of each calendar's sessions with first <= session <= last.

    Of several calendars one after the other, with a column ``calendar``: what New York publishes in its afternoon is known
    to London's session of that day no more.
    """
    parts = []
    for name in sorted(set(calendars)):
        sessions = sessions_between(name, first, last)
        finals = closes_of(name, sessions).astype("datetime64[us]") + np.timedelta64(final_after_minutes, "m")
        known = as_known(vintages, sessions, finals, as_of)
        parts.append(known if len(set(calendars)) == 1 else known.assign(calendar=name))
    return pd.concat(parts, ignore_index=True)
