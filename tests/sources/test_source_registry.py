"""Sources by name, their options checked."""

from __future__ import annotations

import sys
from importlib import import_module
from subprocess import run

import pytest

from forecasting.errors import SettingError
from sources import macro, registry
from sources.catalogue import CATALOGUE
from sources.macro import macro_source_names
from sources.registry import make_source, register_source, source_names
from tasks.settings import settings_of


def test_make_source__by_name_with_options(tmp_path):
    assert source_names() == tuple(
        "alpha_vantage bundled database files http_csv kaggle nasdaq_data_link scrape stooq synthetic yahoo".split()
    )
    assert make_source("bundled").name == "bundled" and make_source("files", {"path": tmp_path}).name == "files"
    assert make_source("synthetic", {"symbols": 3, "seed": 5}).symbols() == ("S0001", "S0002", "S0003")
    assert make_source("yahoo", {"base_url": "http://127.0.0.1:1"}).identity() == "yahoo"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("yahooo", {}, "setting source is 'yahooo'; expected 'yahoo' (of alpha_vantage, bundled, database, "),
        ("bloomberg", {}, "expected one of alpha_vantage, bundled, database, files, http_csv, "),
        ("files", {"pth": "x"}, "setting files option is 'pth'; expected 'path' (of path, factors, symbol, columns"),
        ("files", {}, "setting files option path is None; expected a value"),
        ("bundled", {"path": "x"}, "expected none, it has no options"),
    ],
)
def test_make_source__says_the_nearest_right_name(name, options, says):
    with pytest.raises(SettingError) as error:
        make_source(name, options)
    assert says in str(error.value)


def test_aliases__are_what_people_call_a_source_and_are_stored_under_its_name(tmp_path):
    assert make_source("quandl").name == "nasdaq_data_link" and make_source("csv", {"path": tmp_path}).name == "files"
    assert settings_of({"source": {"name": "quandl", "then": "stooq,csv"}}).source.then == ("stooq", "files")


def test_catalogue__says_of_every_source_what_is_so():
    """The list that ``nextclose sources`` shows without importing any of them agrees with the classes."""
    told = {about.name: about for about in CATALOGUE}
    assert set(told) == {*source_names(), *macro_source_names()}
    for name, (module, cls) in {**registry._BUILT_IN, **macro._BUILT_IN}.items():
        cost = getattr(getattr(import_module(module), cls), "cost", None)
        if told[name].per_day is not None:
            assert cost is not None, name
        if cost is not None and name != "nasdaq_data_link":  # its limit is 50 without a key, and more with one
            assert cost.per_day == told[name].per_day, name
    aliases = {alias: about.name for about in CATALOGUE for alias in about.aliases}
    assert aliases == registry.ALIASES


def test_register_source__a_user_s_own(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})

    class House:
        name = "house"

        def __init__(self, path: str, fast: bool = False) -> None:
            self.path = path

    register_source("house", House)
    register_source("house", House)
    assert make_source("house", {"path": "p"}).path == "p" and "house" in source_names()
    with pytest.raises(SettingError, match="'path' \\(of path, fast\\)"):
        make_source("house", {"pathh": "p"})
    with pytest.raises(ValueError, match="already a source called 'yahoo'"):
        register_source("yahoo", House)


def test_registry__loads_no_source_that_is_not_asked_for():
    code = "import sys, sources.registry; sys.exit(any(m in sys.modules for m in ('yfinance', 'curl_cffi', 'pyarrow.csv')))"
    assert run([sys.executable, "-c", code], check=False).returncode == 0
