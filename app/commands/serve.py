"""``nextclose serve``."""

from __future__ import annotations

import os
import sys
from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def serve(
    *,
    host: Annotated[str | None, Parameter(help="Address to listen on. Default: serve.host, else 127.0.0.1.")] = None,
    port: Annotated[int | None, Parameter(help="Port to listen on. Default: serve.port, else 4200.")] = None,
    no_flows: Annotated[bool, Parameter(help="Only the server and its UI; workers elsewhere run the flows.")] = False,
    common: Common = COMMON,
) -> int:
    """Show and schedule: the Prefect server with its UI, and the process that runs the flows, until Ctrl-C.

    Only this machine can reach it, with a password that is made at the first start (or taken from NEXTCLOSE_PASSWORD). The
    day then runs by itself after the exchange's close; everything can be started by hand in the UI.

    For example:
      nextclose serve
      nextclose serve --port 4300 --home /data/nextclose
    """
    # Becomes that process: it gets the signals itself, and nothing of this one stays in memory for months.
    command = [sys.executable, *(["-P"] if sys.flags.safe_path else []), "-m", "deployments.serve", f"--home={common.path}"]
    command += [f"--host={host}"] if host is not None else []
    command += [f"--port={port}"] if port is not None else []
    command += ["--no-flows"] if no_flows else []
    sys.stdout.flush()
    os.execv(sys.executable, command)
