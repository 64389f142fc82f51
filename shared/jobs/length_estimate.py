"""Estimates a new job's audio length from its file's size and name, without opening the file.

lua/lib/work_statistics.lua corrects the estimate with what earlier jobs took.
"""

from __future__ import annotations

import hashlib
import json

from shared.audio_formats import INPUT_BYTES_PER_SECOND, extension_of
from shared.jobs.model import JobRequest

BYTES_PER_SECOND: Mapping[str, int] = {
    ".wav": 176_400,
    ".aif": 176_400,
    ".aiff": 176_400,
    ".flac": 105_000,
    ".alac": 105_000,
    ".wv": 105_000,
    ".mp3": 30_000,
    ".m4a": 30_000,
    ".mp4": 30_000,
    ".aac": 24_000,
    ".ogg": 20_000,
    ".oga": 20_000,
    ".opus": 14_000,
    ".wma": 20_000,
}
"""Typical bytes per second of audio, by the file name's extension."""


def kind_of(request: JobRequest) -> str:
    """Return a name for jobs with the same engine, preset and parameters, which take equally long for equal audio."""
    wanted = json.dumps([request.preset, dict(request.parameters)], sort_keys=True)
    return f"{request.engine}:{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"


def guessed_length(request: JobRequest) -> tuple[str, int]:
    """Return the file name's extension and the estimated milliseconds of audio; 0 if there is no estimate."""
    form = PurePosixPath(request.source.filename).suffix.lower()
    rate = BYTES_PER_SECOND.get(form)
    return (form, round(1000 * request.source.size_bytes / rate)) if rate else ("", 0)
