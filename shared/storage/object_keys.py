"""The layout of the objects' keys in storage.

uploads/<upload id>           the mixture as it was sent
jobs/<job id>/<fence>/<file>  an output of one attempt; garbage unless the job's record lists it
batches/<batch id>/…          a batch's items and results (shared/batches/stored_items.py)
instance                      an id that is also in Redis, and shows that both belong together
"""

from __future__ import annotations


def upload_key(upload_id: str) -> str:
    """Return the key of an upload."""
    return f"uploads/{upload_id}"


def output_key(job_id: str, fence: int, filename: str) -> str:
    """Return the key of an attempt's output; the fence distinguishes attempts."""
    return f"{job_prefix(job_id)}{fence}/{filename}"


def split_output_key(key: str) -> tuple[str, str, str]:
    """Return job id, fence and file name of a key below `jobs/`; parts that the key lacks are empty."""
    _, job_id, fence, filename = [*key.split("/", 3), "", "", ""][:4]
    return job_id, fence, filename


def job_prefix(job_id: str) -> str:
    """Return the prefix of the outputs of all attempts of a job."""
    return f"jobs/{job_id}/"


PROBE_KEY = output_key("probe", 0, "probe")
"""The key of `ObjectStorage.try_out`'s object. It is among the outputs, because the credentials may allow nothing else,
and because garbage collection removes stray objects there."""
