"""The file of features that the settings name, read and handed to the domain."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from forecasting.errors import FeatureFileError
from tasks.settings import Settings

if TYPE_CHECKING:
    from storage.home import Home


def use_own_features(settings: Settings, home: Home) -> str:
    """Make the features of ``[features] file`` known to this process (and those of another file unknown).

    The SHA-256 of the file's text, '' where no file is named. A relative path begins at the home folder. FeatureFileError
    where the file cannot be read or a function in it cannot be a feature.
    """
    text, name = None, settings.features.file
    if name is not None:
        path = home.path / Path(name).expanduser()
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
            raise FeatureFileError(str(path), f"cannot be read: {reason}", "correct [features] file in the settings") from error
    else:
        from sys import modules

        if "forecasting.features.user" not in modules:  # nothing to forget, and nothing to load for it
            return ""
    from forecasting.features.user import load_user_features

    load_user_features(text, Path(name).name if name else "")
    return hashlib.sha256(text.encode()).hexdigest() if text is not None else ""
