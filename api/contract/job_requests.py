"""The request bodies and queries of jobs and uploads, and how a form encodes them.

The options of a job are in shared/jobs/options.py. shared/queue/engine_catalog.py knows which engines and parameters
exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import ConfigDict, Field, JsonValue, model_validator
from werkzeug.datastructures import MultiDict

from api.contract.errors import BodyMalformedError
from api.contract.examples.job import EXAMPLE_FORM
from shared.audio.formats import FormatName, holds_stems
from shared.audio.mixes import read_stems, split_list
from shared.errors import FieldsInvalidError
from shared.jobs.model import JobState
from shared.jobs.options import (
    ContinuationWish,
    Excerpt,
    FormatOptions,
    JobOptions,
    Metadata,
    Mixes,
    MixWish,
    SourceWish,
    check_format_options,
    group_parts,
)
from shared.jobs.request import Priority
from shared.parsing.strict_json import read_json
from shared.redis_client.pagination import CURSOR
from shared.validation import Identifier, Name, Parameter, Seconds, StreamNumber, Strict, validate

JSON_FIELDS = frozenset({"parameters", "stems", "mixes", "excerpt", "metadata", "format_options", "then"})
"""Form fields whose value is JSON."""


class JobSubmission(JobOptions):
    """A job, as a JSON body."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "source": {"upload_id": "0f0e6e1c7b1f4d0d9a1a2b3c4d5e6f70"},
                    "format": "flac",
                    "then": [{"from": "vocals", "engine": "repetition", "then": [{"from": "vocals", "format": "mp3"}]}],
                }
            ]
        }
    )

    source: SourceWish = Field(description="Where the mixture is")


class MixSubmission(Strict):
    """Mixes of an ended job's stems."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"mixes": [{"name": "karaoke", "gains_db": {"vocals": None, "drums": -3.0}}], "format": "mp3"},
                {"format": "stem.mp4"},
            ]
        }
    )

    mixes: Mixes = Field([], description="As in a new job, from the stems that the job has kept. Empty for stem.mp4")
    format: FormatName | None = Field(
        None,
        description="Format of the mixes; null: the format of the stems. `stem.mp4` makes one stem file, for which the "
        "job must have kept all its stems",
    )
    format_options: FormatOptions = Field(FormatOptions(), description="Bit depth or bitrate")
    priority: Priority = Field(
        "interactive", description="`interactive`: somebody waits for the job; `bulk`: it may wait"
    )
    no_cache: bool = Field(False, description="Mix again, even if an earlier job of yours has the same result")
    metadata: Metadata = Field({}, description="Any JSON of the client, returned with the job")
    webhook_url: str | None = Field(
        None, max_length=2048, description="URL that gets a webhook when the job ends, if this server sends webhooks"
    )

    @model_validator(mode="after")
    def _is_valid(self) -> Self:
        is_stem_file = self.format is not None and holds_stems(self.format)
        if is_stem_file and self.mixes:
            raise ValueError(f"{self.format} always holds the song and four stems: give no mixes")
        if not is_stem_file and not self.mixes:
            raise ValueError("give at least one mix in mixes")
        if self.format:
            check_format_options(self.format, self.format_options)
        return self


class JobListQuery(Strict):
    """Which jobs to list."""

    state: JobState | None = Field(None, description="Only jobs in this state")
    batch: Identifier | None = Field(None, description="Only jobs of this batch, in the order of its items")
    limit: int = Field(50, ge=1, le=200, description="Maximum number of jobs to return")
    starting_after: str | None = Field(None, pattern=CURSOR, description="`next_starting_after` of the previous page")


class UploadWish(Strict):
    """A file that the client will send straight to storage."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"filename": "song.mp3", "size_bytes": 4493021}]})

    filename: str = Field("audio", max_length=1000, description="The file's name")
    size_bytes: int = Field(ge=1, description="The file's size in bytes; storage refuses a larger file")


class UploadQuery(Strict):
    """The query of an upload whose body is the file."""

    filename: str = Field("audio", max_length=1000, description="The file's name")


class JobForm(Strict):
    """A job, as a multipart form.

    The values of `parameters`, `stems`, `mixes`, `excerpt`, `format_options`, `metadata` and `then` are JSON. `stems`
    and `mixes` may also be lists separated by commas: `drums,bass`, `minus:vocals`.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_FORM]})

    file: bytes = Field(description="The audio file", json_schema_extra={"format": "binary"})
    engine: Name | None = None
    preset: Name | None = None
    parameters: dict[Name, Parameter] | None = None
    stems: list[Name] | None = None
    mixes: list[MixWish | str] | None = None
    format: FormatName | None = None
    bit_depth: int | None = None
    bitrate_kbps: int | None = None
    excerpt: Excerpt | None = None
    excerpt_start_seconds: Seconds | None = Field(None, description="Instead of `excerpt`")
    excerpt_duration_seconds: Seconds | None = Field(None, description="Instead of `excerpt`")
    audio_stream: StreamNumber | None = None
    priority: Priority | None = None
    no_cache: bool | None = None
    metadata: dict[str, JsonValue] | None = None
    webhook_url: str | None = None
    then: list[ContinuationWish] | None = Field(
        None, description="As in a JSON body", examples=[[{"from": "vocals", "engine": "repetition"}]]
    )


def query_values(arguments: MultiDict[str, str]) -> dict[str, str]:
    """Return the query's values by name. Raises FieldsInvalidError if a name is given more than once."""
    for name, values in arguments.lists():
        if len(values) > 1:
            raise FieldsInvalidError([{"field": name, "message": "is given more than once"}])
    return arguments.to_dict()


def parse_json(body: bytes) -> object:
    """Return the value of a JSON body. Raises BodyMalformedError."""
    try:
        return read_json(body)
    except (ValueError, RecursionError) as error:
        raise BodyMalformedError("The body is not valid JSON.") from error


def form_options(fields: Mapping[str, str]) -> JobOptions:
    """Return the job options in a form's fields. Raises FieldsInvalidError."""
    values: dict[str, Any] = {}
    for name, text in fields.items():
        # Web forms send their empty fields too.
        if text.strip():
            values[name] = _form_value(name, text.strip())
    return validate(JobOptions, group_parts(values))


def _form_value(name: str, text: str) -> object:
    if name in {"stems", "mixes"} and not text.startswith("["):
        return read_stems(text) if name == "stems" else split_list(text)
    if name not in JSON_FIELDS:
        return text
    try:
        return read_json(text)
    except (ValueError, RecursionError) as error:
        raise FieldsInvalidError([{"field": name, "message": "must be valid JSON"}]) from error
