"""Every error a person can meet, drawn first.

    NextcloseError                 exit code
    ├── InputError                 2   something that was typed or handed in is wrong
    │   ├── SettingError           2   a setting is unknown, missing or out of range
    │   │   └── SettingsClash          settings that do not go together
    │   ├── SymbolError            2   a ticker that no exchange would write
    │   ├── PricesFileError        2   a price file that cannot be read as prices
    │   ├── FeatureFileError       2   a file of one's own features that cannot be taken as it is
    │   └── RivalFileError         2   a file with a forecaster of one's own that cannot be taken as it is
    ├── SourceError                3   prices could not be had; one class a cause, `retry` says what helps
    │   ├── RateLimited                the source asked us to slow down: back off all symbols
    │   │   └── BudgetSpent            the requests that it allows in a day are used up
    │   ├── Blocked                    refused or intercepted: retrying makes it worse
    │   ├── UnknownSymbol              the source does not know the symbol
    │   ├── NoSession                  no session in the span asked for: nothing to do
    │   ├── Partial                    an answer that lacks bars which the calendar expects
    │   │   └── NoBars                 or that has none at all
    │   ├── Malformed                  an answer that is not what the source promises
    │   ├── Unfit                      prices in another basis than those that are stored
    │   │   └── OtherCurrency          or in another currency
    │   ├── Stale                      what the source holds ended long before the span asked for
    │   └── SourceDown                 no answer, or a server error
    ├── DataError                  4   the data at hand does not allow the step
    │   ├── NotEnoughHistory       4
    │   ├── ConstantSeries         4
    │   ├── WildForecast           4   a forecast that cannot be meant is held back
    │   └── StaleSymbol            4
    ├── StorageError               5   the database, the snapshot or the disk
    │   ├── DatabaseLocked         5
    │   ├── DatabaseCorrupt        5
    │   ├── SchemaTooNew           5
    │   └── HomeNotWritable        5
    ├── AlreadyRunning             6   another run holds the lease
    ├── LeakFound                  7   a feature or fitted object has seen the future
    ├── UntrustedModel             8   a model folder whose content is not what the registry recorded
    └── TimedOut                   9   a step took longer than it may

An error is given the facts and writes its own sentence: one line, what was found, and what to type next.
"""

from __future__ import annotations

from collections.abc import Mapping


class NextcloseError(Exception):
    """An error for people: ``str(error)`` is one line; ``exit_code`` is what the command returns."""

    exit_code = 1

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


class InputError(NextcloseError):
    exit_code = 2


class SettingError(InputError):
    """A setting is unknown, missing or out of range."""

    def __init__(self, setting: str, found: object, expected: str) -> None:
        super().__init__(f"setting {setting} is {found!r}; expected {expected}")
        self.setting = setting


class SettingsClash(SettingError):
    """Settings that are right one by one but do not go together; ``found`` are those that the reason speaks of."""

    def __init__(self, section: str, found: Mapping[str, object], reason: str) -> None:
        InputError.__init__(self, f"{section}: {reason}" + (f"; found {_in_words(found)}" if found else ""))
        self.setting = section


def _in_words(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name} = {value!r:.60}" for name, value in values.items())


class SymbolError(InputError):
    """A ticker that no exchange would write (and that must not reach an address, a path or SQL)."""

    def __init__(self, found: object, reason: str) -> None:
        super().__init__(
            f"{found!r:.60} is not a symbol: {reason}; write it as the exchange does, for example AAPL, BRK-B or 0700.HK"
        )


class PricesFileError(InputError):
    """A price file that cannot be read as prices; ``where`` names the file and, where known, the row."""

    def __init__(self, where: str, problem: str, next_step: str) -> None:
        super().__init__(f"{where}: {problem}; {next_step}")


class FeatureFileError(InputError):
    """A file of one's own features that cannot be taken as it is."""

    def __init__(self, file: str, problem: str, next_step: str) -> None:
        super().__init__(f"{file}: {problem}; {next_step}")


class RivalFileError(InputError):
    """A file with a forecaster of one's own that cannot be taken as it is."""

    def __init__(self, file: str, problem: str, next_step: str) -> None:
        super().__init__(f"{file}: {problem}; {next_step}")


class SourceError(NextcloseError):
    """Prices could not be had from ``source`` for ``symbol`` (None: for all of them)."""

    exit_code = 3
    kind = "down"
    retry = True  # whether asking the same again, later, can help

    def __init__(self, source: str, symbol: str | None, detail: str, next_step: str = "") -> None:
        subject = f"{source} {symbol}" if symbol else source
        super().__init__(f"{subject}: {detail}" + (f"; {next_step}" if next_step else ""))
        self.source, self.symbol, self.detail, self.next_step = source, symbol, detail, next_step

    def of(self, symbol: str) -> SourceError:
        """The same error, said of one symbol."""
        again = type(self)(self.source, symbol, self.detail, self.next_step)
        again.__dict__ |= {k: v for k, v in self.__dict__.items() if k != "symbol"}
        return again

    def __reduce__(self):
        return type(self), (self.source, self.symbol, self.detail, self.next_step), self.__dict__


class RateLimited(SourceError):
    """``retry_after``: the seconds that the source asked us to wait, where it did."""

    kind = "rate_limited"
    retry_after: float | None = None


class BudgetSpent(RateLimited):
    kind = "budget_spent"
    retry = False  # not in this run; the next day's may


class Blocked(SourceError):
    kind = "blocked"
    retry = False


class UnknownSymbol(SourceError):
    kind = "unknown_symbol"
    retry = False


class NoSession(SourceError):
    kind = "no_session"
    retry = False


class Partial(SourceError):
    kind = "partial"


class NoBars(Partial):
    """An answer in good form without a single bar: what a source gives of a symbol that no longer trades, too."""


class Malformed(SourceError):
    kind = "malformed"


class Stale(SourceError):
    kind = "stale"
    retry = False


class Unfit(SourceError):
    kind = "other_basis"
    retry = False


class OtherCurrency(Unfit):
    kind = "other_currency"


class SourceDown(SourceError):
    kind = "down"


class DataError(NextcloseError):
    exit_code = 4


class NotEnoughHistory(DataError):
    """Too few clean sessions for the step; says how many there are and how many are needed."""

    def __init__(self, symbol: str, found: int, needed: int, purpose: str, until: object = None) -> None:
        upto = f" up to {until}" if until is not None else ""
        super().__init__(
            f"{symbol} has {found} clean sessions{upto}, but {needed} are needed for {purpose}; "
            "ingest earlier history or shorten `lookback`"
        )
        self.symbol, self.found, self.needed, self.purpose, self.until = symbol, found, needed, purpose, until


class NoNetwork(DataError):
    """A symbol that a model of one network, or one scaler, a symbol has not learnt."""

    def __init__(self, symbol: str) -> None:
        super().__init__(f"{symbol} has no network of its own in a model that has one a symbol; type `nextclose retrain`")
        self.symbol = symbol


class ConstantSeries(DataError):
    """A series without a single move: there is no scale to forecast with."""

    def __init__(self, symbol: str, sessions: int) -> None:
        super().__init__(f"{symbol} did not move in its last {sessions} sessions; check the source or leave the symbol out")
        self.symbol, self.sessions = symbol, sessions


class WildForecast(DataError):
    """A forecast that is no number, or farther away than anything in the symbol's history makes likely."""

    def __init__(self, symbol: str, forecaster: str, deviations: float) -> None:
        found = "no number" if deviations != deviations else f"{deviations:,.0f} standard deviations of its history away"
        super().__init__(
            f"the forecast of {symbol} by {forecaster} is {found} and was held back; look at its bars with "
            "`nextclose quality`, or train anew with `nextclose retrain --force`"
        )
        self.symbol, self.forecaster, self.deviations = symbol, forecaster, deviations


class StaleSymbol(DataError):
    """The symbol has no bar at the origin: a forecast from an older close would not say that it is stale."""

    def __init__(self, symbol: str, last: object, origin: object) -> None:
        super().__init__(
            f"{symbol} has no bar at {origin}, its last is {last}; type `nextclose ingest --symbols {symbol}`, "
            "or leave it out if it no longer trades"
        )
        self.symbol, self.last, self.origin = symbol, last, origin


class StorageError(NextcloseError):
    exit_code = 5


class DatabaseLocked(StorageError):
    pass


class DatabaseCorrupt(StorageError):
    pass


class SchemaTooNew(StorageError):
    pass


class HomeNotWritable(StorageError):
    pass


class AlreadyRunning(NextcloseError):
    """Another run holds the lease; nothing was written."""

    exit_code = 6


class LeakFound(NextcloseError):
    """A feature or fitted object answered differently when only the future was changed."""

    exit_code = 7

    def __init__(self, what: str, detail: str) -> None:
        super().__init__(f"{what} has seen the future: {detail}; the model was not offered to the gate")
        self.what, self.detail = what, detail


class UntrustedModel(NextcloseError):
    exit_code = 8


class TimedOut(NextcloseError):
    exit_code = 9

    def __init__(self, step: str, seconds: float) -> None:
        super().__init__(
            f"{step} took longer than the {seconds:g} seconds it may take and was ended; run the same command again"
        )
        self.step, self.seconds = step, seconds
