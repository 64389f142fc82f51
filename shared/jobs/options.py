"""The options of a job, for requests and for lines of a manifest.

shared/queue/engine_catalog.py checks the options that depend on the engine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)

from shared.audio.formats import BIT_DEPTH_HELP, BITRATE_HELP, FormatName, check_options, holds_stems
from shared.audio.mixes import HIGHEST_DB, LOWEST_DB, Mix, mix_json, problem_of_names, read_mix
from shared.chains import MAX_CHAIN_DEPTH, MAX_CHAIN_JOBS, problem_of_chain
from shared.errors import FieldsInvalidError, RequestInvalidError
from shared.jobs.request import Priority
from shared.validation import Identifier, Name, Parameter, Seconds, StreamNumber, Strict, not_boolean

MAX_METADATA_BYTES = 16_384
"""The largest metadata of a job, as JSON. Raising it makes every record, and so every poll, larger."""

PARTS: Mapping[str, Mapping[str, str]] = {
    "excerpt": {"excerpt_start_seconds": "start_seconds", "excerpt_duration_seconds": "duration_seconds"},
    "format_options": {"bit_depth": "bit_depth", "bitrate_kbps": "bitrate_kbps"},
}
"""Groups of fields, and the names of their members in forms and tables."""


def _bounded(metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if len(json.dumps(metadata)) > MAX_METADATA_BYTES:
        raise ValueError(f"must not exceed {MAX_METADATA_BYTES} bytes as JSON")
    return metadata


Metadata = Annotated[dict[str, JsonValue], AfterValidator(_bounded)]


class Excerpt(Strict):
    """The part of the track to separate."""

    start_seconds: Seconds = Field(0.0, description="Start of the excerpt in seconds")
    duration_seconds: Seconds | None = Field(
        None, gt=0, description="Length of the excerpt in seconds; null: to the end of the track"
    )


class FormatOptions(Strict):
    """How the stems are encoded. The format decides which of the two applies."""

    bit_depth: int | None = Field(None, description=BIT_DEPTH_HELP)
    bitrate_kbps: int | None = Field(None, description=BITRATE_HELP)


def check_format_options(format_name: str, options: FormatOptions) -> None:
    """Raise ValueError, as pydantic requires, if the format does not have these options."""
    try:
        check_options(format_name, options.model_dump(exclude_none=True))
    except RequestInvalidError as error:
        raise ValueError(error.message) from error


Gain = Annotated[float, BeforeValidator(not_boolean), Field(ge=LOWEST_DB, le=HIGHEST_DB, allow_inf_nan=False)]


class MixWish(Strict):
    """A mix of the stems. A string such as `minus:vocals` or `only:drums+bass` is a short form of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "karaoke", "gains_db": {"vocals": None, "drums": -3.0}, "rest_db": 0.0}]
        }
    )

    name: Name = Field(description="The name of the output, different from every stem and every other mix")
    gains_db: dict[Name, Gain | None] = Field(
        {}, max_length=20, description="Gains of stems in dB, from -60 to 24; null: the stem is left out"
    )
    rest_db: Gain | None = Field(
        0.0, description="Gain in dB of everything that `gains_db` does not name; null: it is left out"
    )

    @model_validator(mode="before")
    @classmethod
    def _reads_short_form(cls, value: object) -> object:
        return mix_json(read_mix(value)) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_heard(self) -> Self:
        if self.rest_db is None and all(gain is None for gain in self.gains_db.values()):
            raise ValueError("leaves out everything")
        return self

    def as_mix(self) -> Mix:
        """Return the mix."""
        return Mix(self.name, self.gains_db, self.rest_db)


def _json_of_mixes(schema: dict[str, Any]) -> None:
    # A short form is a text; pydantic sees only the model that it becomes.
    schema["items"] = {"anyOf": [schema["items"], {"type": "string", "examples": ["minus:vocals", "only:drums+bass"]}]}


def _with_distinct_names(mixes: list[MixWish]) -> list[MixWish]:
    if problem := problem_of_names(mix.name for mix in mixes):
        raise ValueError(problem)
    return mixes


Mixes = Annotated[
    list[MixWish], Field(max_length=20, json_schema_extra=_json_of_mixes), AfterValidator(_with_distinct_names)
]


def _bounded_chain(then: object) -> object:
    if problem := problem_of_chain(then):
        raise ValueError(problem)
    return then


Then = Annotated[list["ContinuationWish"], BeforeValidator(_bounded_chain)]


class ItemOptions(Strict):
    """The options of one track."""

    engine: Name | None = Field(None, description="A name from GET /v1/engines; null: the server's default")
    preset: Name | None = Field(None, description="One of the engine's presets; null: its default")
    parameters: dict[Name, Parameter] = Field({}, max_length=50, description="The engine's own settings")
    stems: list[Name] | None = Field(
        None, max_length=20, description="Stems to make; null: all; an empty list: only the mixes"
    )
    mixes: Mixes = Field(
        [],
        description="Mixes of the stems; each is an output like a stem. A string is a short form: `minus:vocals` is "
        "the song without the vocals, `only:drums+bass` is just these stems, and `NAME=` in front gives the mix a name",
    )
    format: FormatName = Field("flac", description="File format of the stems and mixes")
    format_options: FormatOptions = Field(FormatOptions(), description="Bit depth or bitrate")
    excerpt: Excerpt | None = Field(None, description="The part of the track to separate; null: all of it")
    audio_stream: StreamNumber | None = Field(
        None, description="Audio stream to separate, counted from 1; null: the file's default stream"
    )
    no_cache: bool = Field(False, description="Separate again, even if an earlier job of yours has the same result")
    metadata: Metadata = Field({}, description="Any JSON of the client, returned with the job")
    then: Then = Field(
        [],
        description="More jobs, each of which separates an output of this job as soon as it has succeeded. They may "
        f"have `then` too: up to {MAX_CHAIN_DEPTH} levels and {MAX_CHAIN_JOBS} jobs in all",
        examples=[[{"from": "vocals", "engine": "repetition"}]],
    )

    def request_members(self, *, engine: str, preset: str | None) -> dict[str, Any]:
        """Return the members of a JobRequest that these options determine, with the chosen engine and preset."""
        excerpt = self.excerpt
        return {
            "engine": engine,
            "preset": preset,
            "parameters": self.parameters,
            "stems": None if self.stems is None else tuple(self.stems),
            "mixes": tuple(mix.as_mix() for mix in self.mixes),
            "format": self.format,
            "format_options": self.format_options.model_dump(exclude_none=True),
            "excerpt_start_seconds": excerpt.start_seconds if excerpt else None,
            "excerpt_duration_seconds": excerpt.duration_seconds if excerpt else None,
            "audio_stream": self.audio_stream,
            "metadata": self.metadata,
            "no_cache": self.no_cache,
        }

    @model_validator(mode="after")
    def _has_outputs(self) -> Self:
        if self.stems == [] and not self.mixes:
            raise ValueError("stems may be empty only if there are mixes")
        return self

    @model_validator(mode="after")
    def _stem_file_is_whole(self) -> Self:
        if holds_stems(self.format) and (self.stems is not None or self.mixes):
            raise ValueError(f"{self.format} always holds the song and four stems: give no stems and no mixes")
        return self

    @model_validator(mode="after")
    def _format_has_options(self) -> Self:
        check_format_options(self.format, self.format_options)
        return self


class ContinuationWish(ItemOptions):
    """A later job of a chain: it separates an output of another job. The first job's priority and webhook apply."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"from": "vocals", "engine": "repetition", "format": "mp3"}]}
    )

    output: Name = Field(
        alias="from", description="The stem or mix of the previous job that this job separates", examples=["vocals"]
    )


ItemOptions.model_rebuild()


class JobOptions(ItemOptions):
    """The options of a job."""

    priority: Priority = Field(
        "interactive", description="`interactive`: somebody waits for the job; `bulk`: it may wait"
    )
    webhook_url: str | None = Field(
        None, max_length=2048, description="URL that gets a webhook when the job ends, if this server sends webhooks"
    )


class StoredObject(Strict):
    """An object in storage."""

    bucket: str = Field(min_length=1, max_length=63)
    key: str = Field(min_length=1, max_length=1024)


class SourceWish(Strict):
    """Where the mixture is. Give exactly one of `upload_id`, `s3`, `url`, or `job_id` with `output`."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"job_id": "3f2b8c1d4e5f60718293a4b5c6d7e8f9", "output": "vocals"}]}
    )

    upload_id: Identifier | None = Field(None, description="An earlier upload")
    s3: StoredObject | None = Field(None, description="An object in a bucket that this server accepts")
    url: str | None = Field(None, max_length=4096, description="The server downloads it at once, if it allows URLs")
    job_id: Identifier | None = Field(
        None,
        description="A job that has succeeded; its `output` is the mixture. It can neither be deleted nor expire until "
        "the new job has ended",
        examples=["3f2b8c1d4e5f60718293a4b5c6d7e8f9"],
    )
    output: Name | None = Field(None, description="A stem or mix of the job `job_id`", examples=["vocals"])

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.job_id is None) != (self.output is None):
            raise ValueError("must have job_id and output together")
        if sum(place is not None for place in (self.upload_id, self.s3, self.url, self.job_id)) != 1:
            raise ValueError("must have exactly one of upload_id, s3, url, and job_id with output")
        return self


def group_parts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with flat excerpt and format options put into their groups. Raises FieldsInvalidError."""
    grouped = dict(values)
    for group, names in PARTS.items():
        flat = {inner: grouped.pop(name) for name, inner in names.items() if name in grouped}
        if flat and group in grouped:
            raise FieldsInvalidError([{"field": group, "message": f"give either {group} or its parts, not both"}])
        if flat:
            grouped[group] = flat
    return grouped
