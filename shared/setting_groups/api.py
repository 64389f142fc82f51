"""Settings of the API: where it listens, what it accepts, and the limits of its clients."""

from __future__ import annotations

import re

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings


class ApiSettings(BaseSettings):
    """What the API accepts, and from whom."""

    api_host: str = Field(
        "127.0.0.1",
        description="Address on which the API listens; if it is not a loopback address, calls need API keys",
    )
    api_port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on")
    api_allowed_hosts: str = Field(
        "",
        description="More host names that requests may use in their Host header, comma separated, such as the name of "
        "a proxy or a tunnel; loopback names are always allowed. If no name is set and the API is not on loopback, any "
        "name is allowed",
    )
    api_published_address: str | None = Field(
        None,
        description="Address on the host at which the container's port is published, if it is not API_HOST. If it is a "
        "loopback address, the API counts as being on loopback",
    )
    public_name: str | None = Field(
        None,
        description="Host name under which a proxy publishes the API. If it is set, requests may use this name, and "
        "every call needs an API key",
    )
    api_public_path: str = Field(
        "",
        description="Path below which a proxy publishes the API, such as `/stems`; links in responses begin with it. "
        "The proxy may remove this path from the requests that it forwards, or leave it",
    )
    api_keys_required: bool | None = Field(
        None,
        description="Whether every call needs an API key; empty: only if other machines can reach the API",
    )
    api_cors_origins: str = Field(
        "", description="Origins whose pages may call the API, comma separated, such as `https://music.example`"
    )
    api_processes: int = Field(
        2, ge=1, description="Number of API processes; more processes answer more requests at once"
    )
    api_threads: int = Field(
        256,
        ge=1,
        description="Maximum number of threads of each API process, started when they are needed. Each open upload, "
        "download, wait or event stream holds one",
    )
    max_open_calls: int | None = Field(
        None,
        ge=1,
        description="Maximum number of uploads, downloads, waits and event streams that each API process has open at "
        "once; further ones get 503 `server_busy`. Empty: three quarters of API_THREADS; the rest is for short calls",
    )
    max_open_calls_per_owner: int | None = Field(
        None,
        ge=1,
        description="Maximum number of uploads, downloads, waits and event streams that one owner has open in each API "
        "process; further ones get 429 `too_many_open_calls`. Empty: half of API_THREADS",
    )
    min_client_bytes_per_second: float = Field(
        1000.0,
        gt=0,
        description="Lowest average rate, in bytes per second, at which a client may send a request or read a "
        "response. A slower client is disconnected when it is 30 s behind",
    )
    max_upload_bytes: int = Field(2_000_000_000, gt=0, description="Size of the largest accepted upload, in bytes")
    s3_source_buckets: str = Field(
        "",
        description="Buckets of the storage whose objects jobs may separate, comma separated. Everybody who may submit "
        "jobs can then read any object in them. S3_BUCKET is not allowed here",
    )
    export_buckets: str = Field(
        "",
        description="Buckets of the storage to which batches may copy their stems, comma separated. The storage key "
        "must have write access to them. S3_BUCKET is not allowed here",
    )
    url_sources: bool = Field(False, description="Whether jobs may name a URL, which the API then downloads")
    url_source_seconds: float = Field(120.0, gt=0, description="Time limit for the whole download of a URL, in seconds")
    outgoing_to_loopback: bool = Field(
        False, description="Whether URLs and webhooks may point to this machine itself; for tests only"
    )
    webhook_secrets: str = Field(
        "",
        description="Secret that signs webhooks: `whsec_` followed by the base64 of 24 to 64 random bytes. To replace "
        "it, give the new and then the old one for a while, comma separated. Empty: no webhooks are sent",
        repr=False,
    )
    webhook_retry_seconds: str = Field(
        "5,60,300,1800,7200,18000,36000",
        description="Pauses in seconds between attempts to deliver a webhook, comma separated. If the attempt after "
        "the last pause fails too, the message is given up",
    )
    max_queued_jobs: int = Field(
        200_000, gt=0, description="Maximum number of queued jobs; further jobs get 503 `queue_full`"
    )
    max_requests_per_minute: int = Field(
        1200, ge=0, description="Maximum number of requests per minute with one API key; 0: no limit"
    )
    # Half of MAX_QUEUED_JOBS, so that no single owner keeps all others out. Items of batches hardly count: only a few
    # for each slot are in the queue, and the others wait in their batch.
    max_queued_jobs_per_owner: int = Field(
        100_000, ge=0, description="Maximum number of queued jobs of one owner; 0: no limit"
    )
    # As estimated by tests/bench/batches/record_bytes.py, 200,000 songs that are uploaded for batches take some 160 MB;
    # three quarters of the usual 512 MB are 384 MB. A tenth is kept for accepted jobs, so 15 % remain for other owners.
    max_redis_share_per_owner: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of Redis's `maxmemory`, from 0 to 1, that the records of one owner may use: jobs, batches, "
        "uploads and Idempotency-Keys; 0: no limit",
    )
    # S3 does not tell how large a storage is. `make run` and deploy/make-env.sh see the disk, and set four fifths of
    # its free space: an owner who is alone reaches that only when the disk is almost full, and others can still upload.
    max_stored_bytes_per_owner: int = Field(
        0,
        ge=0,
        description="Maximum number of bytes that the uploads, outputs and batches' items of one owner may use, "
        "checked before each upload, job and batch; 0: no limit. If it is not set, `make run` uses four fifths of the "
        "disk's free space",
    )
    # No limit by default: owners take turns, so that no owner's audio keeps the others waiting.
    max_audio_seconds_per_day: float = Field(
        0.0,
        ge=0,
        description="Maximum number of seconds of audio that are separated for one owner per day (UTC), checked before "
        "each job; 0: no limit",
    )
    retention_days: float = Field(
        7.0, gt=0, description="Number of days after which an ended job or batch is deleted with its stems"
    )
    default_engine: str | None = Field(
        None,
        description="Engine of jobs that do not name one; empty: unet if a live worker has it, otherwise repetition",
    )

    @field_validator("api_public_path")
    @classmethod
    def _read_public_path(cls, path: str) -> str:
        root = "/" + path.strip("/") if path.strip("/") else ""
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", root) or root.split("/")[1:2] == ["v1"]:
            raise ValueError("it must be a path such as /stems, of letters, digits and . _ ~ -, and not /v1")
        return root
