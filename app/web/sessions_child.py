"""``python -m app.web.sessions_child``: which sessions an exchange holds after the newest stored one, asked over the pipes.

A process of its own, because exchange_calendars brings pandas along (half a second and 80 MB), which a page never needs.
In: {"calendars": {name: newest session}, "until": date}. Out: {name: [[session, seconds since 1970 at its close], ...]}.
"""

from __future__ import annotations

import json
import sys


def main() -> None:
    from forecasting.sessions import closes_of, sessions_between

    asked = json.load(sys.stdin)
    answer = {}
    for name, newest in asked["calendars"].items():
        try:
            days = sessions_between(name, newest, asked["until"])
            days = days[days.astype(str) > newest]
            closes = closes_of(name, days).astype("datetime64[s]").astype("int64").tolist()
            answer[name] = list(zip(days.astype(str).tolist(), closes, strict=True))
        except Exception:  # a calendar that nobody knows: the page counts weekdays
            continue
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
