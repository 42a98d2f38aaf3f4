"""The ``nextclose`` command: reads what was typed, hands it to one command, turns errors into one line and a code.

Exit codes: 0 done, 1 a fault of ours, 2 wrong input, 3 no prices, 4 the data does not allow it, 5 database or disk,
6 already running, 7 a leak was found, 8 a model that is not what was recorded, 9 out of time, 10 half or more of the
symbols failed, 11 ``verify`` found damage, 12 ``reproduce`` got other bits, 13 ``controls`` found
the product wanting, 14 ``doctor`` found a problem, 130 interrupted.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from app.summaries import SUMMARIES
from forecasting.errors import NextcloseError

COMMANDS = tuple(SUMMARIES)
_EPILOGUE = (
    "The data lives in --home DIR, or NEXTCLOSE_HOME, or ./nextclose-home. Exit codes: 0 done, 2 wrong input, 3 no prices, 4 "
    "the data does not allow it, 5 database or disk; docs/operations.md lists all. Start with `nextclose demo`."
)


def version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("nextclose")
    except PackageNotFoundError:
        return "0 (not installed)"


def build(typed: str = "") -> App:
    """The command line. Only the module of the command that was ``typed`` is imported; it explains itself in full."""
    app = App(
        name="nextclose",
        help="Forecasts of the next closes of the stocks you name, and how far each forecast can be trusted.",
        help_epilogue=_EPILOGUE,
        help_format="plaintext",
        version=version,
        default_parameter=Parameter(negative=(), show_default=False),
        result_action="return_value",
    )
    for position, name in enumerate(COMMANDS):
        explained = {} if name == typed else {"help": SUMMARIES[name]}
        app.command(f"app.commands.{name}:{name}", name=name, help_format="plaintext", sort_key=position, **explained)
    return app


def execute(tokens: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and never raises what a person could meet."""
    tokens = list(sys.argv[1:] if tokens is None else tokens)
    if tokens[:1] == ["help"]:
        tokens = [*tokens[1:2], "--help"]
    try:
        result = build(next(iter(tokens), ""))(tokens, exit_on_error=False, print_error=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except NextcloseError as error:
        return _say(str(error), error.exit_code, error)
    except CycloptsError as error:
        return _say(" ".join(str(error).split()), 2, error)
    except KeyboardInterrupt as error:
        return _say("interrupted; what was stored stays, run the same command again to go on", 130, error)
    except BrokenPipeError:  # the reader of our output (head, less) has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        return _say(f"unexpected {text[:400]}; set NEXTCLOSE_DEBUG=1 to see where", 1, error)


def _say(text: str, code: int, error: BaseException) -> int:
    if os.environ.get("NEXTCLOSE_DEBUG"):
        import traceback

        traceback.print_exception(error)
    printable = "".join(c if c.isprintable() else " " for c in text)  # a message may quote what was typed or sent
    print(f"nextclose: {printable}", file=sys.stderr)
    return code


def main() -> None:
    sys.exit(execute())


if __name__ == "__main__":
    main()
