"""The settings of the web app, apart from the others so that reading them loads nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, field_validator

from forecasting.errors import SettingError
from tasks.settings_values import listed, read_values


class WebSettings(BaseModel):
    """``[web]`` in the settings file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field("127.0.0.1", description="address that `nextclose web` listens on")
    port: int = Field(8070, ge=0, le=65535, description="and the port; 0: any free one")
    hosts: Annotated[tuple[str, ...], BeforeValidator(listed)] = Field(
        (),
        max_length=20,
        description="names under which it may be asked, beside localhost; needed to listen beyond this machine",
    )
    token: SecretStr | None = Field(
        None, description="whoever knows it may start runs (POST /api/v1/runs); empty: nobody can. Best in the environment"
    )
    prefect_api: str = Field(
        "http://127.0.0.1:4200/api",
        pattern=r"^https?://[^\s/]+(/[^\s]*)?$",
        description="Prefect's API, for starting and looking up runs",
    )
    deployment: str = Field(
        "daily/daily", pattern=r"^[\w .-]+/[\w .-]+$", description="flow/deployment that a started run is a run of"
    )
    explain: bool = Field(
        True, description="whether a page may ask the network what each feature added (seconds of a child process)"
    )
    memory_mb: int = Field(512, ge=128, le=64 * 1024, description="memory that its DuckDB may take, MiB")
    cache_mb: int = Field(64, ge=1, le=8192, description="memory for finished answers, MiB")
    seconds: float = Field(10.0, gt=0, le=300, description="the longest that one question to the snapshot may take")

    @field_validator("token")
    @classmethod
    def _long_enough(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not 16 <= len(value.get_secret_value()) <= 500:
            raise ValueError("16 to 500 characters that nobody guesses, such as `openssl rand -hex 24` prints")
        return value


def read_web_settings(file: Path, environment: Mapping[str, str]) -> WebSettings:
    """The section ``[web]`` of ``file`` with the environment above it; SettingError for what is wrong with it."""
    given = read_values(file, environment).get("web", {})
    try:
        return WebSettings.model_validate(given)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]  # never the input: it may be the token
        name = ".".join(["web", *(str(part) for part in first["loc"])])
        raise SettingError(name, "not usable", first["msg"].removeprefix("Value error, ")) from None
