"""Every setting, and the only reader of the environment.

Settings are frozen: they are read once at a process's start and passed on. Each has a description that says
what raising or lowering it does; `.env.example` and the README are held against this list by a test.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.redis_address import RedisAddress


class Settings(BaseSettings):
    """What an operator can set; the environment's names are the fields' names in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    # Redis
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Redis or Valkey: `redis://user:password@host:6379/0`; `rediss://…` with TLS; "
        "`sentinel://user:password@one:26379;sentinel://two:26379/0` or `sentinels://…` through Sentinels",
        repr=False,
    )
    redis_ca_file: Path | None = Field(
        None, description="Certificates that Redis's own must come from (PEM); empty: those that the system trusts"
    )
    redis_sentinel_master: str = Field("mymaster", description="What Sentinels call the master")
    redis_sentinel_username: str | None = Field(None, description="User at the Sentinels, where they have users")
    redis_sentinel_password: str | None = Field(
        None, description="Password of the Sentinels themselves, where they have one", repr=False
    )
    redis_prefix: str = Field("sq:", description="Begins every key, so that several deployments can share a Redis")
    redis_timeout_seconds: float = Field(1.0, gt=0, description="How long one call may take before it counts as failed")

    # Storage
    s3_endpoint_url: str | None = Field(None, description="S3-compatible endpoint; empty means Amazon's own")
    s3_public_endpoint_url: str | None = Field(
        None, description="Where clients reach it; set, stems are answered by signed links"
    )
    s3_region: str = Field("us-east-1", description="Region that requests are signed for")
    s3_bucket: str = Field("stems", description="Bucket for uploads and outputs")
    s3_access_key_id: str | None = Field(None, description="Access key; empty means boto3's own search")
    s3_secret_access_key: str | None = Field(None, description="Secret key", repr=False)
    s3_timeout_seconds: float = Field(10.0, gt=0, description="Longest silence on a storage connection")

    # API
    api_host: str = Field("127.0.0.1", description="Address the API listens on; others than loopback want API keys")
    api_port: int = Field(8000, ge=1, le=65535, description="Port the API listens on")
    api_allowed_hosts: str = Field(
        "",
        description="Names beside the loopback ones that requests may call the API by, comma separated; "
        "a proxy's or a tunnel's, for example",
    )
    api_published_address: str | None = Field(
        None,
        description="Where a container's port is published, if not at API_HOST; loopback there counts as loopback",
    )
    public_name: str | None = Field(
        None,
        description="Host name by which a proxy in front publishes the API; set, requests may call the API by it, and "
        "every call needs an API key",
    )
    api_keys_required: bool | None = Field(
        None, description="Whether every call needs an API key; empty: unless the API is reached on loopback only"
    )
    api_cors_origins: str = Field(
        "", description="Origins whose pages may call the API, comma separated, as in `https://music.example`"
    )
    api_processes: int = Field(2, ge=1, description="Processes of the API; more serve more polls at once")
    api_threads: int = Field(
        256,
        ge=1,
        description="Threads of each API process, started as they are needed; each upload, wait or event stream "
        "holds one",
    )
    max_open_calls: int | None = Field(
        None,
        ge=1,
        description="Uploads, downloads, waits and event streams that each API process has open at once; past it 503 "
        "`server_busy`. Empty: three quarters of API_THREADS, so that short calls keep the rest",
    )
    max_open_calls_per_owner: int | None = Field(
        None,
        ge=1,
        description="How many of them one owner may have; past it 429 `too_many_open_calls`. Empty: half of "
        "API_THREADS",
    )
    min_client_bytes_per_second: float = Field(
        1000.0,
        gt=0,
        description="Least average rate at which clients must send a body and read an answer; slower ones are ended "
        "after 30 s",
    )
    max_upload_bytes: int = Field(2_000_000_000, gt=0, description="Largest upload taken")
    s3_source_buckets: str = Field(
        "",
        description="Buckets of the storage that jobs may name their mixtures in, comma separated; anybody who may "
        "submit can have any object there separated, so that S3_BUCKET may not be one",
    )
    export_buckets: str = Field(
        "",
        description="Buckets of the storage that batches may have their stems copied to, comma separated; the storage "
        "keys then need to write there. S3_BUCKET may not be one",
    )
    url_sources: bool = Field(False, description="Whether jobs may name a URL, which the API then fetches")
    url_source_seconds: float = Field(120.0, gt=0, description="How long the fetch of a URL may take in all")
    outgoing_to_loopback: bool = Field(
        False, description="Whether URLs and webhooks may lead to this machine itself; for tests"
    )
    webhook_secrets: str = Field(
        "",
        description="What webhooks are signed with: `whsec_` and the base64 of 24 to 64 random bytes; two, comma "
        "separated, while one replaces the other. Empty: none are sent",
        repr=False,
    )
    webhook_retry_seconds: str = Field(
        "5,60,300,1800,7200,18000,36000",
        description="Pauses between the tries to deliver a webhook, comma separated; it is given up after the last",
    )
    max_queued_jobs: int = Field(200_000, gt=0, description="Jobs that may wait; past it 503 `queue_full`")
    max_requests_per_minute: int = Field(1200, ge=0, description="Requests of one API key a minute; 0: no limit")
    # Half of what may wait at all, so that no single owner keeps all others out. Items of batches hardly count: a few
    # for each slot are in line, and the others wait in their batch.
    max_queued_jobs_per_owner: int = Field(100_000, ge=0, description="Jobs of one owner that may wait; 0: no limit")
    # As reckoned (tests/bench/record_bytes.py), 200,000 songs that are uploaded for batches take some 160 MB, of
    # the 384 MB that this is of the usual 512. A tenth is kept for what was accepted: 15 % stay for other owners.
    max_redis_share_per_owner: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of Redis's `maxmemory` that one owner's records may take: of jobs, batches, uploads and "
        "Idempotency-Keys; 0: no limit",
    )
    # S3 does not tell how large a storage is. `make run` and deploy/make-env.sh see the disk, and set four fifths of
    # its room: who has the server alone needs more only when the disk is as good as full, and others can still upload.
    max_stored_bytes_per_owner: int = Field(
        0,
        ge=0,
        description="Room for one owner's uploads and stems, looked at before each upload and job; 0: no limit. Unset, "
        "`make run` takes four fifths of its disk's room",
    )
    # None by default: owners take turns, so that nobody's audio keeps others waiting.
    max_audio_seconds_per_day: float = Field(
        0.0, ge=0, description="Audio separated for one owner a day (UTC), looked at before each job; 0: no limit"
    )
    retention_days: float = Field(7.0, gt=0, description="Days from a job's end until it and its stems are removed")
    default_engine: str | None = Field(
        None,
        description="Engine when a job names none; empty: unet where a live worker has it, else repetition",
    )

    # Worker
    worker_slots: int = Field(1, ge=1, description="Jobs that one worker runs at once")
    interactive_slots: int = Field(
        0,
        ge=0,
        description="Slots of a worker that bulk jobs may not take; as many as it has: it does interactive jobs alone",
    )
    threads_per_job: int | None = Field(None, ge=1, description="Threads of one job; empty: cores divided by slots")
    worker_engines: str = Field(
        "", description="Engines this worker takes, comma separated; empty: all that it can run"
    )
    extra_engines: str = Field(
        "",
        description="Modules with engines of your own, comma separated (`package.module` with DESCRIPTION and create)",
    )
    scratch_folder: Path = Field(
        Path("var/scratch"),
        description="Where a job's working files lie; wants max_scratch_bytes for each slot. Not set, it is `scratch` "
        "in STATE_FOLDER. Workers of one deployment may share it",
    )
    model_folder: Path = Field(
        Path("var/models"),
        description="Where set-up puts the networks built for this machine; not set, it is `models` in STATE_FOLDER",
    )
    unet_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Numbers in which `unet` computes, chosen at set-up: `float32` runs everywhere; `bfloat16` wants a "
        "processor with instructions for it (AVX512_BF16) and is twice as fast; auto: what is fastest on the machine",
    )
    ffmpeg_path: str | None = Field(
        None, description="ffmpeg to decode with; reads system folders and its own; empty: the one that comes along"
    )
    require_sandbox: bool = Field(
        False,
        description="Whether a worker refuses to start where the kernel has no Landlock (Linux 5.13) or no seccomp "
        "filters; else it starts, and warns of what is open",
    )
    max_audio_seconds: float = Field(4 * 3600, gt=0, description="Longest track taken, by its decoded duration")
    max_scratch_bytes: int = Field(13_000_000_000, gt=0, description="Scratch disk that one job may use")
    max_child_bytes: int = Field(
        3_000_000_000, gt=0, description="Memory of a job's child; past it the job ends as out_of_memory"
    )
    child_jobs: int = Field(200, ge=1, description="Jobs after which a warm child is replaced")
    child_idle_bytes: int = Field(900_000_000, gt=0, description="Memory between jobs at which a child is replaced")
    job_seconds_base: float = Field(300.0, gt=0, description="Time limit of a job before its audio's duration is added")
    job_seconds_per_audio_second: float = Field(5.0, gt=0, description="Time limit added for each second of audio")

    # Life cycle
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a claim holds without a heartbeat; lower rescues sooner",
    )
    heartbeat_seconds: float = Field(
        1.0, gt=0, description="How often a running job renews its lease, tells its progress and hears of a cancel"
    )
    rescue_seconds: float = Field(15.0, gt=0, description="How often lost jobs are looked for")
    unclaimed_seconds: float = Field(
        30.0, gt=0, description="How long a published job may go unclaimed before it is published again"
    )
    worker_alive_seconds: float = Field(30.0, gt=0, description="Silence after which a worker's slots no longer count")
    max_losses: int = Field(3, ge=1, description="Lost workers that a job survives before it ends as worker_lost")
    max_retries: int = Field(
        3,
        ge=0,
        description="Retries after passing errors, such as a full scratch disk; outages of storage or Redis cost none",
    )
    retry_base_seconds: float = Field(
        5.0,
        gt=0,
        description="Pause before the first retry, or before an object that the storage did not serve is tried again; "
        "doubles each time, with jitter",
    )
    collect_seconds: float = Field(300.0, gt=0, description="How often garbage in storage is looked for")
    upload_abandoned_seconds: float = Field(
        86_400.0, gt=0, description="Age at which an upload without a job is removed"
    )

    # Embedded servers of `make run`
    state_folder: Path = Field(
        Path("var"), description="Where `make run` keeps credentials, logs and the embedded servers' files"
    )
    valkey_port: int = Field(6479, ge=1, le=65535, description="Port of the embedded Valkey")
    storage_port: int = Field(
        8333,
        ge=1,
        le=55_531,
        description="Port of the embedded storage's S3 interface; it takes the next four as well, and all five + 10000",
    )

    # Logs
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["json", "text"] = Field("json", description="`json`, or `text` to be read by people")

    @field_validator("redis_url")
    @classmethod
    def _read_redis_url(cls, url: str) -> str:
        # At the start, and not at the first call.
        RedisAddress.parse(url)
        return url

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
