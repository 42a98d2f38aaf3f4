"""Which addresses may be asked, and connections that go to no others.

A name is resolved once, every address that it stands for is checked, and the connection goes to one of those addresses:
so neither a redirect, nor another spelling of 127.0.0.1, nor an answer of the name server that changes between check and
connection leads into this machine or its network.
"""

from __future__ import annotations

import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import httpcore

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_CONNECT_SECONDS = 5.0  # for one of a name's addresses, so that a silent one leaves time for the next


class AddressRefused(Exception):
    """The address is one that may not be asked; the message says why."""


def on_this_machine(host: str | None) -> bool:
    """Whether a stand-in server may be there: this machine by its usual names."""
    return host in ("localhost", "127.0.0.1", "::1", "[::1]")


def kind_of(address: str) -> str | None:
    """What an IP address is when it is not a public one: 'loopback', 'link-local', 'private' and so on; None: public.

    An IPv4 address inside an IPv6 one (mapped, 6to4, Teredo, NAT64) is judged as well.

    >>> kind_of("169.254.169.254"), kind_of("::ffff:10.0.0.1"), kind_of("8.8.8.8")
    ('link-local', 'private', None)
    """
    ip = ipaddress.ip_address(address.split("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inside = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ()), _nat64(ip)]
        kinds = [kind_of(str(v4)) for v4 in inside if v4 is not None]
        if ip.ipv4_mapped is not None:
            return kinds[0]
        if any(kinds):
            return next(k for k in kinds if k)
    checks = {
        "loopback": ip.is_loopback,
        "link-local": ip.is_link_local,
        "unspecified": ip.is_unspecified,
        "multicast": ip.is_multicast,
        "private": ip.is_private,
        "reserved": ip.is_reserved or not ip.is_global,
    }
    return next((kind for kind, found in checks.items() if found), None)


def _nat64(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    return ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF) if ip in _NAT64 else None


class GuardedNetwork(httpcore.NetworkBackend):
    """A network that connects to public addresses only, and gives up at ``deadline`` (of time.monotonic).

    ``loopback``: the (host, port) that may also be on this machine: a stand-in server. ``allow_private``: addresses of
    this machine and its network are allowed too, those of cloud metadata (link-local) never. For one thread at a time.
    """

    def __init__(self, loopback: tuple[str, int] | None = None, allow_private: bool = False) -> None:
        self.deadline = float("inf")
        self._loopback, self._allow_private = loopback, allow_private
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        addresses = resolve(host, port, self.seconds(timeout))
        for address in addresses:
            self._check(host, port, address)
        for last, address in enumerate(addresses, start=1 - len(addresses)):
            seconds = self.seconds(timeout) if last == 0 else min(_CONNECT_SECONDS, self.seconds(timeout))
            try:
                return _Stream(self._inner.connect_tcp(address, port, seconds, local_address, socket_options), self)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if last == 0:
                    raise
        raise httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(self, *args: Any, **kwargs: Any) -> httpcore.NetworkStream:
        raise AddressRefused("a socket of this machine")

    def seconds(self, timeout: float | None) -> float:
        """The time that an operation may take: ``timeout``, or less where the deadline comes first."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("out of time")
        return left if timeout is None else min(left, timeout)

    def _check(self, host: str, port: int, address: str) -> None:
        kind = kind_of(address)
        allowed = (
            kind is None
            or (kind == "loopback" and (host, port) == self._loopback)
            or (kind in ("loopback", "private") and self._allow_private)
        )
        if not allowed:
            raise AddressRefused(f"{host} is a {kind} address" if host == address else f"{host} leads to a {kind} address")


def resolve(host: str, port: int, seconds: float) -> list[str]:
    """The IP addresses of ``host``, which may be one itself, in any spelling that the system knows (2130706433).

    httpcore.ConnectError when there is none, httpcore.ConnectTimeout after ``seconds``: the system's own call has no limit.
    """
    found: list[str] = []
    trouble: list[Exception] = []

    def look() -> None:
        try:
            found.extend(dict.fromkeys(str(a[4][0]) for a in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))
        except (OSError, UnicodeError) as error:
            trouble.append(error)

    _within(look, seconds)
    if trouble:
        raise httpcore.ConnectError(f"the name {host} is not known") from trouble[0]
    if not found:
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time")
    return found


def _within(work: Callable[[], None], seconds: float) -> None:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(seconds)


class _Stream(httpcore.NetworkStream):
    """A connection whose every operation ends at the network's deadline, so that an answer in drops ends too."""

    def __init__(self, inner: httpcore.NetworkStream, network: GuardedNetwork) -> None:
        self._inner, self._network = inner, network

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._network.seconds(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._inner.write(buffer, self._network.seconds(timeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None) -> _Stream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, self._network.seconds(timeout)), self._network)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
