"""A stem or mix of an ended job as the mixture of another job.

The object is not copied. The scripts that submit and end jobs keep it as long as a job reads it
(shared/redis_client/lua/lib/jobs/read_outputs.lua).
"""

from __future__ import annotations

from shared.audio.names import without_audio_extension
from shared.errors import FieldsInvalidError, IllegalTransitionError
from shared.jobs.model import AUDIO_KINDS, Job, JobState
from shared.jobs.request import Source
from shared.parsing.file_names import MAX_FILENAME_CHARACTERS
from shared.storage.object_storage import ObjectStorage


def output_source(job: Job, name: str, storage: ObjectStorage | None) -> Source:
    """Return a job's stem or mix as a source, named after the song and the output.

    Without `storage` the object is not asked for: it counts as unchanged since the job ended.

    Raises IllegalTransitionError unless the job has succeeded, FieldsInvalidError if it has no such output,
    SourceMissingError if the object is gone, StorageUnavailableError.
    """
    if job.state is not JobState.SUCCEEDED:
        raise IllegalTransitionError(
            f"Only outputs of a job that has succeeded can be separated; job {job.id} is {job.state}."
        )
    outputs = {output.name: output for output in job.outputs if output.kind in AUDIO_KINDS}
    output = outputs.get(name)
    if output is None:
        message = f"job {job.id} has no stem or mix named {name!r}; choose from {', '.join(outputs)}"
        raise FieldsInvalidError([{"field": "source.output", "message": message, "allowed": [*outputs]}])
    # The recorded ETag may be that of the object before the bucket was restored. The worker compares the content.
    size_bytes, etag = storage.head(output.key) if storage else (output.size_bytes, output.etag)
    seconds = output.details.get("duration_seconds")
    return Source(
        key=output.key,
        filename=name_after_output(without_audio_extension(job.request.source.filename), output.filename),
        size_bytes=size_bytes,
        sha256=output.sha256,
        etag=etag,
        job_id=job.id,
        output=output.name,
        duration_seconds=None if seconds is None else float(seconds),
    )


def name_after_output(song: str, filename: str) -> str:
    """Return what a mixture is called that is an output of a job: by the song, and by the output's own file name."""
    ending = f" - {filename}"
    return song[: MAX_FILENAME_CHARACTERS - len(ending)] + ending
