"""``nextclose explain``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from cyclopts import Parameter

from app.common import TABULAR, Tabular


def explain(
    symbol: Annotated[str, Parameter(help="The ticker, as the exchange writes it.")],
    session: Annotated[date, Parameter(help="The session that was forecast from, such as 2013-02-01.")],
    /,
    *,
    horizon: Annotated[int | None, Parameter(help="Sessions ahead. Default: the shortest.")] = None,
    contributions: Annotated[
        bool,
        Parameter(negative="--no-contributions", help="Ask the network what each feature added (some seconds). Default: yes."),
    ] = True,
    common: Tabular = TABULAR,
) -> int:
    """Why a forecast is what it is: the data known then, features, model, gate, rivals, what came true.

    docs/accountability.md says how a feature's contribution is defined.

    For example:
      nextclose explain AAPL 2013-02-01 --horizon 5
      nextclose explain AAPL 2013-02-01 --no-contributions --json
    """
    from app.common import answer
    from app.explained import as_json, show
    from forecasting.symbols import normalise_symbol
    from storage.explain import everything_about
    from storage.snapshot import open_snapshot

    home = common.opened()
    with open_snapshot(home) as con:
        told = everything_about(con, normalise_symbol(symbol), session, horizon)
        parts, why_not = None, "not asked for"
        if contributions:
            parts, why_not = _contributions(con, home, told["forecast"])
    plain = as_json(told, parts, why_not)
    answer(common, plain, lambda: show(told, parts, why_not), plain["contributions"] or told["features"])
    return 0


def _contributions(con: Any, home: Any, forecast: dict[str, Any]) -> tuple[Any, str]:
    """What each feature added, or None and the reason: all else is worth showing without it."""
    import os

    from forecasting.errors import NextcloseError
    from tasks.own_features import use_own_features
    from tasks.reproducing import contributions_of
    from tasks.settings import read_settings

    try:
        settings = read_settings(home.settings, os.environ)
        use_own_features(settings, home)
        minutes = settings.source.final_after_minutes
        parts = contributions_of(con, home, forecast, minutes)
    except NextcloseError as error:
        return None, str(error)
    return parts, f"{forecast['forecaster']} reads no features" if parts is None else ""
