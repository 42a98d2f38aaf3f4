"""Which rivals are fitted is a setting."""

from forecasting.rivals import RIVALS
from tasks.settings import settings_of


def test_rivals__garch_is_fitted_only_where_asked_for():
    assert settings_of({}).rivals.names == RIVALS and "garch" not in RIVALS
    assert settings_of({"rivals": {"garch": True}}).rivals.names == (*RIVALS, "garch")
    assert settings_of({}).digest != settings_of({"rivals": {"garch": True}}).digest  # it decides what a run holds
