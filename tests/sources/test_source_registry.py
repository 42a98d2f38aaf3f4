"""Sources by name, their options checked."""

from __future__ import annotations

import sys
from subprocess import run

import pytest

from forecasting.errors import SettingError
from sources import registry
from sources.registry import make_source, register_source, source_names


def test_make_source__by_name_with_options(tmp_path):
    assert source_names() == ("bundled", "files", "synthetic", "yahoo")
    assert make_source("bundled").name == "bundled" and make_source("files", {"path": tmp_path}).name == "files"
    assert make_source("synthetic", {"symbols": 3, "seed": 5}).symbols() == ("S0001", "S0002", "S0003")
    assert make_source("yahoo", {"base_url": "http://127.0.0.1:1"}).identity() == "yahoo"


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("yahooo", {}, "setting source is 'yahooo'; expected 'yahoo' (of bundled, files, synthetic, yahoo)"),
        ("bloomberg", {}, "expected one of bundled, files, synthetic, yahoo"),
        ("files", {"pth": "x"}, "setting files option is 'pth'; expected 'path' (of path, symbol, columns"),
        ("files", {}, "setting files option path is None; expected a value"),
        ("bundled", {"path": "x"}, "expected none, it has no options"),
    ],
)
def test_make_source__says_the_nearest_right_name(name, options, says):
    with pytest.raises(SettingError) as error:
        make_source(name, options)
    assert says in str(error.value)


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
