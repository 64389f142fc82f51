"""Settings of workers: engines, limits of a job, leases, retries and garbage collection."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class WorkerSettings(BaseSettings):
    """The engines of a worker, and the resources that its jobs may use."""

    worker_slots: int = Field(1, ge=1, description="Number of jobs that one worker separates at once")
    interactive_slots: int = Field(
        0,
        ge=0,
        description="Number of slots of a worker that are reserved for interactive jobs. If it equals WORKER_SLOTS, "
        "the worker runs no bulk jobs",
    )
    threads_per_job: int | None = Field(
        None, ge=1, description="Number of threads of one job; empty: the number of cores divided by WORKER_SLOTS"
    )
    worker_engines: str = Field(
        "", description="Engines that this worker runs, comma separated; empty: all that can run on its machine"
    )
    extra_engines: str = Field(
        "",
        description="Modules with engines of your own, comma separated (`package.module` with DESCRIPTION and create)",
    )
    scratch_folder: Path = Field(
        Path("var/scratch"),
        description="Folder for the working files of running jobs. Its disk needs MAX_SCRATCH_BYTES of free space for "
        "each slot. Default: `scratch` in STATE_FOLDER. Workers of one deployment may share it",
    )
    model_folder: Path = Field(
        Path("var/models"),
        description="Folder for the networks that set-up builds for this machine. Default: `models` in STATE_FOLDER",
    )
    model_precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Number format of the networks, used when set-up builds them: `float32` runs on every processor "
        "and is the most exact; `bfloat16` is two to three times as fast, but needs a processor with AVX512_BF16 or "
        "AMX, and for all engines except `unet` the package openvino; `auto`: the fastest for `unet`, float32 for the "
        "others",
    )
    unet_precision: Literal["auto", "float32", "bfloat16"] | None = Field(
        None, description="The same for the engine `unet` alone; empty: MODEL_PRECISION"
    )
    ffmpeg_path: str | None = Field(
        None,
        description="Path of the ffmpeg program. The sandbox lets it read only system folders and its own folder. "
        "Empty: the ffmpeg that is installed with the package",
    )
    require_sandbox: bool = Field(
        False,
        description="If true, a worker does not start on a kernel without Landlock (Linux 5.13) or seccomp filters. If "
        "false, it starts and logs a warning that says which protection is missing",
    )
    analyse_music: bool = Field(
        True,
        description="Whether the worker estimates tempo, beats and key of each song and writes them into the report, "
        "`beats.json` and the tags of the stems",
    )
    max_audio_seconds: float = Field(
        4 * 3600, gt=0, description="Duration of the longest accepted track, in seconds of decoded audio"
    )
    max_scratch_bytes: int = Field(13_000_000_000, gt=0, description="Maximum scratch disk space of one job, in bytes")
    max_child_bytes: int = Field(
        3_000_000_000,
        gt=0,
        description="Maximum memory of a job's child process, in bytes. Beyond this the attempt fails with "
        "`out_of_memory`; MAX_LOSSES says how often such a job is tried",
    )
    child_jobs: int = Field(
        200, ge=1, description="Number of jobs after which a child process is replaced by a new one"
    )
    child_idle_bytes: int = Field(
        900_000_000, gt=0, description="A child process that uses more bytes than this between two jobs is replaced"
    )
    job_seconds_base: float = Field(
        300.0,
        gt=0,
        description="Time limit of a job in seconds, without the part that depends on the length of its audio",
    )
    job_seconds_per_audio_second: float = Field(
        5.0, gt=0, description="Number of seconds added to the time limit of a job for each second of its audio"
    )


class LifeCycleSettings(BaseSettings):
    """Leases, retries, and the removal of data that is no longer needed."""

    lease_seconds: float = Field(
        60.0,
        gt=0,
        description="Number of seconds for which a claim is valid without a heartbeat. With lower values, jobs of dead "
        "workers are rescued sooner",
    )
    heartbeat_seconds: float = Field(
        1.0,
        gt=0,
        description="Seconds between two heartbeats of a running job: it renews its lease, reports progress, and "
        "sees whether it was canceled",
    )
    rescue_seconds: float = Field(15.0, gt=0, description="Seconds between two searches for jobs of dead workers")
    unclaimed_seconds: float = Field(
        30.0, gt=0, description="Seconds after which a published job that no worker has claimed is published again"
    )
    worker_alive_seconds: float = Field(
        30.0, gt=0, description="Seconds without a heartbeat after which a worker counts as dead"
    )
    max_losses: int = Field(
        3,
        ge=1,
        description="A job whose worker died this many times fails with `worker_lost`. Also the maximum number of "
        "attempts of a job that runs out of memory or whose child process ends unexpectedly",
    )
    max_retries: int = Field(
        3,
        ge=0,
        description="Maximum number of retries after transient errors, such as a full scratch disk. Outages of storage "
        "or Redis do not count. After `out_of_memory` and `separation_failed`, MAX_LOSSES limits the retries",
    )
    retry_base_seconds: float = Field(
        5.0,
        gt=0,
        description="Pause in seconds before the first retry, and before a job asks again for an object that the "
        "storage did not serve. It doubles each time, with jitter",
    )
    collect_seconds: float = Field(300.0, gt=0, description="Seconds between two garbage collections of the storage")
    upload_abandoned_seconds: float = Field(
        86_400.0, gt=0, description="Age in seconds at which an upload is deleted if no job or batch uses it"
    )
