"""Settings of the server that shows and schedules, and of who is told when something is wrong. None decides a forecast."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, field_validator

from tasks.settings_values import listed

#: Settings whose values are never shown, also not in the sentence about what is wrong with them.
SECRETS = frozenset({"database", "webhook", "smtp_password", "token"})
_ADDRESS = re.compile(r"[^@\s,;<>\"']+@[^@\s,;<>\"']+")


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Serve(_Section):
    host: str = Field("127.0.0.1", max_length=255, description="address that the Prefect server listens on")
    port: int = Field(4200, ge=1024, le=65535, description="port that the Prefect server listens on")
    url: str | None = Field(
        None, description="address under which browsers reach it, for example behind a proxy; empty: http://HOST:PORT"
    )
    names: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (), max_length=20, description="further host names under which workers reach it"
    )
    web: str | None = Field(None, description="address of the web app, for links in the Prefect UI; empty: no links")
    database: SecretStr | None = Field(
        None, description="where Prefect keeps its own records; empty: SQLite in the home, else postgresql+asyncpg://..."
    )
    parallel: int = Field(3, ge=1, le=32, description="flow runs side by side; only one at a time may write")
    poll_seconds: float = Field(5.0, ge=1, le=60, description="how often is asked for runs that are due")
    keep_days: int = Field(90, ge=1, le=3650, description="how long Prefect's records of runs are kept")
    backups: int = Field(7, ge=1, le=1000, description="nightly backups kept")
    landing_days: int = Field(
        400, ge=0, le=36_500, description="how long what the sources sent is kept as it came; 0: for ever"
    )

    @field_validator("url", "web")
    @classmethod
    def _an_address(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/") or parts.username:
            raise ValueError("an address such as https://prefect.example.org, without a path")
        return value.rstrip("/")

    @field_validator("database")
    @classmethod
    def _a_database(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("postgresql+asyncpg://", "sqlite+aiosqlite://")):
            raise ValueError("an address such as postgresql+asyncpg://user:password@host/database")
        return value


class Notify(_Section):
    webhook: SecretStr | None = Field(None, description="address that gets a JSON message (subject, text) by POST")
    email: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field((), max_length=20, description="who gets a mail")
    smtp: str = Field("localhost:25", pattern=r"^[\w.\-]+:\d{1,5}$", description="mail server, host:port")
    smtp_security: str = Field("none", pattern="^(none|starttls|tls)$", description="none, starttls or tls")
    smtp_user: str | None = Field(None, description="user of the mail server; empty: none")
    smtp_password: SecretStr | None = Field(None, description="its password, better from the environment")
    sender: str | None = Field(None, description="who the mail is from; empty: the first who gets one")
    hours: float = Field(26.0, ge=1, le=1000, description="a message where no daily run found everything done for so long")

    @field_validator("webhook")
    @classmethod
    def _an_address(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            parts = urlsplit(value.get_secret_value())
            if parts.scheme not in ("http", "https") or not parts.hostname:
                raise ValueError("an address such as https://hooks.example.org/...")
        return value

    @field_validator("email")
    @classmethod
    def _mail_addresses(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for address in value:
            if not _ADDRESS.fullmatch(address):
                raise ValueError("mail addresses such as desk@example.org")
        return value
