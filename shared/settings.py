"""All settings of one process, read from the environment once when it starts.

The folder setting_groups/ lists the settings of Redis, storage, API and workers; this module adds the rest. No other
module reads settings from the environment. Each setting has a description; tests compare `.env.example` and
docs/settings.md with them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from shared.setting_groups.api import ApiSettings
from shared.setting_groups.connections import RedisSettings, StorageSettings
from shared.setting_groups.telemetry import TelemetrySettings
from shared.setting_groups.worker import LifeCycleSettings, WorkerSettings


# pydantic lists the fields of the last base class first.
class Settings(TelemetrySettings, LifeCycleSettings, WorkerSettings, ApiSettings, StorageSettings, RedisSettings):
    """What an operator can set. The environment variables are the names of the fields in capitals. Frozen."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    # Servers that `make run` starts
    state_folder: Path = Field(
        Path("var"), description="Folder in which `make run` keeps credentials, logs and the files of its servers"
    )
    valkey_port: int = Field(6479, ge=1, le=65535, description="Port of the Valkey that `make run` starts")
    storage_port: int = Field(
        8333,
        ge=1,
        le=55_531,
        description="Port of the S3 interface of the storage that `make run` starts; it also takes the next four "
        "ports, and all five + 10000",
    )

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="Lowest level that is logged: DEBUG, INFO, WARNING or ERROR"
    )
    log_format: Literal["json", "text"] = Field("json", description="Format of log lines: `json`, or `text` for people")

    @property
    def retention_ms(self) -> int:
        """RETENTION_DAYS in milliseconds, as the Lua scripts take it."""
        return int(self.retention_days * 86_400_000)

    @property
    def lease_ms(self) -> int:
        """LEASE_SECONDS in milliseconds."""
        return int(self.lease_seconds * 1000)

    @property
    def worker_alive_ms(self) -> int:
        """WORKER_ALIVE_SECONDS in milliseconds."""
        return int(self.worker_alive_seconds * 1000)

    @field_validator("s3_source_buckets", "export_buckets")
    @classmethod
    def _refuse_our_own_bucket(cls, names: str, others: ValidationInfo) -> str:
        if others.data.get("s3_bucket") in split_names(names):
            raise ValueError("it names S3_BUCKET, where everybody's songs and stems would be open to anybody")
        return names

    @model_validator(mode="before")
    @classmethod
    def _follow_state_folder(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not values.get("state_folder"):
            return values
        state = Path(values["state_folder"])
        return {"scratch_folder": state / "scratch", "model_folder": state / "models", **values}

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_capitals(cls, level: object) -> object:
        return level.upper() if isinstance(level, str) else level


def read_settings(program: str) -> Settings:
    """Return what the environment sets, or end the program with a line for each setting that is wrong."""
    try:
        return Settings()
    except ValidationError as error:
        wrong = [(".".join(map(str, e["loc"])).upper(), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
        sys.exit("\n".join(f"{program}: {name}: {message}" for name, message in wrong))


def split_names(setting: str) -> tuple[str, ...]:
    """Return the names in a comma separated setting."""
    return tuple(name.strip() for name in setting.split(",") if name.strip())
