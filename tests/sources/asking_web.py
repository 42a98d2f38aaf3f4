"""The web client and what a test asks of it, pointed at a stand-in server or at nobody."""

from __future__ import annotations

import socket

import pytest

from forecasting.errors import SourceError
from sources.base import Cost
from sources.meter import Meter
from sources.web import Web
from tests.sources.stand_in import StandIn


def web(server: StandIn | None = None, hosts=(), **options) -> Web:
    return Web("house", Meter(Cost()), hosts, base_url=server.url if server else None, **options)


def failure(asked: Web, url: str = "https://prices.example/a", **options) -> SourceError:
    with asked, pytest.raises(SourceError) as caught:
        asked.get(url, **options)
    return caught.value


def refuse_to_resolve(*args, **kwargs):
    raise socket.gaierror(-2, "Name or service not known")
