"""Every setting, and the only reader of the environment.

Settings are frozen: they are read once when a process starts, and passed on. Each has a description that says
what it does; tests compare `.env.example` and docs/settings.md with this list.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from shared.redis_address import RedisAddress


class Settings(BaseSettings):
    """What an operator can set. The environment variables are the names of the fields in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True, hide_input_in_errors=True)

    # Redis
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        description="Address of Redis or Valkey: `redis://user:password@host:6379/0`; `rediss://…` with TLS; "
        "`sentinel://user:password@one:26379;sentinel://two:26379/0` or `sentinels://…` through Sentinels",
        repr=False,
    )
    redis_ca_file: Path | None = Field(
        None,
        description="File with the certificates (PEM) that must have signed Redis's certificate; empty: the "
        "authorities that the system trusts",
    )
    redis_sentinel_master: str = Field("mymaster", description="Name of the master, as the Sentinels know it")
    redis_sentinel_username: str | None = Field(None, description="User at the Sentinels, if they have users")
    redis_sentinel_password: str | None = Field(
        None, description="Password of the Sentinels themselves, if they have one", repr=False
    )
    redis_prefix: str = Field("sq:", description="Prefix of every key, so that several deployments can share a Redis")
    redis_timeout_seconds: float = Field(
        1.0, gt=0, description="How long one call to Redis may take before it counts as failed"
    )

    # Storage
    s3_endpoint_url: str | None = Field(None, description="URL of the S3-compatible storage; empty: Amazon S3")
    s3_public_endpoint_url: str | None = Field(
        None, description="URL by which clients reach the storage; if set, stems are answered by signed links to it"
    )
    s3_region: str = Field("us-east-1", description="Region that requests to the storage are signed for")
    s3_bucket: str = Field("stems", description="Bucket for uploads and outputs")
    s3_addressing_style: Literal["auto", "path", "virtual"] = Field(
        "auto",
        description="How URLs name the bucket: `path` (`https://host/bucket/key`) or `virtual` "
        "(`https://bucket.host/key`); `auto`: `path` if S3_ENDPOINT_URL is set, otherwise as Amazon S3 wants it",
    )
    s3_access_key_id: str | None = Field(None, description="Access key; empty: boto3 searches in its usual places")
    s3_secret_access_key: str | None = Field(None, description="Secret key", repr=False)
    s3_timeout_seconds: float = Field(
        10.0, gt=0, description="Longest silence on a connection to the storage before it counts as failed"
    )

    # API
    api_host: str = Field(
        "127.0.0.1", description="Address that the API listens on; on any other than loopback, calls need API keys"
    )
    api_port: int = Field(8000, ge=1, le=65535, description="Port that the API listens on")
    api_allowed_hosts: str = Field(
        "",
        description="Further host names by which requests may call the API, comma separated, such as that of a proxy "
        "or a tunnel; loopback names are always allowed. If no name is set and the API is not on loopback, any name is "
        "allowed",
    )
    api_published_address: str | None = Field(
        None,
        description="Address at which a container's port is published, if it is not API_HOST; a loopback address here "
        "counts as loopback",
    )
    public_name: str | None = Field(
        None,
        description="Host name by which a proxy in front publishes the API; if set, requests may call the API by it, "
        "and every call needs an API key",
    )
    api_public_path: str = Field(
        "",
        description="Path below which a proxy publishes the API, such as `/stems`; links in answers begin with it. The "
        "proxy may remove it from the paths that it passes on, or leave it there",
    )
    api_keys_required: bool | None = Field(
        None,
        description="Whether every call needs an API key; empty: only if the API can be reached from other machines",
    )
    api_cors_origins: str = Field(
        "", description="Origins whose pages may call the API, comma separated, such as `https://music.example`"
    )
    api_processes: int = Field(2, ge=1, description="Number of API processes; more serve more polls at the same time")
    api_threads: int = Field(
        256,
        ge=1,
        description="Most threads of each API process, started as they are needed; each upload, wait or event stream "
        "holds one",
    )
    max_open_calls: int | None = Field(
        None,
        ge=1,
        description="Most uploads, downloads, waits and event streams that each API process has open at once; beyond "
        "it 503 `server_busy`. Empty: three quarters of API_THREADS, so that short calls keep the rest",
    )
    max_open_calls_per_owner: int | None = Field(
        None,
        ge=1,
        description="How many of these calls one owner may have open in each process; beyond it 429 "
        "`too_many_open_calls`. Empty: half of API_THREADS",
    )
    min_client_bytes_per_second: float = Field(
        1000.0,
        gt=0,
        description="Lowest average rate at which a client must send a body or read an answer; a slower one is cut off "
        "once it is 30 s behind",
    )
    max_upload_bytes: int = Field(2_000_000_000, gt=0, description="Largest accepted upload")
    s3_source_buckets: str = Field(
        "",
        description="Buckets of the storage in which jobs may name their mixtures, comma separated. Whoever may submit "
        "jobs can have any object there separated; S3_BUCKET is refused here",
    )
    export_buckets: str = Field(
        "",
        description="Buckets of the storage to which batches may copy their stems, comma separated; the storage key "
        "must be able to write there. S3_BUCKET is refused here",
    )
    url_sources: bool = Field(False, description="Whether jobs may name a URL, which the API then downloads")
    url_source_seconds: float = Field(120.0, gt=0, description="How long the download of a URL may take in all")
    outgoing_to_loopback: bool = Field(
        False, description="Whether URLs and webhooks may lead to this machine itself; for tests only"
    )
    webhook_secrets: str = Field(
        "",
        description="Secrets that sign webhooks: `whsec_` and the base64 of 24 to 64 random bytes; two, comma "
        "separated, while one replaces the other. Empty: no webhooks are sent",
        repr=False,
    )
    webhook_retry_seconds: str = Field(
        "5,60,300,1800,7200,18000,36000",
        description="Pauses between attempts to deliver a webhook, comma separated; after the last one it is given up",
    )
    max_queued_jobs: int = Field(200_000, gt=0, description="Most jobs in the queue; beyond it 503 `queue_full`")
    max_requests_per_minute: int = Field(1200, ge=0, description="Requests per minute of one API key; 0: no limit")
    # Half of MAX_QUEUED_JOBS, so that no single owner keeps all others out. Items of batches hardly count: only a few
    # for each slot are in the queue, and the others wait in their batch.
    max_queued_jobs_per_owner: int = Field(100_000, ge=0, description="Most queued jobs of one owner; 0: no limit")
    # As estimated by tests/bench/record_bytes.py, 200,000 songs that are uploaded for batches take some 160 MB; three
    # quarters of the usual 512 MB are 384 MB. A tenth is kept for accepted jobs, so 15 % remain for other owners.
    max_redis_share_per_owner: float = Field(
        0.75,
        ge=0,
        le=1,
        description="Share of Redis's `maxmemory` that the records of one owner may take: jobs, batches, uploads and "
        "Idempotency-Keys; 0: no limit",
    )
    # S3 does not tell how large a storage is. `make run` and deploy/make-env.sh see the disk, and set four fifths of
    # its free space: an owner who is alone reaches that only when the disk is almost full, and others can still upload.
    max_stored_bytes_per_owner: int = Field(
        0,
        ge=0,
        description="Most bytes of uploads and stems of one owner, checked before each upload and each job; 0: no "
        "limit. If it is not set, `make run` takes four fifths of its disk's free space",
    )
    # No limit by default: owners take turns, so that no owner's audio keeps the others waiting.
    max_audio_seconds_per_day: float = Field(
        0.0,
        ge=0,
        description="Seconds of audio that are separated for one owner in a day (UTC), checked before each job; 0: no "
        "limit",
    )
    retention_days: float = Field(
        7.0, gt=0, description="Days from the end of a job until it and its stems are removed"
    )
    default_engine: str | None = Field(
        None, description="Engine of jobs that name none; empty: unet if a live worker has it, otherwise repetition"
    )

    # Worker
    worker_slots: int = Field(1, ge=1, description="Number of jobs that one worker separates at once")
    interactive_slots: int = Field(
        0,
        ge=0,
        description="Slots of a worker that bulk jobs may not take; if it equals WORKER_SLOTS, the worker runs "
        "interactive jobs only",
    )
    threads_per_job: int | None = Field(
        None, ge=1, description="Threads of one job; empty: the number of cores divided by WORKER_SLOTS"
    )
    worker_engines: str = Field(
        "", description="Engines that this worker runs, comma separated; empty: all that it can run"
    )
    extra_engines: str = Field(
        "",
        description="Modules with engines of your own, comma separated (`package.module` with DESCRIPTION and create)",
    )
    scratch_folder: Path = Field(
        Path("var/scratch"),
        description="Folder for the working files of running jobs; it needs MAX_SCRATCH_BYTES for each slot. If it is "
        "not set, it is `scratch` in STATE_FOLDER. Workers of one deployment may share it",
    )
    model_folder: Path = Field(
        Path("var/models"),
        description="Folder in which set-up puts the networks that it builds for this machine. If it is not set, it is "
        "`models` in STATE_FOLDER",
    )
    unet_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format in which `unet` computes, chosen at set-up: `float32` runs everywhere; `bfloat16` "
        "needs a processor with instructions for it (AVX512_BF16) and is twice as fast; `auto`: the fastest on this "
        "machine",
    )
    ffmpeg_path: str | None = Field(
        None,
        description="The ffmpeg that decodes; it may read system folders and its own. Empty: the one that is installed "
        "with the package",
    )
    require_sandbox: bool = Field(
        False,
        description="Whether a worker refuses to start if the kernel lacks Landlock (Linux 5.13) or seccomp filters; "
        "otherwise it starts, and logs a warning that says what is open",
    )
    max_audio_seconds: float = Field(4 * 3600, gt=0, description="Longest accepted track, by its decoded duration")
    max_scratch_bytes: int = Field(13_000_000_000, gt=0, description="Most scratch disk space that one job may use")
    max_child_bytes: int = Field(
        3_000_000_000,
        gt=0,
        description="Most memory of a job's child process; beyond it the job ends as `out_of_memory`",
    )
    child_jobs: int = Field(200, ge=1, description="Number of jobs after which a warm child is replaced")
    child_idle_bytes: int = Field(900_000_000, gt=0, description="Memory between two jobs at which a child is replaced")
    job_seconds_base: float = Field(
        300.0, gt=0, description="Time limit of a job, before the duration of its audio is added"
    )
    job_seconds_per_audio_second: float = Field(
        5.0, gt=0, description="Seconds added to the time limit for each second of audio"
    )

    # Life cycle
    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="How long a claim holds without a heartbeat; lower values rescue jobs of lost workers sooner",
    )
    heartbeat_seconds: float = Field(
        1.0, gt=0, description="How often a running job renews its lease, reports its progress and learns of a cancel"
    )
    rescue_seconds: float = Field(15.0, gt=0, description="How often workers look for lost jobs")
    unclaimed_seconds: float = Field(
        30.0, gt=0, description="How long a published job may stay unclaimed before it is published again"
    )
    worker_alive_seconds: float = Field(
        30.0, gt=0, description="Silence after which the slots of a worker no longer count"
    )
    max_losses: int = Field(3, ge=1, description="Number of lost workers at which a job ends as `worker_lost`")
    max_retries: int = Field(
        3,
        ge=0,
        description="Retries after transient errors, such as a full scratch disk; outages of storage or Redis use none",
    )
    retry_base_seconds: float = Field(
        5.0,
        gt=0,
        description="Pause before the first retry, and before another try at an object that the storage did not serve; "
        "it doubles each time, with jitter",
    )
    collect_seconds: float = Field(300.0, gt=0, description="How often a worker looks for garbage in storage")
    upload_abandoned_seconds: float = Field(
        86_400.0, gt=0, description="Age at which an upload that no job or batch names is removed"
    )

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

    @field_validator("redis_url")
    @classmethod
    def _read_redis_url(cls, url: str) -> str:
        # So that a wrong URL is reported at the start, and not at the first call.
        RedisAddress.parse(url)
        return url

    @field_validator("s3_source_buckets", "export_buckets")
    @classmethod
    def _refuse_our_own_bucket(cls, names: str, others: ValidationInfo) -> str:
        if others.data.get("s3_bucket") in split_names(names):
            raise ValueError("it names S3_BUCKET, where everybody's songs and stems would be open to anybody")
        return names

    @field_validator("api_public_path")
    @classmethod
    def _read_public_path(cls, path: str) -> str:
        root = "/" + path.strip("/") if path.strip("/") else ""
        if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", root) or "/v1" in (root, root[:4].rstrip("/")):
            raise ValueError("it must be a path such as /stems, of letters, digits and . _ ~ -, and not /v1")
        return root

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
