"""``nextclose report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from app.common import COMMON, Common


def report(
    run: Annotated[str | None, Parameter(help="First digits of a run's id. Default: the newest run.")] = None,
    /,
    *,
    backtest: Annotated[Path | None, Parameter(help="What `nextclose backtest --json` answered, as a file.")] = None,
    out: Annotated[Path | None, Parameter(help="The file to write. Default: report-RUN.html here.")] = None,
    common: Common = COMMON,
) -> int:
    """A run or a backtest as one HTML file with everything in it, to keep or to send.

    For example:
      nextclose report
      nextclose report aaee6e2d --out friday.html
      nextclose report --backtest result.json --out backtest.html
    """
    from app.common import print_json
    from app.printing import say
    from app.web.report import backtest_report, run_report
    from forecasting.errors import HomeNotWritable, InputError
    from storage.editions import Editions

    if backtest is not None:
        if run is not None:
            raise InputError("name a run or --backtest FILE, not both")
        text, name = backtest_report(_read(backtest), backtest.name), backtest.stem
    else:
        edition = Editions(common.opened(), seconds=300).current()
        text, name = run_report(edition, run), run or "newest"
        edition.close()
    file = (out or Path(f"report-{name}.html")).expanduser().absolute()
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise HomeNotWritable(f"{file} cannot be written ({error.strerror}); name another with --out FILE") from error
    if common.json:
        print_json({"file": str(file), "bytes": file.stat().st_size})
    else:
        say(f"wrote {file} ({file.stat().st_size / 1024:,.0f} KB)")
    return 0


def _read(file: Path) -> dict[str, Any]:
    import json

    from forecasting.errors import InputError

    try:
        found = json.loads(file.expanduser().read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} is not what `nextclose backtest --json` answers: {error}") from error
    if not isinstance(found, dict):
        raise InputError(f"{file} is not what `nextclose backtest --json` answers: a list or a value, not an object")
    return found
