"""The files of features and forecasters of one's own that the settings name, read and handed to the domain."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.errors import FeatureFileError, RivalFileError
from forecasting.rivals.own import load_own_rivals
from tasks.settings import Settings

if TYPE_CHECKING:
    from storage.home import Home


def use_own_features(settings: Settings, home: Home) -> str:
    """Make the features of ``[features] file`` and the forecasters of ``[rivals] own`` known to this process, and those of
    other files unknown.

    The SHA-256 of the files' texts, '' where no file is named. A relative path begins at the home folder. FeatureFileError or
    RivalFileError where a file cannot be read or what is in it cannot be used.
    """
    text, name = None, settings.features.file
    if name is not None:
        text = _text(home.path / Path(name).expanduser(), FeatureFileError, "correct [features] file in the settings")
    _load_features(text, Path(name).name if name else "")
    texts = {
        Path(file).name: _text(home.path / Path(file).expanduser(), RivalFileError, "correct [rivals] own in the settings")
        for file in settings.rivals.own
    }
    load_own_rivals(texts)
    found = ([text] if text is not None else []) + list(texts.values())
    return " ".join(hashlib.sha256(one.encode()).hexdigest() for one in found)


def _load_features(text: str | None, file: str) -> None:
    from sys import modules

    if text is None and "forecasting.features.user" not in modules:  # nothing to forget, and nothing to load for it
        return
    from forecasting.features.user import load_user_features

    load_user_features(text, file)


def _text(path: Path, error_class: type[FeatureFileError | RivalFileError], advice: str) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise error_class(str(path), f"cannot be read: {reason}", advice) from error
