"""Settings of the connections to Redis and to the storage."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings

from shared.redis_address import RedisAddress


class RedisSettings(BaseSettings):
    """How to reach Redis."""

    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Address of Redis or Valkey: `redis://user:password@host:6379/0`; `rediss://…` with TLS; "
        "`sentinel://user:password@one:26379;sentinel://two:26379/0` or `sentinels://…` through Sentinels",
        repr=False,
    )
    redis_ca_file: Path | None = Field(
        None,
        description="PEM file with the certificate authorities that are trusted to sign Redis's certificate; empty: "
        "the authorities that the system trusts",
    )
    redis_sentinel_master: str = Field("mymaster", description="Name of the master in the Sentinels' configuration")
    redis_sentinel_username: str | None = Field(
        None, description="User name for the Sentinels themselves, if they require one"
    )
    redis_sentinel_password: str | None = Field(
        None, description="Password for the Sentinels themselves, if they require one", repr=False
    )
    redis_prefix: str = Field(
        "sq:", description="Prefix of every key in Redis, so that several deployments can share one Redis"
    )
    redis_timeout_seconds: float = Field(1.0, gt=0, description="Time limit for one call to Redis, in seconds")

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, url: str) -> str:
        # A wrong URL is reported at the start, and not at the first call.
        RedisAddress.parse(url)
        return url


class StorageSettings(BaseSettings):
    """How to reach the S3-compatible storage."""

    s3_endpoint_url: str | None = Field(None, description="URL of the S3-compatible storage; empty: Amazon S3")
    s3_public_endpoint_url: str | None = Field(
        None,
        description="URL at which clients can reach the storage; if set, clients download from it with signed links",
    )
    s3_region: str = Field("us-east-1", description="Region for which requests to the storage are signed")
    s3_bucket: str = Field("stems", description="Bucket for uploads and outputs")
    s3_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="Where URLs have the bucket: `path` (`https://host/bucket/key`) or `virtual` "
        "(`https://bucket.host/key`); `auto`: `path` if S3_ENDPOINT_URL is set, otherwise as Amazon S3 requires",
    )
    s3_access_key_id: str | None = Field(None, description="Access key; empty: boto3 looks in its usual places")
    s3_secret_access_key: str | None = Field(None, description="Secret key", repr=False)
    s3_timeout_seconds: float = Field(
        10.0, gt=0, description="Time without data after which a call to the storage fails, in seconds"
    )
