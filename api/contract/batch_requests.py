"""What clients may ask for of batches; what they may ask for of one track is in shared/jobs/options.py."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from shared.batches.export_names import check_template
from shared.batches.model import ItemState
from shared.errors import RequestInvalidError
from shared.jobs.options import Identifier, ItemOptions, StoredObject, Strict
from shared.redis_client.pagination import CURSOR

MAX_LISTED_ITEMS = 10_000
"""Items that a submission itself may list; more of them want a manifest in storage."""


class ManifestWish(Strict):
    """Where a text lies that lists the tracks, one a line: one of these."""

    upload_id: Identifier | None = Field(None, description="An upload from before")
    s3: StoredObject | None = Field(None, description="An object in a bucket that this server allows")

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if (self.upload_id is None) == (self.s3 is None):
            raise ValueError("must be one of upload_id and s3")
        return self


class PrefixWish(Strict):
    """Every object below a prefix whose name ends like audio."""

    bucket: str = Field(min_length=1, max_length=63)
    prefix: str = Field("", max_length=1024, description="The track is what follows it in the object's key")


class ExportWish(Strict):
    """Where copies of the stems go."""

    bucket: str = Field(min_length=1, max_length=63, description="One that this server allows")
    prefix: str = Field("", max_length=500, description="Begins each copy's key")
    template: str = Field(
        "{track}/{stem}.{format}",
        max_length=500,
        description="The rest of it: {track}, {number}, {stem}, {format}. Where an earlier item of the batch has a "
        "name, an item's number follows its track: `Intro (7)`",
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

    items: list[dict[str, Any]] | None = Field(
        None,
        min_length=1,
        max_length=MAX_LISTED_ITEMS,
        description="Tracks: `track`, `source` and the options of `defaults`; a bad one harms no other",
    )
    manifest: ManifestWish | None = None
    manifest_format: Literal["jsonl", "csv"] | None = Field(None, description="Null: by the file's name")
    prefix: PrefixWish | None = None
    defaults: ItemOptions = Field(ItemOptions(), description="What items want that do not say otherwise")
    name: str | None = Field(None, min_length=1, max_length=200, description="Given back with the batch")
    priority: Literal["interactive", "bulk"] = Field("bulk", description="Whether somebody waits for its jobs")
    export: ExportWish | None = None
    webhook_url: str | None = Field(
        None, max_length=2048, description="Told of the batch's end, where this server does"
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if sum(place is not None for place in (self.items, self.manifest, self.prefix)) != 1:
            raise ValueError("must have one of items, manifest and prefix")
        return self


class BatchListQuery(Strict):
    """Which batches a list shows."""

    limit: int = Field(50, ge=1, le=200, description="How many at most")
    starting_after: str | None = Field(None, pattern=CURSOR, description="The `next_starting_after` of the page before")


class ItemListQuery(Strict):
    """Which of a batch's items a list shows."""

    state: ItemState | None = Field(None, description="Only items in this state")
    limit: int = Field(100, ge=1, le=500, description="How many at most")
    starting_after: int = Field(0, ge=0, le=2**31, description="The `next_starting_after` of the page before")
