"""Settings of workers: engines, limits of a job, leases, retries and garbage collection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class WorkerSettings(BaseSettings):
    """What a worker runs, and with which resources."""

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
    analyse_music: bool = Field(
        True,
        description="Whether tempo, beats and key of each song are looked for, and written into the report, "
        "`beats.json` and the tags of the stems",
    )
    max_audio_seconds: float = Field(4 * 3600, gt=0, description="Longest accepted track, by its decoded duration")
    max_scratch_bytes: int = Field(13_000_000_000, gt=0, description="Most scratch disk space that one job may use")
    max_child_bytes: int = Field(
        3_000_000_000,
        gt=0,
        description="Most memory of a job's child process. Beyond it the attempt fails as `out_of_memory`; "
        "MAX_LOSSES says how often a job is tried",
    )
    child_jobs: int = Field(200, ge=1, description="Number of jobs after which a warm child is replaced")
    child_idle_bytes: int = Field(900_000_000, gt=0, description="Memory between two jobs at which a child is replaced")
    job_seconds_base: float = Field(
        300.0, gt=0, description="Time limit of a job, before the duration of its audio is added"
    )
    job_seconds_per_audio_second: float = Field(
        5.0, gt=0, description="Seconds added to the time limit for each second of audio"
    )


class LifeCycleSettings(BaseSettings):
    """Leases, retries, and the removal of what is no longer needed."""

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
    max_losses: int = Field(
        3,
        ge=1,
        description="Number of lost workers at which a job ends as `worker_lost`; also the most attempts of a job that "
        "runs out of memory or ends its child process",
    )
    max_retries: int = Field(
        3,
        ge=0,
        description="Retries after transient errors, such as a full scratch disk. Outages of storage or Redis use "
        "none. MAX_LOSSES limits those after `out_of_memory` and `separation_failed`",
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
