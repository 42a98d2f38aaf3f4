"""Minor currency units in which some exchanges quote: pence, cents and agorot are not pounds, rand and shekels."""

from __future__ import annotations

# how sources write a minor unit -> (major currency, how many of it one is)
MINOR_UNITS = {
    "GBp": ("GBP", 0.01), "GBX": ("GBP", 0.01), "GBpence": ("GBP", 0.01), "ZAc": ("ZAR", 0.01), "ZAX": ("ZAR", 0.01),
    "ILA": ("ILS", 0.01), "ILa": ("ILS", 0.01), "KWF": ("KWD", 0.001),
}  # fmt: skip


def unit_of(currency: str | None) -> float | None:
    """How much of the major currency a price of 1 is: 0.01 for GBp, 1.0 for USD; None where the currency is not known.

    >>> [unit_of(c) for c in ("USD", "GBp", "ILA", None)]
    [1.0, 0.01, 0.01, None]
    """
    if currency is None:
        return None
    return MINOR_UNITS[currency][1] if currency in MINOR_UNITS else 1.0


def major_of(currency: str) -> str:
    """The major currency of a unit: GBP for GBp."""
    return MINOR_UNITS[currency][0] if currency in MINOR_UNITS else currency
