"""This machine's own addresses, which no proxy of the environment shall stand before: the login would pass through it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address


def is_loopback(host: str | None) -> bool:
    """Whether only this machine can reach what listens there."""
    if host == "localhost":
        return True
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False


OWN_NAMES = ("127.0.0.1", "localhost")


def directly(environment: Mapping[str, str], *hosts: str | None) -> dict[str, str]:
    """What to say in ``environment`` so that ``hosts`` are reached without a proxy, whatever else is."""
    said = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if said.strip() == "*":  # none at all, which is understood alone only
        return {}
    direct = ",".join(dict.fromkeys(filter(None, [*said.split(","), *hosts])))
    return {"no_proxy": direct, "NO_PROXY": direct}
