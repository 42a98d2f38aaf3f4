"""What one symbol's failure means for the others: every symbol ends with an answer or one failure, nobody is asked in vain."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.errors import (
    Blocked,
    BudgetSpent,
    Malformed,
    NoSession,
    Partial,
    RateLimited,
    SourceDown,
    SourceError,
    Stale,
    UnknownSymbol,
)
from sources.asking import ask_each

KINDS = [RateLimited, BudgetSpent, Blocked, UnknownSymbol, NoSession, Partial, Malformed, Stale, SourceDown]
SEVEN = tuple("ABCDEFG")


class Scripted:
    """Answers as the script says: for each symbol its errors one after the other, then its own name in lower case."""

    def __init__(self, **script: object) -> None:
        self.script = {s: list(e) if isinstance(e, (list, tuple)) else [e] for s, e in script.items()}
        self.asked: list[str] = []
        self.slept: list[float] = []

    def __call__(self, symbol: str) -> str:
        self.asked.append(symbol)
        line = self.script.get(symbol) or self.script.get("rest", [])
        error = line.pop(0) if len(line) > 1 else (line[0] if line else None)
        if error is None:
            return symbol.lower()
        if isinstance(error, type):
            raise error("house", symbol, "no")
        raise error

    def run(self, symbols=SEVEN, **options) -> tuple[dict[str, str], dict[str, SourceError]]:
        return ask_each("house", symbols, self, sleep=self.slept.append, **options)


def kinds(failures: dict[str, SourceError]) -> dict[str, type]:
    return {s: type(e) for s, e in failures.items()}


def limited(seconds: float | None) -> RateLimited:
    error = RateLimited("house", "A", "busy")
    error.retry_after = seconds
    return error


def test_ask_each__every_symbol_in_the_order_given():
    ask = Scripted()
    assert ask.run(("B", "A")) == ({"B": "b", "A": "a"}, {}) and ask.asked == ["B", "A"] and ask.slept == []


@pytest.mark.parametrize("kind", [UnknownSymbol, NoSession, Partial, Malformed, Stale, Blocked, SourceDown])
def test_ask_each__a_failure_is_the_symbols_own_and_asked_once(kind):
    ask = Scripted(C=kind)
    answers, failures = ask.run()
    assert list(answers) == list("ABDEFG") and kinds(failures) == {"C": kind} and ask.asked == list(SEVEN) and not ask.slept


def test_ask_each__a_rate_limit_makes_all_wait_and_the_same_symbol_is_asked_again():
    ask = Scripted(C=[RateLimited, RateLimited, None], E=[RateLimited, None])
    answers, failures = ask.run()
    assert list(answers) == list(SEVEN) and not failures
    assert ask.asked == list("ABCCCDEEFG") and ask.slept == [2.0, 8.0, 2.0]


def test_ask_each__after_the_waits_nobody_else_is_asked():
    ask = Scripted(C=RateLimited)
    answers, failures = ask.run()
    assert ask.asked == list("ABCCCC") and ask.slept == [2.0, 8.0, 30.0] and list(answers) == ["A", "B"]
    assert kinds(failures) == dict.fromkeys("CDEFG", RateLimited)
    assert str(failures["G"]) == "house G: not asked; C before it: no"


@pytest.mark.parametrize(("says", "slept"), [(5.0, [5.0]), (1.0, [2.0]), (0.0, [2.0]), (120.0, [120.0]), (None, [2.0])])
def test_ask_each__waits_as_long_as_the_source_says(says, slept):
    ask = Scripted(A=[limited(says), None])
    answers, failures = ask.run()
    assert ask.slept == slept and not failures and len(answers) == 7


def test_ask_each__a_pause_of_hours_is_not_waited_for():
    ask = Scripted(A=[limited(3600.0), None])
    answers, failures = ask.run()
    assert ask.asked == ["A"] and not ask.slept and not answers and kinds(failures) == dict.fromkeys(SEVEN, RateLimited)


def test_ask_each__no_waits_at_all():
    ask = Scripted(B=RateLimited)
    answers, failures = ask.run(waits=())
    assert ask.asked == ["A", "B"] and list(answers) == ["A"] and len(failures) == 6


def test_ask_each__a_spent_budget_is_everyones():
    ask = Scripted(C=BudgetSpent)
    answers, failures = ask.run()
    assert ask.asked == list("ABC") and not ask.slept and kinds(failures) == dict.fromkeys("CDEFG", BudgetSpent)


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ({"rest": Blocked}, "AB"),
        ({"rest": SourceDown}, "ABC"),
        ({"A": Blocked, "B": SourceDown, "C": Blocked, "D": SourceDown, "E": SourceDown, "F": SourceDown}, "ABCDEF"),
        ({"rest": UnknownSymbol}, "ABCDEFG"),
    ],
    ids=["blocked", "down", "down after blocked", "unknown"],
)
def test_ask_each__a_source_that_refuses_or_is_down_is_left_alone(script, asked):
    ask = Scripted(**script)
    answers, failures = ask.run()
    assert ask.asked == list(asked) and set(answers) | set(failures) == set(SEVEN)
    assert all("not asked" in str(failures[s]) for s in SEVEN[len(asked) :])


@pytest.mark.parametrize("kind", [Blocked, SourceDown])
@pytest.mark.parametrize("first", [None, UnknownSymbol])
def test_ask_each__a_source_that_has_answered_is_given_up_after_ten(kind, first):
    """Some of a shaky source's answers fail in a row by chance; whoever says that a symbol is unknown is there as well."""
    symbols = [f"S{n}" for n in range(30)]
    ask = Scripted(S0=[first], rest=kind)
    answers, failures = ask.run(symbols)
    assert len(ask.asked) == 11 and len(answers) + len(failures) == 30 and type(failures["S29"]) is kind


def test_ask_each__nobody_there_is_said_at_once():
    ask = Scripted(rest=SourceDown)
    assert len(ask.run(dead=lambda: True)[1]) == 7 and ask.asked == ["A"]


def test_ask_each__other_exceptions_are_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        ask_each("house", ["A"], lambda symbol: 1 / 0)


@given(
    st.lists(st.sampled_from([None, *KINDS]), min_size=1, max_size=60),
    st.lists(st.floats(0.0, 50.0), max_size=4),
)
def test_ask_each__everyone_once_and_requests_bounded(line, waits):
    """Whatever happens: every symbol in exactly one of the two, and no more requests than symbols and waits allow."""
    symbols = [f"S{n}" for n in range(len(line))]
    ask = Scripted(**{s: e for s, e in zip(symbols, line, strict=True) if e is not None})
    answers, failures = ask.run(symbols, waits=waits)
    assert not answers.keys() & failures.keys() and answers.keys() | failures.keys() == set(symbols)
    assert len(ask.asked) <= len(symbols) + len(waits) and len(ask.slept) <= len(waits)
    assert all(error.symbol == symbol for symbol, error in failures.items())
