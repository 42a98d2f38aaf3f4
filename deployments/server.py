"""The process that answers: the Prefect server and its UI behind the guard. Started by ``deployments/serve.py``, which says
everything else in the environment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from deployments import lifeline


def main(arguments: Sequence[str] | None = None) -> None:
    said = argparse.ArgumentParser()
    said.add_argument("--host", required=True)
    said.add_argument("--port", type=int, required=True)
    said.add_argument("--name", action="append", default=[], help="what the Host line may say")
    said.add_argument("--origin", action="append", default=[], help="an origin of which a browser may speak to it")
    wanted = said.parse_args(arguments)
    lifeline.end_with_stdin()

    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    import deployments.mail  # noqa: F401  the kind of block that an automation may send with
    from deployments.guard import Guard

    # Of a server that was killed: it names a process whose number another may have by now. No other server has this home.
    (get_current_settings().home / "concurrency_leases" / "expirations.lock").unlink(missing_ok=True)
    app = Guard(create_app(final=True), wanted.name, wanted.origin)
    uvicorn.run(
        app, host=wanted.host, port=wanted.port, log_level="warning", access_log=False, server_header=False,
        timeout_keep_alive=5, timeout_graceful_shutdown=5, lifespan="on",
    )  # fmt: skip


if __name__ == "__main__":
    main()
