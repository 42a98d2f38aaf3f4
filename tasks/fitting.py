"""Whether what came goes with what is stored: adjusted prices after prices as traded, or pence after pounds, make jumps that
never were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from forecasting.errors import OtherCurrency, Unfit
from tasks.run import Refusal, Run

if TYPE_CHECKING:
    import pandas as pd

    from tasks.ingest import Arrived, Landed


def known_of(run: Run) -> pd.DataFrame:
    """What is stored of all symbols."""
    from storage.bars import known_symbols

    with run.db.reading() as con:
        return known_symbols(con)


def settled(arrived: Arrived, known: pd.DataFrame) -> list[Refusal]:
    """Why symbols cannot be taken although they arrived, and no other source is left to ask."""
    return [apart(error) for landed in arrived.landed for error in _unfit(landed, arrived.currency, known).values()]


def apart(error: Unfit) -> Refusal:
    """The refusal of a symbol, and what to type."""
    return Refusal(error.symbol, error.kind, f"{error.symbol} is {error.detail}; keep them apart with a --home DIR of its own")


def fitting(run: Run, landed: Landed, currency: Mapping[str, str]) -> tuple[Landed, dict[str, Unfit]]:
    """An answer in the form in which it is to be stored, and why symbols of it are left to a source after this one: it stood
    in for this one when nothing was stored of them, gave them otherwise, and can go on."""
    if "known" not in run.memo:  # before anything of this run was stored
        run.memo["known"] = known_of(run)
    known = run.memo["known"]
    landed = _in_stored_basis(run, landed, known)
    stored_from = dict(zip(known["symbol"], known["source"], strict=True))
    unfit = {
        symbol: error
        for symbol, error in _unfit(landed, currency, known).items()
        if stored_from[symbol] in run.ranked.after(symbol, landed.source)
    }
    return replace(landed, symbols=landed.symbols.difference(unfit), unfit=frozenset(unfit)), unfit


def _unfit(landed: Landed, currency: Mapping[str, str], known: pd.DataFrame) -> dict[str, Unfit]:
    """The symbols of an answer whose prices do not go with what is stored of them, and why."""
    found = {}
    other = (known["basis"] != landed.basis) | known["symbol"].isin(list(currency))
    for row in known[other & known["symbol"].isin(list(landed.symbols))].itertuples():
        given = currency.get(row.symbol)
        if row.basis != landed.basis:
            before, now = (basis.replace("_", " ") for basis in (row.basis, landed.basis))
            said = f"stored as {before} prices from {row.source}, {landed.source} gives them {now}"
            found[row.symbol] = Unfit(landed.source, row.symbol, said)
        elif given and isinstance(row.currency, str) and given != row.currency:
            said = f"stored in {row.currency} from {row.source}, {landed.source} gives {given}"
            found[row.symbol] = OtherCurrency(landed.source, row.symbol, said)
    return found


def _in_stored_basis(run: Run, landed: Landed, known: pd.DataFrame) -> Landed:
    """An adjusted close that equals the close in every row says nothing about the basis: then it is the one of before. A file
    of the last days has no action in it more often than not."""
    from storage.landing import load_landing

    stored = set(known.loc[known["symbol"].isin(list(landed.symbols)), "basis"])
    if landed.basis != "adjusted" or stored != {"as_traded"}:
        return landed
    bars = load_landing(run.home, landed.bars)
    if "adj_ratio" not in bars or not (bars["adj_ratio"].dropna() == 1.0).all():
        return landed
    return replace(landed, basis="as_traded")
