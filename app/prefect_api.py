"""A client of the Prefect server's REST API that asks again where the server says "not now".

On SQLite the server answers 503 when two of its own writes meet ("database is locked"), and names the error one that clients
try again; Prefect's own client does. Whoever asks through here does too.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from tasks.loopback import is_loopback

PATIENCE = 10.0  # seconds: for one answer, and within which a question is asked again
NOT_NOW = frozenset({408, 429, 502, 503, 504})
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 2.0  # seconds between two times; each wait is twice the one before


class AskingAgain(httpx.Client):
    """A client that sends a request again while its answer is one of ``NOT_NOW`` and ``patience`` seconds are not over; then
    that answer stands.

    A question that is asked again must be safe to ask twice: a read, or a write with an idempotency key. A server that gives
    no answer at all is not asked again: it is not there, and whoever waits should know at once.

    ``api``: its address, ``http://.../api``; ``login``: user and password, where it has one; ``patience``: in seconds. One
    answer may take as long, and ten seconds at least; then httpx.TimeoutException. ``direct``: without a proxy of the
    environment, as always where the server is at a loopback address.
    """

    def __init__(
        self, api: str, login: tuple[str, str] | None = None, patience: float = PATIENCE, direct: bool = False
    ) -> None:
        # The login must not pass through a proxy of the environment, and one does not know this machine.
        trust = not (direct or local(api))
        super().__init__(base_url=api.rstrip("/"), timeout=max(patience, PATIENCE), auth=login, trust_env=trust)
        self.patience = patience

    def send(self, request: httpx.Request, **more: Any) -> httpx.Response:
        until, wait = time.monotonic() + self.patience, _FIRST_WAIT
        while True:
            answer = super().send(request, **more)
            if answer.status_code not in NOT_NOW or time.monotonic() + wait > until:
                return answer
            answer.close()
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)


def local(api: str) -> bool:
    """Whether the server is on this machine."""
    return is_loopback(httpx.URL(api).host)


def csrf_headers(client: httpx.Client) -> Mapping[str, str]:
    """The headers without which the server refuses a change; none where its protection is off (422) or unknown to it (404).

    Raises:
        httpx.HTTPStatusError: another refusal, of the password for one.
    """
    me = uuid.uuid4().hex
    found = client.get("/csrf-token", params={"client": me})
    if found.status_code in (404, 422):
        return {}
    return {"Prefect-Csrf-Token": found.raise_for_status().json()["token"], "Prefect-Csrf-Client": me}
