"""What may be asked for of a track, wherever the wish stands: in a request, or on a line of a manifest.

Owns the fields, their ranges and the words for what is wrong with them; what an engine knows is engine_catalog.py's to
say.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    field_validator,
    model_validator,
)

from shared.audio_formats import FormatName, check_options
from shared.errors import FieldsInvalidError, RequestInvalidError

M = TypeVar("M", bound=BaseModel)

MAX_METADATA_BYTES = 16_384
"""What a job's metadata may hold, as JSON; raising it makes every record, and so every poll, larger."""

MAX_FILENAME_CHARACTERS = 200

MAX_WHOLE_NUMBER = 2**53

PARTS: Mapping[str, Mapping[str, str]] = {
    "excerpt": {"excerpt_start_seconds": "start_seconds", "excerpt_duration_seconds": "duration_seconds"},
    "format_options": {"bit_depth": "bit_depth", "bitrate_kbps": "bitrate_kbps"},
}
"""Groups of fields, and the names by which forms and tables spell their members."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Identifier = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


def _plain(value: object) -> object:
    # `true` is no 1 here, and whole numbers go as far as every reader of JSON knows them apart.
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("must be a number or text")  # noqa: TRY004 - pydantic's word for what is wrong
    if not (abs(value) <= MAX_WHOLE_NUMBER if isinstance(value, int) else math.isfinite(value)):
        raise ValueError("is out of range")
    return value


def _no_truth(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError("must be a number")  # noqa: TRY004 - pydantic's word for what is wrong
    return value


Parameter = Annotated[int | float | str, BeforeValidator(_plain)]
Seconds = Annotated[float, BeforeValidator(_no_truth), Field(ge=0, le=1_000_000, allow_inf_nan=False)]


class Strict(BaseModel):
    """A request's part: unknown fields are errors, so that a typing mistake is not passed over in silence."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Excerpt(Strict):
    """The part of the track that is wanted."""

    start_seconds: Seconds = Field(0.0, description="Where it begins")
    duration_seconds: Seconds | None = Field(None, gt=0, description="How long it is; null: to the end")


class FormatOptions(Strict):
    """How the stems are encoded; which of the two applies depends on the format."""

    bit_depth: int | None = Field(None, description="Of WAV (16, 24, 32) and FLAC (16, 24)")
    bitrate_kbps: int | None = Field(None, description="Of mp3, ogg, opus and m4a")


class ItemOptions(Strict):
    """What may be asked for of one track beside its mixture."""

    engine: Name | None = Field(None, description="One of GET /v1/engines; null: the server's default")
    preset: Name | None = Field(None, description="One of the engine's presets; null: its default")
    parameters: dict[Name, Parameter] = Field({}, max_length=50, description="The engine's own settings")
    stems: list[Name] | None = Field(None, min_length=1, max_length=20, description="Which stems; null: all")
    format: FormatName = Field("flac", description="How stems are encoded")
    format_options: FormatOptions = Field(FormatOptions(), description="Bit depth or bitrate")
    excerpt: Excerpt | None = Field(None, description="A part of the track; null: all of it")
    no_cache: bool = Field(False, description="Separate anew, even if an earlier job of yours has the same result")
    metadata: dict[str, JsonValue] = Field({}, description="The client's own notes, given back with the job")

    @field_validator("metadata")
    @classmethod
    def _bound_metadata(cls, metadata: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if len(json.dumps(metadata)) > MAX_METADATA_BYTES:
            raise ValueError(f"may hold {MAX_METADATA_BYTES} bytes of JSON at most")
        return metadata

    @model_validator(mode="after")
    def _format_has_options(self) -> Self:
        try:
            check_options(self.format, self.format_options.model_dump(exclude_none=True))
        except RequestInvalidError as error:
            raise ValueError(error.message) from error
        return self


class JobOptions(ItemOptions):
    """What a job may ask for beside its mixture."""

    priority: Literal["interactive", "bulk"] = Field("interactive", description="Whether somebody waits for it")
    webhook_url: str | None = Field(None, max_length=2048, description="Told of the job's end, where this server does")


class StoredObject(Strict):
    """An object of the storage."""

    bucket: str = Field(min_length=1, max_length=63)
    key: str = Field(min_length=1, max_length=1024)


class SourceWish(Strict):
    """Where the mixture lies: exactly one of these."""

    upload_id: Identifier | None = Field(None, description="An upload from before")
    s3: StoredObject | None = Field(None, description="An object in a bucket that this server allows")
    url: str | None = Field(None, max_length=4096, description="Fetched at once, where this server allows it")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(place is not None for place in (self.upload_id, self.s3, self.url)) != 1:
            raise ValueError("must be one of upload_id, s3 and url")
        return self


def validate(model: type[M], values: object) -> M:
    """Return the values as the model. Raises FieldsInvalidError, which names each field at fault."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise FieldsInvalidError([_field_error(e) for e in error.errors(include_url=False)]) from error


def group_parts(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with the parts of an excerpt and of format options gathered. Raises FieldsInvalidError."""
    grouped = dict(values)
    for group, names in PARTS.items():
        flat = {inner: grouped.pop(name) for name, inner in names.items() if name in grouped}
        if flat and group in grouped:
            raise FieldsInvalidError([{"field": group, "message": f"is there twice: as {group} and as its parts"}])
        if flat:
            grouped[group] = flat
    return grouped


def clean_filename(name: str) -> str:
    """Return a name that can be shown and sent in a header: no path, no control characters, not too long."""
    base = name.replace("\\", "/").rsplit("/", 1)[-1]
    # Category C: control, format (which can turn text around), surrogate and unassigned characters.
    shown = "".join(c for c in unicodedata.normalize("NFC", base) if unicodedata.category(c)[0] != "C").strip()
    if len(shown) > MAX_FILENAME_CHARACTERS:
        stem, dot, extension = shown.rpartition(".")
        keep = MAX_FILENAME_CHARACTERS - len(extension) - 1
        shown = f"{stem[:keep]}{dot}{extension}" if stem and keep > 0 else shown[:MAX_FILENAME_CHARACTERS]
    return shown if shown.strip(".") else "audio"


def _field_error(error: Mapping[str, Any]) -> dict[str, Any]:
    message = error["msg"].removeprefix("Value error, ")
    found: dict[str, Any] = {"field": ".".join(str(part) for part in error["loc"]), "message": message}
    if error["type"] in {"literal_error", "enum"}:
        found["allowed"] = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    return found
