"""Settings: one file, the environment above it, and a clear word on everything that is wrong."""

from __future__ import annotations

import re

import pytest

from forecasting.errors import SettingError
from tasks.settings import Settings, read_settings, settings_of
from tasks.settings_values import SECTIONS


def written(tmp_path, text):
    file = tmp_path / "settings.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults__work_without_a_file_and_hold_tesla(tmp_path):
    settings = read_settings(tmp_path / "none.toml", {})
    assert "TSLA" in settings.universe.symbols
    assert settings.source.name == "yahoo"
    assert settings.retraining.after_sessions == 60
    assert not settings.names_symbols


def test_file__sets_and_environment_wins(tmp_path):
    file = written(tmp_path, '[universe]\nsymbols = ["aapl", "brk-b"]\n[retraining]\nafter_sessions = 20\n')
    assert read_settings(file, {}).universe.symbols == ("AAPL", "BRK-B")
    settings = read_settings(
        file, {"NEXTCLOSE_UNIVERSE__SYMBOLS": "TSLA, msft", "NEXTCLOSE_LSTM__UNITS": "[16, 8]", "PATH": "x"}
    )
    assert settings.universe.symbols == ("TSLA", "MSFT")
    assert settings.lstm.units == (16, 8)
    assert settings.retraining.after_sessions == 20
    assert settings.names_symbols


@pytest.mark.parametrize("ticker", ["NA", "ON", "TRUE", "NULL", "NO", "NAN", "0700.HK", "1E5", "BRK-B", "^GSPC", "7203"])
def test_tickers_that_look_like_something_else__stay_text(tmp_path, ticker):
    file = written(tmp_path, f'[universe]\nsymbols = ["{ticker}"]\n')
    assert read_settings(file, {}).universe.symbols == (ticker,)
    assert read_settings(tmp_path / "none.toml", {"NEXTCLOSE_UNIVERSE__SYMBOLS": ticker}).universe.symbols == (ticker,)


WRONG = [
    ("[univers]\nsymbols = ['A']", {}, r"setting univers is 'unknown'.*'universe'"),
    ("[lstm]\nepocs = 3", {}, r"setting lstm\.epocs is 'unknown'.*'epochs'"),
    ("[lstm]\nepochs = 'many'", {}, r"setting lstm\.epochs is 'many'.*integer"),
    ("[lstm]\nhorizons = [-1, 5]", {}, r"setting lstm\.horizons.*1 to 250"),
    ("[universe]\nsymbols = ['AAPL', 'AAPL']", {}, r"setting universe\.symbols.*twice"),
    ("[universe]\nsymbols = []", {}, r"setting universe\.symbols.*at least 1"),
    ("[universe]\nsymbols = ['../x']", {}, r"setting universe\.symbols.*not a symbol"),
    ("[source]\nname = 'yaho'", {}, r"setting source\.name is 'yaho'.*'yahoo'"),
    ("[retraining]\nafter_sessions = 0", {}, r"setting retraining\.after_sessions is 0.*greater than or equal to 1"),
    ("[gate]\nalpha = 2", {}, r"setting gate\.alpha is 2"),
    ("not toml", {}, r"settings\.toml is 'not readable'"),
    ("", {"NEXTCLOSE_SYMBOLS": "TSLA"}, r"setting symbols|NEXTCLOSE_SYMBOLS"),
    ("[lstm]\nactivation = 'reluu'", {}, r"lstm\.activation is 'reluu'; expected 'celu', .*; did you mean 'relu'\?$"),
    ("[lstm]\noptimizer = 'Adam'", {}, r"; did you mean 'adam'\?$"),
    ("[lstm]\nloss = 'mse'", {}, r"settings of \[lstm\]: output 'quantiles' goes with loss 'pinball'.*; found loss = 'mse'$"),
    ("[lstm]\nbidirectional = true", {}, r"needs labels_per_sequence = 1.*; found bidirectional = True$"),
    ("", {"NEXTCLOSE_UNIVERSE__SYMBOL": "TSLA"}, r"setting universe\.symbol is 'unknown'.*'symbols'"),
]


@pytest.mark.parametrize(("text", "environment", "message"), WRONG, ids=[w[2][:30] for w in WRONG])
def test_wrong_setting__is_named_with_what_is_expected(tmp_path, text, environment, message):
    with pytest.raises(SettingError) as caught:
        read_settings(written(tmp_path, text), environment)
    assert re.search(message, str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


def test_too_many_symbols__are_refused():
    with pytest.raises(SettingError, match="5000"):
        settings_of({"universe": {"symbols": [f"S{i}" for i in range(10_000)]}})


def test_digest__follows_what_decides_the_content_and_nothing_else():
    base = settings_of({})
    assert base.digest == Settings().digest
    assert settings_of({"storage": {"memory_mb": 2048}}).digest == base.digest
    assert settings_of({"lstm": {"seed": 8}}).digest != base.digest
    assert settings_of({"gate": {"alpha": 0.01}}).digest != base.digest


def test_sections__that_a_message_offers_are_those_that_there_are():
    assert set(SECTIONS) == set(Settings.model_fields)
