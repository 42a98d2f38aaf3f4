"""From what was typed to a flow and back: the commands that run something share this."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from forecasting.errors import InputError
from tasks.loopback import OWN_NAMES, directly

if TYPE_CHECKING:
    from flows.parameters import Parameters
    from tasks.engine import Flow

#: A run in which this share of the symbols or more got nothing ends with the code FAILED_MANY.
MANY = 0.5
FAILED_MANY = 10


def asked(model: type[Parameters], /, **values: Any) -> Parameters:
    """The validated parameters of a flow; InputError for the first that is wrong, in the words of the command line."""
    from pydantic import ValidationError

    try:
        return model(**{name: value for name, value in values.items() if value is not None})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "-".join(str(part) for part in first["loc"][:1]).replace("_", "-")
        message = first["msg"].removeprefix("Value error, ")
        raise InputError(f"--{place}: {message}" if place else message) from error


def execute(flow: Flow, request: Parameters, prefect: bool = False, quiet: bool = False) -> dict[str, Any]:
    """Run the flow here, with progress on stderr; or with ``prefect`` as a flow run of the Prefect server in use."""
    from app.progress import watching

    if prefect:
        os.environ |= directly(os.environ, *OWN_NAMES)  # the login must not pass through a proxy
        return flow.on_prefect(request)
    with watching(quiet):
        return flow(request)


def exit_code(report: dict[str, Any]) -> int:
    """0, or FAILED_MANY when half or more of the symbols got nothing that should have."""
    from tasks.run import AS_IT_SHOULD_BE

    symbols = report.get("symbols") or []
    failed = [entry for entry in report.get("refused", []) if entry["reason"] not in AS_IT_SHOULD_BE]
    return FAILED_MANY if symbols and len(failed) >= MANY * len(symbols) else 0


def options_from(texts: list[str] | None) -> dict[str, Any]:
    """['seed=7', 'columns={"close": "Last"}'] as a dict; values are JSON where they are JSON, otherwise text."""
    import json

    options: dict[str, Any] = {}
    for text in texts or []:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InputError(f"--option {text!r} is not of the form name=value, for example --option seed=7")
        try:
            options[name.strip()] = json.loads(value)
        except ValueError:
            options[name.strip()] = value
    return options
