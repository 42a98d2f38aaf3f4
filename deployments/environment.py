"""The environment of the Prefect processes: closed where Prefect's own default is open. Pure; nothing is read here.

Prefect without these settings asks nobody for a password, answers any origin, and looks up a foreign host at start
(tried with 3.8.8). What the caller's environment says about Prefect is dropped, but for logging and the server's services.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from forecasting.errors import SettingError
from tasks.loopback import directly, is_loopback

if TYPE_CHECKING:
    from tasks.settings_serving import Serve

KEPT = ("PREFECT_LOGGING_", "PREFECT_SERVER_SERVICES_", "PREFECT_RUNNER_")
OWN_LOGGERS = "forecasting,sources,storage,tasks,flows"
HEARTBEAT_SECONDS = 30
DAY = 24 * 3600


@dataclass(frozen=True)
class Address:
    """Where the server listens, and how it is called."""

    host: str
    port: int
    url: str
    names: tuple[str, ...] = ()

    @property
    def api(self) -> str:
        """For processes of this machine."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::", "") else self.host
        return f"http://{_bracketed(host)}:{self.port}/api"

    @property
    def origins(self) -> tuple[str, ...]:
        """The origins of which a browser may speak to it."""
        local = ("127.0.0.1", "localhost") if is_loopback(self.host) else ()
        return tuple(dict.fromkeys([self.url, *(f"http://{name}:{self.port}" for name in local)]))

    @property
    def hosts(self) -> tuple[str, ...]:
        """What the Host line of a request may say."""
        named = [urlsplit(origin).netloc for origin in self.origins] + [urlsplit(self.api).netloc]
        more = [name if ":" in name else f"{name}:{self.port}" for name in self.names]
        return tuple(dict.fromkeys(name.lower() for name in (*named, *more)))


def address_of(serve: Serve, chosen_password: bool) -> Address:
    """Where to listen; SettingError where that is not this machine alone and nobody chose a password or said the address
    that browsers use."""
    if not is_loopback(serve.host):
        if not chosen_password:
            raise SettingError(
                "serve.host", serve.host, "127.0.0.1, or a password of your own in NEXTCLOSE_PASSWORD for others to log in with"
            )
        if serve.url is None:
            raise SettingError(
                "serve.host", serve.host, "127.0.0.1, or the address that browsers use in serve.url, such as https://HOST"
            )
    return Address(serve.host, serve.port, serve.url or f"http://{_bracketed(serve.host)}:{serve.port}", serve.names)


def server_environment(base: Mapping[str, str], home: Path, serve: Serve, address: Address, login: str) -> dict[str, str]:
    """For the process that answers: a password, CSRF tokens, allowed origins, no analytics, bounded records."""
    folder = home / "prefect"
    database = f"sqlite+aiosqlite:///{folder / 'prefect.db'}" if serve.database is None else serve.database.get_secret_value()
    return _base(base, address) | {
        "PREFECT_HOME": str(folder),
        "PREFECT_SERVER_API_HOST": address.host,
        "PREFECT_SERVER_API_PORT": str(address.port),
        "PREFECT_SERVER_API_AUTH_STRING": login,
        "PREFECT_SERVER_API_CSRF_PROTECTION_ENABLED": "true",
        "PREFECT_SERVER_API_CORS_ALLOWED_ORIGINS": ",".join(address.origins),
        "PREFECT_SERVER_UI_API_URL": f"{address.url}/api",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": database,
        # Who has a deployment's one place is kept in memory by default: a server that is started again then ends the runs that
        # ask to keep theirs, and the place of one whose machine went down with it is never free again.
        "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": "P7D",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": str(serve.keep_days * DAY),
        "PREFECT_API_AUTH_STRING": login,  # for the services inside the server that ask its own API
    }


def flows_environment(base: Mapping[str, str], home: Path, serve: Serve, address: Address, login: str) -> dict[str, str]:
    """For the process that runs flows, and for those that it starts. The home of the data is said, whatever the folder."""
    return _base(base, address) | {
        "NEXTCLOSE_HOME": str(home),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": address.api,
        "PREFECT_API_AUTH_STRING": login,
        "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "true",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_SECONDS),
        "PREFECT_RUNNER_POLL_FREQUENCY": f"{serve.poll_seconds:.0f}",
        "PREFECT_LOGGING_EXTRA_LOGGERS": OWN_LOGGERS,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }


def _base(base: Mapping[str, str], address: Address) -> dict[str, str]:
    """``base`` without what it says about Prefect, without the password under the name that only the supervisor reads, and with
    the server's own host beside those that are reached without a proxy."""
    return _without_prefect(base) | directly(base, urlsplit(address.api).hostname)


def _without_prefect(base: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in base.items() if k != "NEXTCLOSE_PASSWORD" and (not k.startswith("PREFECT_") or k.startswith(KEPT))}


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
