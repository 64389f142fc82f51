"""Turns the lines of a manifest into items, or into errors that say what is wrong with a line.

A batch's defaults apply to members that a line leaves out. Only uploads are looked up here; whether an object or
another job's output exists is checked when the item's job is created.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pydantic import Field

from shared.audio.names import left_out_because, without_audio_extension
from shared.batches.left_out import LeftOutObjects
from shared.batches.manifest_format import ManifestLine
from shared.batches.model import BatchRequest, Manifest
from shared.batches.stored_items import StoredItem
from shared.chains import count_jobs
from shared.errors import FieldsInvalidError, SourceMissingError, SourceRefusedError, StemqueueError, TransientError
from shared.fifo_cache import FifoCache
from shared.jobs.options import ItemOptions, SourceWish, group_parts
from shared.jobs.source_buckets import check_source_bucket
from shared.jobs.uploads import UploadStore
from shared.parsing.file_names import clean_filename
from shared.queue.chains import Link, plan_chain
from shared.queue.engine_catalog import Choice, EngineCatalog
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from shared.validation import validate

IDENTIFIER = re.compile("[0-9a-f]{32}")

CACHED_CHOICES = 100
"""Combinations of options whose check is remembered. An entry takes up to 0.1 MB: clients choose what it holds."""

CHOOSING_FIELDS = {"engine", "preset", "parameters", "stems", "mixes", "format", "then"}
"""The options that a job's engine, preset and chain depend on."""


class ItemWish(ItemOptions):
    """One track of a batch, as the client describes it."""

    track: str | None = Field(
        None, min_length=1, max_length=1000, description="The track's name; null: the file's name"
    )
    source: SourceWish = Field(description="The place of the mixture; a batch does not download URLs")


class ItemParser:
    """Parses the lines of one batch."""

    def __init__(self, settings: Settings, uploads: UploadStore, catalog: EngineCatalog, request: BatchRequest) -> None:
        self._uploads = uploads
        self._catalog = catalog
        self._batch = request
        self._settings = settings
        self._choices = FifoCache[str, tuple[Choice, list[Link]] | Sequence[dict[str, Any]]](CACHED_CHOICES)

    def parse(self, lines: Sequence[ManifestLine], first_number: int) -> list[StoredItem]:
        """Return the items of some lines, numbered from `first_number`. Raises StoreUnavailableError."""
        return [item for items in self.parse_each(lines, first_number) for item in items]

    def parse_each(self, lines: Sequence[ManifestLine], first_number: int) -> Iterator[list[StoredItem]]:
        """Yield the items of each line: one, and behind it one for each job of its chain, each after its source.

        How many they are depends on `then` alone, also for an invalid line, so that clients can number them.
        """
        uploads = self._read_uploads(lines)
        for line in lines:
            items = self._items(line, first_number, uploads)
            first_number += len(items)
            yield items

    def _items(self, line: ManifestLine, number: int, uploads: Mapping[str, Mapping[str, str]]) -> list[StoredItem]:
        values = line.values or {}
        track = values.get("track")
        try:
            if line.values is None:
                raise FieldsInvalidError([{"field": "", "message": line.error or ""}])
            wish = validate(ItemWish, with_defaults(self._batch.defaults, line.values))
            source = self._source(wish.source, uploads)
            choice, links = self._choice(wish)
            members = wish.request_members(engine=choice.engine, preset=choice.preset)
            first = StoredItem(number, line.number, wish.track or _name_of(source), source=source, request=members)
            return _chained(first, links)
        except TransientError:
            raise
        except StemqueueError as error:
            named = track[:1000] if isinstance(track, str) else ""
            jobs = count_jobs(values.get("then", self._batch.defaults.get("then")))
            told = {"code": error.code, "message": error.message}
            return [StoredItem(number + n, line.number, named, error=told) for n in range(jobs)]

    def _source(self, wish: SourceWish, uploads: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
        if wish.url:
            raise SourceRefusedError("A batch does not download URLs. Upload the file, or put it into storage.")
        if wish.job_id:
            return {"job_id": wish.job_id, "output": wish.output}
        if wish.s3:
            check_source_bucket(self._settings, wish.s3.bucket)
            return {"key": wish.s3.key, "filename": clean_filename(wish.s3.key), "bucket": wish.s3.bucket}
        fields = uploads.get(wish.upload_id or "")
        if fields is None or fields.get("owner") != self._batch.owner:
            raise SourceMissingError("There is no such upload.")
        source = {
            "key": fields["key"],
            "filename": fields["filename"],
            "size_bytes": int(fields["size_bytes"]),
            "sha256": fields["sha256"],
            "etag": fields["etag"],
            "upload_id": wish.upload_id,
        }
        return {name: value for name, value in source.items() if value != ""}

    def _choice(self, wish: ItemWish) -> tuple[Choice, list[Link]]:
        """Return the engine and preset of a track's job, and the jobs that continue it."""
        # Most items of a batch have the same options, so each combination is checked once.
        wanted = wish.model_dump_json(include=CHOOSING_FIELDS, by_alias=True)
        known = self._choices.get(wanted)
        if known is None:
            try:
                choice = self._catalog.choose(wish)
                known = choice, plan_chain(self._catalog, wish, choice.engine)
            except FieldsInvalidError as error:
                known = error.errors
            self._choices.put(wanted, known)
        if isinstance(known, tuple):
            return known
        # A new error each time: one that is raised again keeps all the lines alive that it was raised for.
        raise FieldsInvalidError(known)

    def _read_uploads(self, lines: Sequence[ManifestLine]) -> dict[str, dict[str, str]]:
        named = []
        for line in lines:
            source = (line.values or {}).get("source")
            upload_id = source.get("upload_id") if isinstance(source, dict) else None
            if isinstance(upload_id, str) and IDENTIFIER.fullmatch(upload_id):
                named.append(upload_id)
        return self._uploads.read_uploads(named) if named else {}


def _chained(first: StoredItem, links: Sequence[Link]) -> list[StoredItem]:
    """Return a line's first item, and the items of the jobs that continue it."""
    items = [first]
    for link in links:
        before = items[link.before]
        items.append(
            StoredItem(
                number=first.number + len(items),
                line=first.line,
                track=f"{before.track} - {link.output}",
                source={"item": before.number, "output": link.output},
                request=link.members,
            )
        )
    return [replace(item, request=_stored_members(item, items)) for item in items]


def _stored_members(item: StoredItem, items: Sequence[StoredItem]) -> dict[str, Any]:
    """Return the members of an item's request that say something, with the items that continue it."""
    members = item.request or {}
    # An empty list of stems says something: the mixes alone are wanted.
    unsaid = {"mixes"} if not members["mixes"] else set()
    said = {name: value for name, value in members.items() if name not in unsaid and value not in (None, {}, False)}
    sources = [(other.number, other.source) for other in items[1:] if other.source]
    then = [{"item": n, "output": source["output"]} for n, source in sources if source["item"] == item.number]
    return {**said, "then": then} if then else said


def _name_of(source: Mapping[str, Any]) -> str:
    """Return the name of a track whose line gives none."""
    if "output" in source:
        return f"{source['job_id']} - {source['output']}"
    return without_audio_extension(source["filename"])


def with_defaults(defaults: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item's values, completed with the batch's defaults. Raises FieldsInvalidError.

    Defaults that belong to the default engine or format are dropped if the item names another one. Mixes are kept:
    `minus:vocals` suits most engines, and an item whose engine lacks a stem says so.
    """
    own, base = group_parts(values), dict(defaults)
    if own.get("engine", base.get("engine")) != base.get("engine"):
        for name in ("preset", "parameters"):
            base.pop(name, None)
        if base.get("stems"):
            # An empty list suits every engine.
            del base["stems"]
    if own.get("format", base.get("format")) != base.get("format"):
        base.pop("format_options", None)
    merged = {**base, **own}
    if isinstance(own.get("metadata"), dict) and isinstance(base.get("metadata"), dict):
        merged["metadata"] = {**base["metadata"], **own["metadata"]}
    return merged


class PrefixLines:
    """The objects below a prefix as lines of a manifest, and what is left out of it.

    `cursor` is where reading stands. A reader that is made with it continues there, with the counts until then.
    """

    def __init__(self, storage: ObjectStorage, manifest: Manifest, cursor: Mapping[str, Any] | None = None) -> None:
        begun = cursor or {}
        self._storage = storage
        self._bucket, self._prefix = manifest.bucket or storage.bucket, manifest.key
        self._after, self._line = str(begun.get("after", "")), int(begun.get("line", 0))
        self.left_out = LeftOutObjects.from_json(begun.get("left_out"))

    @property
    def cursor(self) -> dict[str, Any]:
        """What a later reader begins with, as JSON values."""
        return {"after": self._after, "line": self._line, "left_out": self.left_out.to_json()}

    def __iter__(self) -> Iterator[ManifestLine]:
        """Yield the lines. Raises StorageUnavailableError."""
        bucket = self._bucket
        for key, size_bytes, _ in self._storage.list_objects(bucket, self._prefix, start_after=self._after):
            self._after = key
            if key.endswith("/") and not size_bytes:
                # Not a file: consoles store such an object for a folder.
                continue
            below = key.removeprefix(self._prefix).lstrip("/") or key
            if reason := left_out_because(below):
                self.left_out.add(reason, below)
                continue
            self._line += 1
            source = {"s3": {"bucket": bucket, "key": key}}
            yield ManifestLine(self._line, 0, values={"track": below, "source": source})
