"""Ranks of the ledger, made again: the chances of each fifth, from what was known and the forecasts that were issued then."""

from __future__ import annotations

from typing import Any

import numpy as np

from tasks.reproducing import AsItWas, Reproduction, compared

#: What is compared, bit by bit: the chances of the fifths from the lowest to the highest, and of a higher close.
RANK_NUMBERS = ("p1", "p2", "p3", "p4", "p5", "p_up")


def reproduce_ranks(
    con: Any, then: AsItWas, forecast: dict[str, Any], forecaster: str | None = None
) -> list[tuple[dict[str, Any], Reproduction]]:
    """Make the ranks of the symbol, origin and horizon of ``forecast`` again and compare; () where none were issued.

    ``forecaster``: whose ranks; None: those of whoever served. A rank is about the company: it follows from the prices that
    were known of all symbols that were ranked together and from the intervals that were issued for them, which ``reproduce``
    makes again one by one.
    """
    from forecasting.joint import session_returns
    from storage.explain import ranks_issued
    from storage.ledger import read_forecasts
    from tasks.ranking_days import company_at, company_chances, served_by

    rows = [
        row
        for row in ranks_issued(con, forecast["symbol"], forecast["origin"], forecast["horizon"])
        if (row["forecaster"] == forecaster if forecaster else row["serving"])
    ]
    if not rows:
        return []
    issued = read_forecasts(con, forecast["origin"])
    found = []
    for row in rows:
        company = company_at(issued, row["horizon"], row["run_id"])
        company = company[company["target_session"] == np.datetime64(row["target_session"], "us")]
        returns = session_returns(then.inputs.panel, tuple(company["symbol"]))
        chances = company_chances(returns, row["origin"], company, served_by(company))[row["forecaster"]]
        place = list(company["symbol"]).index(row["symbol"])
        again = {f"p{k + 1}": float(chances.fifths[place, k]) for k in range(5)} | {"p_up": float(chances.up[place])}
        found.append((row, compared(con, then, row, {name: row[name] for name in RANK_NUMBERS}, again)))
    return found
