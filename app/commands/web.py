"""``nextclose web``."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import Parameter

from app.common import COMMON, Common


def web(
    *,
    port: Annotated[int | None, Parameter(help="Port to listen on; 0: any free one. Default: web.port, else 8070.")] = None,
    host: Annotated[str | None, Parameter(help="Address to listen on. Default: web.host, else 127.0.0.1.")] = None,
    common: Common = COMMON,
) -> int:
    """Look at the forecasts in a browser, and ask for them by HTTP, until Ctrl-C.

    Pages and API read the published snapshot and need no other process; a run that publishes in the meantime is shown at once.
    Only this machine can reach it, unless web.hosts names the hosts under which others may.

    For example:
      nextclose web
      nextclose web --home nextclose-demo --port 8080
    """
    import socket

    from app.common import print_json
    from app.web.serving import listening, serve
    from tasks.web_settings import read_web_settings

    home = common.opened()
    settings = read_web_settings(home.settings, os.environ)
    sock: socket.socket = listening(host or settings.host, settings.port if port is None else port, settings)
    address = f"http://{_shown(sock)}"
    if common.json:
        print_json({"address": address, "home": str(common.path)})
    else:
        from app.printing import say

        say(f"{address} shows {common.path}; Ctrl-C ends it")
    return serve(home, settings, sock, os.environ)


def _shown(sock) -> str:  # type: ignore[no-untyped-def]
    host, port = sock.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
