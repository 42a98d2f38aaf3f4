"""``nextclose completion``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from app.common import COMMON, Common

SHELLS = ("bash", "zsh", "fish")


def completion(
    shell: Annotated[Literal["bash", "zsh", "fish"] | None, Parameter(help="Default: that of SHELL.")] = None,
    /,
    *,
    install: Annotated[bool, Parameter(help="Put it where the shell looks, and a line into its start-up file.")] = False,
    common: Common = COMMON,
) -> int:
    """What makes bash, zsh or fish complete commands and options: a script on stdout, or put in place.

    For example:
      nextclose completion --install
      eval "$(nextclose completion bash)"
      nextclose completion fish > ~/.config/fish/completions/nextclose.fish
    """
    import sys

    from app.cli import build
    from app.common import print_json
    from app.printing import say
    from forecasting.errors import HomeNotWritable

    chosen = shell or _own()
    app = build()
    if not install:
        script = app.generate_completion(prog_name="nextclose", shell=chosen)
        print_json({"shell": chosen, "script": script}) if common.json else sys.stdout.write(script)
        return 0
    try:
        file = app.install_completion(shell=chosen)
    except OSError as error:
        raise HomeNotWritable(
            f"the completion of {chosen} cannot be put in place ({error}); print it without --install"
        ) from error
    print_json({"shell": chosen, "file": str(file)}) if common.json else say(f"wrote {file}; it works in the next {chosen}")
    return 0


def _own() -> Literal["bash", "zsh", "fish"]:
    """The shell that a person uses; InputError where that is none of the three."""
    from forecasting.errors import InputError

    name = Path(os.environ.get("SHELL", "")).name
    if name not in SHELLS:
        raise InputError(f"the shell is {name or 'not known'}; name one: nextclose completion {'|'.join(SHELLS)}")
    return name  # type: ignore[return-value]
