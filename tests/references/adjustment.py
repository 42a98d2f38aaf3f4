"""Adjusted closes the slow way: for each bar, walk over every later event."""

from __future__ import annotations


def adjusted(closes: list[tuple[str, float]], actions: list[tuple[str, str, float]]) -> dict[str, tuple[float, float]]:
    """session -> (split-adjusted close, total-return close) of one symbol.

    ``closes`` (session, close as traded) in order; ``actions`` (ex-date, 'split' | 'dividend', value). An action without
    a bar on its ex-date counts at the next bar. A dividend is cash a share of its day (after a split of the same day), and
    is reinvested at the close before.
    """
    sessions = [session for session, _ in closes]
    close_of = dict(closes)
    answer = {}
    for session, close in closes:
        split_adjusted = total_return = close
        for position, later in enumerate(sessions):
            if later <= session:
                continue
            previous = sessions[position - 1]
            effective = [(kind, value) for ex, kind, value in actions if previous < ex <= later]
            split = 1.0
            for kind, value in effective:
                if kind == "split":
                    split *= value
            cash = sum(value for kind, value in effective if kind == "dividend")
            split_adjusted /= split
            total_return = total_return / split * (1 - cash * split / close_of[previous])
        answer[session] = (split_adjusted, total_return)
    return answer
