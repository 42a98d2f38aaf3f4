"""From raw tables to what a source answers: all rows as one block, their adjustment settled, every row accounted for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from forecasting.errors import NoSession, PricesFileError, SourceError
from forecasting.symbols import normalise_symbols
from sources import spelling
from sources.base import ACTION_COLUMNS, BAR_COLUMNS, REJECT_COLUMNS, Fetched, in_span, missing_symbols, typed_frame
from sources.basis import Settled, settle
from sources.cells import Columns, read_columns
from sources.form import Form
from sources.raw_table import RawTable

Reject = tuple[str | None, object, int, str, str, str]


@dataclass(frozen=True)
class Loaded:
    """All rows in (symbol, session) order; the rows of symbol i are starts[i]:starts[i + 1]."""

    names: tuple[str, ...]
    starts: np.ndarray
    session: np.ndarray  # datetime64[us]
    numbers: dict[str, np.ndarray]
    adj_ratio: np.ndarray | None  # adjusted close over close as delivered; None where no table has an adjusted close
    settled: Settled
    rejects: pd.DataFrame
    notes: tuple[str, ...]
    currency: dict[str, str]

    def fetch(self, source: str, symbols: Sequence[str], start: date | None, end: date | None) -> Fetched:
        """What the source answers for these symbols and span."""
        wanted = normalise_symbols(symbols)
        place = {name: i for i, name in enumerate(self.names)}
        parts = [np.arange(self.starts[place[s]], self.starts[place[s] + 1]) for s in sorted(wanted) if s in place]
        rows = np.concatenate(parts) if parts else np.arange(0)
        rows = rows[in_span(self.session[rows], start, end)]
        code = np.searchsorted(self.starts, rows, side="right") - 1
        answered = [self.names[i] for i in np.unique(code)]
        failures = missing_symbols(source, wanted, self.names, answered, start, end)
        actions = _slice(self.settled.actions, wanted, start, end)
        rejects = _slice(self.rejects, (*wanted, ""), start, end)
        failures |= _unreadable(source, failures, rejects)
        currency = {s: self.currency[s] for s in answered if s in self.currency}
        return Fetched(_bars(self, rows, code), actions, self.settled.basis, failures, self.notes, currency, rejects)

    def noting(self, notes: Sequence[str]) -> Loaded:
        """The same with more notes before its own; of many the first and how many more."""
        shown = (*notes[:3], f"and {len(notes) - 3} more") if len(notes) > 4 else tuple(notes)
        return replace(self, notes=(*shown, *self.notes))


def read_prices(raw: RawTable, form: Form) -> Columns | None:
    """The rows of one table; None where it has none. PricesFileError where it is no table of prices, or an unclear one."""
    if not raw.columns:
        return None
    found = price_columns(raw, form)
    for column, text in form.where.items():
        if column not in raw.columns:
            raise PricesFileError(raw.where, f"there is no column {column!r}", "correct the option where")
        raw = raw.keep(pc.equal(raw.columns[column].cast(pa.string()), text).fill_null(False).to_numpy(zero_copy_only=False))
    if not raw.rows and not raw.broken:
        return None
    return read_columns(raw, found, form.symbol, form.decimal, form.date_order, form.zone_of)


def price_columns(raw: RawTable, form: Form) -> dict[str, str]:
    """Our word -> the table's column; PricesFileError where one is unclear, or one that prices need is not there."""
    try:
        found = spelling.recognise(list(raw.columns), form.columns)
    except ValueError as error:
        raise PricesFileError(raw.where, str(error), "see the option columns") from None
    _check_needed(raw, found, form.close_only)
    return found


def load_tables(raws: Iterable[RawTable], form: Form, where: str, actions: pd.DataFrame | None = None) -> Loaded:
    """All tables of a source, read by ``form``; ``where`` is what messages call the source's place.

    ``actions`` (ACTION_COLUMNS) come from elsewhere and replace what the tables say of actions; bars are then as traded.
    Raises PricesFileError where a table is no table of prices, where the tables are of several forms, or none has rows.
    """
    notes: list[str] = []
    parts: list[Columns] = []
    empty: list[RawTable] = []
    for raw in raws:
        part = read_prices(raw, form)
        notes += raw.notes
        if part is not None:
            parts.append(part)
        else:
            empty.append(raw)
            notes.append(f"{raw.name} has no rows" if raw.columns else f"{raw.name} is empty")
    if not parts:
        if len(empty) == 1 and empty[0].columns:
            raise PricesFileError(empty[0].where, "there is a header but no row", "give a file with prices")
        if len(empty) == 1:
            raise PricesFileError(empty[0].where, "the file is empty", "give a file with a header line and rows")
        raise PricesFileError(where, "no file in the folder has rows", "put prices into it")
    return assemble(parts, form, where, notes, actions)


def fetch_asked(
    source: str,
    wanted: Sequence[str],
    answers: Mapping[str, Columns | None],
    failures: Mapping[str, SourceError],
    form: Form,
    notes: Sequence[str],
    start: date | None,
    end: date | None,
) -> Fetched:
    """What a source answers that was asked symbol by symbol: ``answers`` holds one table a symbol, None for an empty one."""
    parts = {symbol: part for symbol, part in answers.items() if part is not None}
    failures = dict(failures) | {s: NoSession(source, s, "an answer without rows") for s in answers if s not in parts}
    if parts:
        loaded = assemble(list(parts.values()), form, source, list(notes), None)
        got = loaded.fetch(source, tuple(parts), start, end)
        failures |= got.failures
    else:
        got = Fetched(typed_frame(BAR_COLUMNS), typed_frame(ACTION_COLUMNS), notes=tuple(notes))
    return replace(got, failures={s: failures[s] for s in wanted if s in failures})


def _check_needed(raw: RawTable, found: Mapping[str, str], close_only: bool) -> None:
    needed = ("session", "close") if close_only else spelling.NEEDED
    missing = [word for word in needed if word not in found]
    if not missing:
        return
    what = f"there is no column for {', '.join('date' if m == 'session' else m for m in missing)}"
    has = ", ".join(list(raw.columns)[:12])
    if set(missing) <= {"open", "high", "low"} and len(missing) == 3:
        raise PricesFileError(raw.where, f"{what} among {has}", "set close_only = true to take the close for them")
    word = "date" if missing[0] == "session" else missing[0]
    raise PricesFileError(raw.where, f"{what} among {has}", f'name it: columns = {{{word} = "…"}}')


def assemble(parts: list[Columns], form: Form, where: str, notes: list[str], actions: pd.DataFrame | None) -> Loaded:
    """All tables' rows as one block; see ``load_tables``."""
    names = tuple(sorted({name for part in parts for name in part.names}))
    code = np.concatenate([np.searchsorted(names, part.names)[part.symbol] if part.names else part.symbol for part in parts])
    session = np.concatenate([part.session for part in parts])
    line = np.concatenate([part.line for part in parts])
    origin = np.repeat(np.arange(len(parts)), [len(part.line) for part in parts])
    numbers = _numbers(parts, form, where, notes)
    rejects = [reject for part in parts for reject in part.rejects]
    order = _order(code, session)
    code, session, line, origin = code[order], session[order], line[order], origin[order]
    numbers = {w: v[order] for w, v in numbers.items()}
    twin_of = np.arange(len(code))
    if len(parts) > 1:
        keep, twin_of, replaced = _latest_table_wins(names, code, session, line, origin, numbers)
        rejects += replaced
        if (~keep).any():
            notes.append(f"{int((~keep).sum())} rows occur in several files; the last file by name counts")
        code, session = code[keep], session[keep]
        numbers = {w: v[keep] for w, v in numbers.items()}
    session = session.astype("datetime64[us]")
    settled = _settled(names, code, session, numbers, form, actions)
    ratio = _adj_ratio(numbers)
    numbers |= settled.changed
    if len(twin_of) > len(code):  # from here on, rows that several files hold are there as often as they came
        code, session, ratio = code[twin_of], session[twin_of], None if ratio is None else ratio[twin_of]
        numbers = {w: v[twin_of] for w, v in numbers.items()}
    starts = np.searchsorted(code, np.arange(len(names) + 1))
    frame = typed_frame(REJECT_COLUMNS, rejects) if rejects else typed_frame(REJECT_COLUMNS)
    for reason, rows in frame.groupby("reason", sort=True):
        first = rows.iloc[0]
        notes.append(f"{len(rows)} rows set aside as {reason}, the first: line {first['row']}: {first['message']}")
    currency = {symbol: word for part in parts for symbol, word in part.currency.items()}
    currency |= dict.fromkeys(names, form.currency) if form.currency else {}
    return Loaded(names, starts, session, numbers, ratio, settled, frame, (*notes, *settled.notes), currency)


def _numbers(parts: list[Columns], form: Form, where: str, notes: list[str]) -> dict[str, np.ndarray]:
    """Each column of numbers over all tables, in their order."""
    mixed = [w for w in ("adj_close", "dividend", "split") if 0 < sum(w in part.numbers for part in parts) < len(parts)]
    if mixed and form.basis == "auto":
        problem = f"some of its files have {mixed[0]} and some have not"
        raise PricesFileError(where, problem, 'set the option basis, for example basis = "adjusted"')
    words = [w for w in spelling.NUMBERS if any(w in part.numbers for part in parts)]
    numbers = {w: np.concatenate([p.numbers.get(w, np.full(len(p.line), np.nan)) for p in parts]) for w in words}
    if form.close_only:
        for w in ("open", "high", "low"):
            numbers.setdefault(w, numbers["close"])
    if "volume" not in numbers:
        numbers["volume"] = np.full(len(numbers["close"]), np.nan)
        notes.append("the file has no volume; it is missing in all rows")
    return numbers


def _settled(
    names: tuple[str, ...],
    code: np.ndarray,
    session: np.ndarray,
    numbers: dict[str, np.ndarray],
    form: Form,
    actions: pd.DataFrame | None,
) -> Settled:
    if actions is not None:
        actions = typed_frame(ACTION_COLUMNS, actions[actions["symbol"].isin(names)]).reset_index(drop=True)
        count = int((actions["kind"] == "split").sum())
        said = f"the factors hold {count} splits and {len(actions) - count} dividends; prices are as traded"
        without = sorted(set(names) - set(actions["symbol"]))
        more = f" and {len(without) - 3} more" if len(without) > 3 else ""
        lacking = (f"the factors hold no action of {', '.join(without[:3])}{more}",) if without else ()
        return Settled("as_traded", actions, (said, *lacking))
    return settle(names, np.searchsorted(code, np.arange(len(names) + 1)), session, numbers, form.basis)


def _adj_ratio(numbers: dict[str, np.ndarray]) -> np.ndarray | None:
    """Adjusted close over close as delivered, float64 [rows], NaN where a row has not both; None without such a column."""
    if "adj_close" not in numbers:
        return None
    close = numbers["close"]
    ratio = np.full(len(close), np.nan)
    np.divide(numbers["adj_close"], close, out=ratio, where=close > 0.0)
    return ratio


def _order(code: np.ndarray, session: np.ndarray) -> np.ndarray:
    """Positions in (symbol, session) order, rows of one session in file order; cheap where it is so already."""
    key = code.astype(np.int64) * 2**24 + (session.astype(np.int64) + 2**22)
    if (key[1:] >= key[:-1]).all():
        return np.arange(len(key))
    return np.argsort(key, kind="stable")


def _latest_table_wins(
    names: tuple[str, ...],
    code: np.ndarray,
    session: np.ndarray,
    line: np.ndarray,
    origin: np.ndarray,
    numbers: dict[str, np.ndarray],
) -> tuple[np.ndarray, np.ndarray, list[Reject]]:
    """Of several files' rows for one session those of the last file count; duplicates inside that file all stay.

    Returns (rows that count [rows], for each row that stays its place among those that count, rejects). A row that an
    earlier file has alike stays too, as a twin, so that it is accounted for; one that it has otherwise is a reject.
    """
    new = np.append(True, (code[1:] != code[:-1]) | (session[1:] != session[:-1]))
    group = np.cumsum(new) - 1
    latest = np.maximum.reduceat(origin, np.flatnonzero(new)) if len(code) else origin
    keep = origin == latest[group]
    winner = (np.append(np.flatnonzero(new)[1:], len(code)) - 1)[group]
    differs = np.zeros(len(code), dtype=bool)
    for word, v in numbers.items():
        if word != "adj_close":  # it changes with every later action
            differs |= (v != v[winner]) & ~(np.isnan(v) & np.isnan(v[winner]))
    superseded = ~keep & differs
    rejects: list[Reject] = []
    for i in np.flatnonzero(superseded):
        row = json.dumps({w: (None if np.isnan(v[i]) else float(v[i])) for w, v in numbers.items()})
        rejects.append((names[code[i]], session[i], int(line[i]), "superseded", "a later file says otherwise", row))
    place = np.cumsum(keep) - 1
    twin_of = np.where(keep, place, place[winner])[~superseded]
    return keep, twin_of, rejects


def _unreadable(source: str, failures: Mapping[str, SourceError], rejects: pd.DataFrame) -> dict[str, SourceError]:
    """A better reason for symbols that have rows, of which not one could be read."""
    own = rejects[rejects["symbol"].isin([s for s, error in failures.items() if isinstance(error, NoSession)])]
    better: dict[str, SourceError] = {}
    for symbol, rows in own.groupby("symbol", sort=True):
        first = rows.iloc[0]
        said = f"none of its {len(rows)} rows could be read; line {first['row']}: {first['message']}"
        better[symbol] = NoSession(source, symbol, said)
    return better


def _bars(data: Loaded, rows: np.ndarray, code: np.ndarray) -> pd.DataFrame:
    symbol = pa.DictionaryArray.from_arrays(pa.array(code.astype(np.int32)), pa.array(data.names, pa.string())).cast(
        pa.string()
    )
    table = pa.table(
        {"symbol": symbol, "session": pa.array(data.session[rows])}
        | {c: pa.array(data.numbers[c][rows]) for c in ("open", "high", "low", "close", "volume")}
        | ({} if data.adj_ratio is None else {"adj_ratio": pa.array(data.adj_ratio[rows])})
    )
    return table.to_pandas()


def _slice(frame: pd.DataFrame, symbols: Sequence[str], start: date | None, end: date | None) -> pd.DataFrame:
    """The rows of ``symbols`` ('' and a missing symbol: rows that do not say whose they are) in the span."""
    if frame.empty:
        return frame
    column = pa.array(frame["symbol"]).cast(pa.string()).fill_null("")
    keep = pc.is_in(column, pa.array(symbols, pa.string())).to_numpy(zero_copy_only=False)
    return frame[keep & in_span(frame["session"].to_numpy(), start, end)].reset_index(drop=True)
