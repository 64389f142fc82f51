"""The request bodies and queries of batches. The options of a single track are in shared/jobs/options.py."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from api.contract.examples.batch import (
    EXAMPLE_BATCH_SUBMISSION,
    EXAMPLE_MANIFEST_SUBMISSION,
    EXAMPLE_PREFIX_SUBMISSION,
)
from shared.batches.export_names import check_template
from shared.batches.model import ItemState
from shared.errors import RequestInvalidError
from shared.jobs.options import ItemOptions, StoredObject
from shared.jobs.request import Priority
from shared.redis_client.pagination import CURSOR
from shared.validation import Identifier, Strict

MAX_LISTED_ITEMS = 10_000
"""The most items that a request may list; larger batches need a manifest in storage."""


class ManifestWish(Strict):
    """Where the manifest is stored, a text with one track a line: exactly one of these."""

    upload_id: Identifier | None = Field(None, description="An earlier upload")
    s3: StoredObject | None = Field(None, description="An object in a bucket that this server allows")

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.upload_id is None) == (self.s3 is None):
            raise ValueError("must have exactly one of upload_id and s3")
        return self


class PrefixWish(Strict):
    """Every object below a prefix that may be audio by its name; `left_out` counts the others."""

    bucket: str = Field(min_length=1, max_length=63)
    prefix: str = Field(
        "", max_length=1024, description="Beginning of the objects' keys; the rest of a key is the track's name"
    )


class ExportWish(Strict):
    """Where copies of the stems are written."""

    bucket: str = Field(min_length=1, max_length=63, description="A bucket that this server allows")
    prefix: str = Field("", max_length=500, description="The beginning of each copy's key")
    template: str = Field(
        "{track}/{stem}.{format}",
        max_length=500,
        description="Pattern for the rest of the key, with {track}, {number}, {stem} and {format}. If an earlier item "
        "of the batch has the same key, the item's number is added to its track: `Intro (7)`",
    )

    @field_validator("template")
    @classmethod
    def _is_template(cls, template: str) -> str:
        try:
            return check_template(template)
        except RequestInvalidError as error:
            raise ValueError(error.message) from error


class BatchSubmission(Strict):
    """A batch: exactly one of `items`, `manifest` and `prefix`."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [EXAMPLE_BATCH_SUBMISSION, EXAMPLE_MANIFEST_SUBMISSION, EXAMPLE_PREFIX_SUBMISSION]
        }
    )

    items: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_LISTED_ITEMS,
        description="Tracks: `track`, `source` and any option of `defaults`. An invalid one does not affect the others",
    )
    manifest: ManifestWish | None = None
    manifest_format: Literal["jsonl", "csv"] | None = Field(None, description="Null: the file's extension decides")
    prefix: PrefixWish | None = None
    defaults: ItemOptions = Field(ItemOptions(), description="Options of items that do not set their own")
    name: str | None = Field(None, min_length=1, max_length=200, description="A name for the batch, returned with it")
    priority: Priority = Field("bulk", description="`interactive`: somebody waits for the jobs; `bulk`: they may wait")
    export: ExportWish | None = None
    webhook_url: str | None = Field(
        None, max_length=2048, description="URL that gets a webhook when the batch ends, if this server sends webhooks"
    )

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if sum(place is not None for place in (self.items, self.manifest, self.prefix)) != 1:
            raise ValueError("must have exactly one of items, manifest and prefix")
        return self


class BatchListQuery(Strict):
    """Which batches to list."""

    limit: int = Field(50, ge=1, le=200, description="Maximum number of batches to return")
    starting_after: str | None = Field(None, pattern=CURSOR, description="`next_starting_after` of the previous page")


class ItemListQuery(Strict):
    """Which items of a batch to list."""

    state: ItemState | None = Field(None, description="Only items in this state")
    limit: int = Field(100, ge=1, le=500, description="Maximum number of items to return")
    starting_after: int = Field(0, ge=0, le=2**31, description="`next_starting_after` of the previous page")
