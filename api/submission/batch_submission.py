"""Accepts a batch: checks its defaults and that its manifest exists, then records it.

It does not read the manifest. A worker does (worker/batches/manifest_reader.py), so that a batch of 100,000 lines is
accepted as fast as one of a single line.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from api.contract.batch_requests import BatchSubmission, ManifestWish
from api.submission.allowed_places import check_export_bucket, check_webhook_url
from api.submission.job_submission import Sender
from shared.batches.actions import BatchActions
from shared.batches.manifest_format import MAX_LINE_BYTES, read_lines
from shared.batches.model import Batch, BatchRequest, Export, Manifest
from shared.batches.store import BatchStore
from shared.batches.stored_items import LINES, document_key, manifest_key
from shared.errors import (
    BatchNotFoundError,
    FieldsInvalidError,
    InputError,
    LifeCycleError,
    ManifestInvalidError,
    StemqueueError,
    StoreFullError,
)
from shared.jobs.source_buckets import check_source_bucket
from shared.jobs.uploads import UploadStore
from shared.queue.chains import plan_chain
from shared.queue.engine_catalog import EngineCatalog
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BatchSubmitter:
    """Creates, reruns and deletes batches. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    settings: Settings
    uploads: UploadStore
    batches: BatchStore
    changes: BatchActions
    prompt_storage: ObjectStorage
    storage: ObjectStorage
    catalog: EngineCatalog

    def submit_batch(self, sender: Sender, wanted: BatchSubmission, *, batch_id: str) -> Batch:
        """Accept a batch.

        Raises FieldsInvalidError, WorkersUnavailableError, SourceRefusedError, ExportRefusedError, SourceMissingError,
        ManifestInvalidError, RecordsQuotaError, StorageQuotaError, StoreFullError.
        """
        self.check_options(wanted)
        # Before anything is stored: a refused request must leave nothing behind.
        webhook_url = check_webhook_url(self.settings, wanted.webhook_url)
        self.batches.require_record_room(sender.owner)
        manifest = (
            self._store_list(wanted.items, batch_id) if wanted.items is not None else self.find_manifest(sender, wanted)
        )
        export = wanted.export
        request = BatchRequest(
            manifest=manifest,
            owner=sender.owner,
            name=wanted.name,
            priority=wanted.priority,
            defaults=wanted.defaults.model_dump(mode="json", exclude_unset=True, by_alias=True),
            webhook_url=webhook_url,
            export=Export(export.bucket, export.prefix, export.template) if export else None,
            request_id=sender.request_id,
            trace=sender.trace,
        )
        # Storage first, so that a batch that Redis has lost can be rebuilt from there.
        self.storage.put_bytes(request.to_document().encode(), document_key(batch_id), "application/json")
        try:
            batch = self.batches.create(batch_id, request)
        except (InputError, LifeCycleError, StoreFullError):
            self._discard_objects(batch_id)
            raise
        log.info("batch accepted", batch=batch_id, manifest=manifest.format)
        return batch

    def find_manifest(self, sender: Sender, wanted: BatchSubmission) -> Manifest:
        """Return the manifest or prefix that a request names, with its size and ETag. Raises SourceMissingError."""
        if wanted.prefix is not None:
            check_source_bucket(self.settings, wanted.prefix.bucket)
            return Manifest(wanted.prefix.bucket, wanted.prefix.prefix, "prefix")
        assert wanted.manifest is not None  # noqa: S101 - the model requires one of the three
        return self._manifest_object(sender, wanted, wanted.manifest)

    def _store_list(self, items: Iterable[Mapping[str, Any]], batch_id: str) -> Manifest:
        content = b"".join(json.dumps(item).encode() + b"\n" for item in items)
        stored = self.storage.put_bytes(content, manifest_key(batch_id), LINES)
        return Manifest(None, stored.key, "jsonl", stored.size_bytes, stored.etag)

    def _discard_objects(self, batch_id: str) -> None:
        """Delete the objects of a batch that was not created. If that fails, they are left to garbage collection."""
        try:
            # A repeated request may have been accepted the first time.
            if not self._exists(batch_id):
                self.storage.delete([manifest_key(batch_id), document_key(batch_id)])
        except StemqueueError as error:
            log.warning("batch objects left for garbage collection", batch=batch_id, error=error.message)

    def _exists(self, batch_id: str) -> bool:
        try:
            self.batches.read_batch(batch_id)
        except BatchNotFoundError:
            return False
        return True

    def rerun_batch(self, batch: Batch) -> Batch:
        """Run the items again whose stems were made by another version of their engine than workers have now.

        Workers look for these items. Raises BatchStateError if it is known that there are none.
        """
        now = {name: str(description["version"]) for name, description in self.catalog.descriptions().items()}
        return self.changes.rerun(batch.id, now)

    def delete_batch(self, batch_id: str) -> None:
        """Delete an ended batch. Raises BatchNotFoundError, BatchStateError."""
        self.changes.delete(batch_id)

    def _manifest_object(self, sender: Sender, wanted: BatchSubmission, place: ManifestWish) -> Manifest:
        if place.s3:
            check_source_bucket(self.settings, place.s3.bucket)
            bucket, key, filename = place.s3.bucket, place.s3.key, place.s3.key
        else:
            fields = self.uploads.read_upload(place.upload_id or "", sender.owner)
            bucket, key, filename = self.storage.bucket, fields["key"], fields["filename"]
        size_bytes, etag = self.prompt_storage.head(key, bucket=bucket)
        form = wanted.manifest_format or ("csv" if filename.lower().endswith((".csv", ".csv.txt")) else "jsonl")
        self._check_manifest(bucket, key, form, etag)
        return Manifest(bucket, key, form, size_bytes, etag, place.upload_id)

    def _check_manifest(self, bucket: str, key: str, form: str, etag: str) -> None:
        """Raise ManifestInvalidError if the first bytes of a manifest contain no line with a track."""
        beginning_range = f"bytes=0-{2 * MAX_LINE_BYTES - 1}"
        opened = self.prompt_storage.open(key, bucket=bucket, byte_range=beginning_range, etag=etag)
        beginning = b"".join(opened.chunks())
        first = next(iter(read_lines(_lines(beginning), form)), None)
        if first is None:
            raise ManifestInvalidError("The manifest has no line with a track.")

    def check_options(self, wanted: BatchSubmission) -> None:
        """Check the options that concern every item.

        Raises FieldsInvalidError, WorkersUnavailableError, ExportRefusedError.
        """
        try:
            choice = self.catalog.choose(wanted.defaults)
            plan_chain(self.catalog, wanted.defaults, choice.engine)
        except FieldsInvalidError as error:
            raise FieldsInvalidError([_prefixed("defaults", e) for e in error.errors]) from error
        if wanted.export:
            check_export_bucket(self.settings, wanted.export.bucket)


def _prefixed(name: str, error: Mapping[str, Any]) -> dict[str, Any]:
    return {**error, "field": f"{name}.{error['field']}"}


def _lines(beginning: bytes) -> Iterable[bytes]:
    yield beginning
