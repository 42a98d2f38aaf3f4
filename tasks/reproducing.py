"""A forecast of the ledger, made again: from what was known when it was issued and from the model folder that it names."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Any

from forecasting.lstm.machine import FORECAST_TOLERANCE
from tasks.ledger import target_session
from tasks.market import data_digest, macro_known, market_known
from tasks.opening import code_version

if TYPE_CHECKING:
    from forecasting.explanation import Contributions
    from forecasting.inputs import Inputs
    from forecasting.models import Fitted
    from storage.home import Home

#: What is compared, bit by bit.
NUMBERS = ("close", "scale", "q05", "q10", "q25", "q50", "q75", "q90", "q95", "p_up")
#: Largest relative difference of a price, from the same data and model folder, that another processor explains.
TOLERANCE = FORECAST_TOLERANCE
SAME_BITS, OTHER_BITS = 0, 12  # exit codes of the command


@dataclass(frozen=True)
class Reason:
    """Why the bits may differ: a stable ``code`` and a sentence."""

    code: str
    sentence: str


@dataclass(frozen=True)
class AsItWas:
    """What a forecast was made from, read again: the model, its inputs up to the origin, and their digest."""

    fitted: Fitted
    inputs: Inputs
    digest: str


@dataclass(frozen=True)
class Reproduction:
    """``stored`` and ``again``: the numbers by name; ``difference``: the largest relative one, of a probability the absolute
    one. ``same``: whether every bit is. ``reasons`` explain a difference; with the same bits there is none."""

    stored: dict[str, float]
    again: dict[str, float]
    same: bool
    difference: float
    data_as_recorded: bool
    reasons: tuple[Reason, ...]


def as_it_was(con: Any, home: Home, forecast: dict[str, Any], final_after_minutes: int) -> AsItWas:
    """Read again what ``forecast`` (a row of ``store.forecasts``) was made from, out of the snapshot ``con`` and the home.

    Nothing after its origin, and nothing that became known after it was issued, is read. Raises UntrustedModel where the
    model folder is missing or is not what its name says.
    """
    from forecasting.models import rebuild
    from storage.explain import run_of
    from storage.model_folders import load_model

    fitted = rebuild(*load_model(home, forecast["model_id"]))
    origin, as_of = forecast["origin"], forecast["as_of"] or forecast["issued_at"]
    panel = market_known(con, origin, as_of)
    macro = macro_known(con, panel.symbols, origin, final_after_minutes, as_of)
    run = run_of(con, forecast["run_id"])
    asked = run["symbols"].split(",") if run and run["symbols"] else [forecast["symbol"]]
    digest = data_digest(panel, macro, sorted({*fitted.market_symbols, *asked}), origin)
    return AsItWas(fitted, fitted.inputs(panel, macro), digest)


def reproduce(con: Any, then: AsItWas, forecast: dict[str, Any]) -> Reproduction:
    """Make ``forecast`` (a row of ``store.forecasts``) again from what it was made from, and compare."""
    again = made_again(then, forecast["symbol"], forecast["origin"], forecast["horizon"], forecast["forecaster"])
    return compared(con, then, forecast, {name: forecast[name] for name in NUMBERS}, again)


def compared(
    con: Any, then: AsItWas, row: dict[str, Any], stored: dict[str, float], again: dict[str, float] | None
) -> Reproduction:
    """The numbers ``stored`` in a ``row`` of the ledger beside those that came out ``again`` (None: it cannot be made)."""
    same = again is not None and all(_bits(stored[name]) == _bits(again[name]) for name in stored)
    recorded = then.digest == row["data_digest"]
    difference = float("nan") if again is None else _largest(stored, again)
    reasons = () if same else _reasons(con, then, row, recorded, again is not None, difference)
    return Reproduction(stored, again or {}, same, difference, recorded, reasons)


def made_again(then: AsItWas, symbol: str, origin: date, horizon: int, forecaster: str) -> dict[str, float] | None:
    """The numbers of one forecast, None where it cannot be made from what was known."""
    from forecasting.outlook import outlook

    frame, _ = outlook(then.fitted, then.inputs, [symbol], [origin], target_session, (forecaster,))
    row = frame[frame["horizon"] == horizon]
    return {name: float(row[name].iloc[0]) for name in NUMBERS} if len(row) else None


def contributions_of(con: Any, home: Home, forecast: dict[str, Any], final_after_minutes: int) -> Contributions | None:
    """What each feature added to ``forecast``, from what it was made from; None for a forecaster that reads no features."""
    from forecasting.explanation import contributions
    from forecasting.inputs import rows_at

    then = as_it_was(con, home, forecast, final_after_minutes)
    rows, refused = rows_at(then.inputs, [forecast["symbol"]], forecast["origin"], then.fitted.spec.lookback)
    if refused:
        raise next(iter(refused.values()))
    f = forecast
    served = (math.log(f["q50"] / f["close"]), math.log(f["q90"] / f["q10"]))
    return contributions(then.fitted, then.inputs, rows[f["symbol"]], f["horizon"], f["forecaster"], served)


def _reasons(
    con: Any, then: AsItWas, forecast: dict[str, Any], recorded: bool, possible: bool, difference: float
) -> tuple[Reason, ...]:
    from forecasting.lstm.machine import machine_class
    from storage.explain import run_of

    found = []
    if not recorded:
        found.append(Reason("data", _other_data(con, then, forecast)))
    if not possible:
        found.append(Reason("refused", f"from what was known then {forecast['symbol']} cannot be forecast at all"))
    run, version = run_of(con, forecast["run_id"]), code_version()
    if run is None:
        found.append(
            Reason("run", f"run {forecast['run_id']} never came to its end: which symbols it worked on is not recorded")
        )
    elif run["code_version"] != version:
        found.append(Reason("code", f"it was issued by version {run['code_version']} of the code, this is {version}"))
    trained, here = then.fitted.card.get("machine_class"), machine_class()
    if trained != here:
        found.append(Reason("machine", f"the model was trained on {trained}, this is {here}{_apart(trained, here)}"))
    if recorded and not found and possible and difference <= TOLERANCE:
        small = f"no number is off by more than {TOLERANCE:g}: a processor with other instructions rounds so"
        found.append(Reason("processor", small))
    if recorded and not found:
        found.append(
            Reason("unexplained", "data, model, version and machine class are the recorded ones; please report it as a fault")
        )
    return tuple(found)


def _apart(trained: str | None, here: str) -> str:
    """The parts of two machine classes that differ: '; x86_64-avx512 then, x86_64-avx2 now'."""
    pairs = zip(str(trained).split("/"), here.split("/"), strict=False)
    return "".join(f"; {then} then, {now} now" for then, now in pairs if then != now)


def _other_data(con: Any, then: AsItWas, forecast: dict[str, Any]) -> str:
    """The sentence on data that are not those that the forecast was made from."""
    from storage.explain import changed_since

    as_of = forecast.get("as_of") or forecast["issued_at"]
    rows, count = changed_since(con, list(then.inputs.panel.symbols), forecast["origin"], as_of)
    text = (
        f"what is stored as known at {as_of:%Y-%m-%d %H:%M} UTC has the digest {then.digest[:16]}, the forecast was made from "
        f"{str(forecast['data_digest'])[:16]}: rows were changed, lost or dated back, or the settings of time differ; "
        "`nextclose verify` looks for damage"
    )
    if count:
        first = ", ".join(f"{row['symbol']} {row['session']}" for row in rows[:3])
        text += f"; {count} rows of that past became known later and count as later ({first}{', …' if count > 3 else ''})"
    return text


def _bits(value: float | None) -> bytes:
    return b"" if value is None else struct.pack("<d", value)


def _largest(stored: dict[str, float], again: dict[str, float]) -> float:
    """The largest relative difference; of probabilities, whose names begin with p, the absolute one."""
    off = [abs(again[n] - s) / (1.0 if n.startswith("p") else abs(s) or 1.0) for n, s in stored.items() if s is not None]
    return max(off)
