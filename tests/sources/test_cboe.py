"""Cboe's files of volatility indices through the real client."""

from __future__ import annotations

import pytest

from forecasting.errors import Blocked, Malformed, RateLimited, SourceDown, UnknownSymbol
from sources.cboe import CboeSource
from tests.sources.stand_in import Answer, StandIn

FOLDER = "/api/global/us_indices/daily_prices"
VIX = "DATE,OPEN,HIGH,LOW,CLOSE\n01/02/2024,13.210000,14.230000,13.100000,13.200000\n01/03/2024,13.38,14.22,13.33,14.04\n"


def csv(text: str, **options) -> Answer:
    return Answer(text, kind="text/csv", **options)


def source(server: StandIn) -> CboeSource:
    made = CboeSource(base_url=server.url, waits=(0.01,))
    made.meter._sleep = lambda seconds: None
    return made


def test_fetch__closes_of_each_index_in_either_of_the_two_forms():
    with StandIn() as server:
        server.say(f"{FOLDER}/VIX_History.csv", csv(VIX))
        server.say(f"{FOLDER}/SKEW_History.csv", csv("DATE,SKEW\n01/02/2024,138.42\n01/03/2024,137.65\n"))
        fetched = source(server).fetch(["skew", "VIX"])
    values = fetched.values
    assert not fetched.failures and values["published_at"].isna().all()
    assert [(s, str(d.date()), v) for s, d, v in zip(values["series"], values["about"], values["value"], strict=True)] == [
        ("SKEW", "2024-01-02", 138.42),
        ("SKEW", "2024-01-03", 137.65),
        ("VIX", "2024-01-02", 13.2),
        ("VIX", "2024-01-03", 14.04),
    ]


def test_fetch__an_index_that_is_not_cboes_is_not_asked_for():
    with StandIn() as server:
        fetched = source(server).fetch(["../../secrets", "DGS10"])
        assert server.requests == []
    assert {type(error) for error in fetched.failures.values()} == {UnknownSymbol}
    assert "it has GVZ, OVX" in str(fetched.failures["DGS10"])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer("<Error><Code>AccessDenied</Code></Error>", status=403, kind="application/xml"), Blocked),
        (Answer("<html>maintenance</html>", kind="text/html"), Blocked),
        (Answer("busy", status=429, kind="text/plain"), RateLimited),
        (Answer("", status=503, kind="text/plain"), SourceDown),
        (csv("DATE,OPEN,HIGH,LOW,CLOSE\n01/02/2024,13.2,14.2,13.1,thirteen\n"), Malformed),
        (csv("DATE,OTHER\n01/02/2024,13.2\n"), Malformed),
        (csv(""), Malformed),
        (csv(VIX, cut=40), SourceDown),
    ],
)
def test_fetch__what_can_go_wrong_has_its_class(answer, kind):
    with StandIn() as server:
        server.say(f"{FOLDER}/VIX_History.csv", answer)
        fetched = source(server).fetch(["VIX"])
    assert type(fetched.failures["VIX"]) is kind and fetched.values.empty


def test_fetch__the_real_file_of_34_years(shared_data):
    body = (shared_data / "macro" / "vix_daily.csv").read_bytes()
    with StandIn() as server:
        server.say(f"{FOLDER}/VIX_History.csv", Answer(body, kind="text/csv"))
        values = source(server).fetch(["VIX"]).values
    assert len(values) == 8489 and values["value"].between(9, 90).all()
