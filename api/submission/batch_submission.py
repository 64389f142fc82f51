"""The use case of a batch: see that its manifest is there and its defaults make sense, write down what is asked, go.

Reads no manifest: a worker does (worker/batches/manifest_reader.py), so that 100,000 lines are taken as fast as one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from api.contract.batch_requests import BatchSubmission, ManifestWish
from api.outgoing_http.exchange import check_url
from api.submission.job_submission import Sender
from shared.batches.actions import BatchActions
from shared.batches.manifest_format import MAX_LINE_BYTES, read_lines
from shared.batches.model import Batch, BatchRequest, Export, Manifest
from shared.batches.store import BatchStore
from shared.batches.stored_items import LINES, document_key, manifest_key
from shared.errors import ExportRefusedError, FieldsInvalidError, ManifestInvalidError, SourceRefusedError
from shared.jobs.uploads import UploadStore
from shared.queue.engine_catalog import EngineCatalog
from shared.settings import Settings, split_names
from shared.storage.object_storage import ObjectStorage

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class BatchSubmissions:
    """Batches as they come to be. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    settings: Settings
    uploads: UploadStore
    batches: BatchStore
    changes: BatchActions
    prompt_storage: ObjectStorage
    storage: ObjectStorage
    catalog: EngineCatalog

    def submit(self, sender: Sender, wanted: BatchSubmission, *, batch_id: str) -> Batch:
        """Accept a batch.

        Raises FieldsInvalidError, WorkersUnavailableError, SourceRefusedError, ExportRefusedError, SourceMissingError,
        ManifestInvalidError, RecordsQuotaError, StoreFullError.
        """
        self.check(wanted)
        self.batches.demand_room(sender.owner)
        manifest = self._keep_list(wanted.items, batch_id) if wanted.items is not None else self.place(sender, wanted)
        export = wanted.export
        request = BatchRequest(
            manifest=manifest,
            owner=sender.owner,
            name=wanted.name,
            priority=wanted.priority,
            defaults=wanted.defaults.model_dump(mode="json", exclude_unset=True),
            webhook_url=self._webhook_url(wanted),
            export=Export(export.bucket, export.prefix, export.template) if export else None,
            request_id=sender.request_id,
        )
        # Storage first: what Redis knows can then be made again from there.
        self.storage.put_bytes(request.to_json().encode(), document_key(batch_id), "application/json")
        batch = self.batches.create(batch_id, request)
        log.info("batch accepted", batch=batch_id, manifest=manifest.format)
        return batch

    def place(self, sender: Sender, wanted: BatchSubmission) -> Manifest:
        """Return where a batch's list lies that did not come with the submission."""
        if wanted.prefix is not None:
            self._demand_bucket(wanted.prefix.bucket)
            return Manifest(wanted.prefix.bucket, wanted.prefix.prefix, "prefix")
        assert wanted.manifest is not None  # noqa: S101 - one of the three was given
        return self._manifest_object(sender, wanted, wanted.manifest)

    def _keep_list(self, items: Iterable[Mapping[str, Any]], batch_id: str) -> Manifest:
        content = b"".join(json.dumps(item).encode() + b"\n" for item in items)
        stored = self.storage.put_bytes(content, manifest_key(batch_id), LINES)
        return Manifest(None, stored.key, "jsonl", stored.size_bytes, stored.etag)

    def rerun(self, batch: Batch) -> Batch:
        """Have the items done again that another version of their engine made than workers have now.

        Workers look for them. Raises BatchStateError where it is known that there are none.
        """
        now = {name: str(description["version"]) for name, description in self.catalog.descriptions().items()}
        return self.changes.rerun(batch.id, now)

    def remove(self, batch_id: str) -> None:
        """Forget an ended batch. Raises BatchNotFoundError, BatchStateError."""
        self.changes.delete(batch_id)

    def _manifest_object(self, sender: Sender, wanted: BatchSubmission, place: ManifestWish) -> Manifest:
        if place.s3:
            self._demand_bucket(place.s3.bucket)
            bucket, key, filename = place.s3.bucket, place.s3.key, place.s3.key
        else:
            fields = self.uploads.read(place.upload_id or "", sender.owner)
            bucket, key, filename = self.storage.bucket, fields["key"], fields["filename"]
        size_bytes, etag = self.prompt_storage.head(key, bucket=bucket)
        form = wanted.manifest_format or ("csv" if filename.lower().endswith((".csv", ".csv.txt")) else "jsonl")
        self._demand_text(bucket, key, form, etag)
        return Manifest(bucket, key, form, size_bytes, etag, place.upload_id)

    def _demand_text(self, bucket: str, key: str, form: str, etag: str) -> None:
        """Raise ManifestInvalidError if the manifest does not even begin like one."""
        beginning_alone = f"bytes=0-{2 * MAX_LINE_BYTES - 1}"
        opened = self.prompt_storage.open(key, bucket=bucket, byte_range=beginning_alone, etag=etag)
        beginning = b"".join(opened.chunks())
        first = next(iter(read_lines(_lines(beginning), form)), None)
        if first is None:
            raise ManifestInvalidError("The manifest has no line that holds a track.")

    def _demand_bucket(self, bucket: str) -> None:
        if bucket not in split_names(self.settings.s3_source_buckets):
            raise SourceRefusedError("This server takes no mixtures from that bucket.")

    def check(self, wanted: BatchSubmission) -> None:
        """Raise FieldsInvalidError, WorkersUnavailableError or ExportRefusedError for what no item could do."""
        options = wanted.defaults
        try:
            self.catalog.choose(
                engine=options.engine,
                preset=options.preset,
                parameters=options.parameters,
                stems=tuple(options.stems) if options.stems else None,
            )
        except FieldsInvalidError as error:
            raise FieldsInvalidError([_below("defaults", e) for e in error.errors]) from error
        if wanted.export and wanted.export.bucket not in split_names(self.settings.export_buckets):
            raise ExportRefusedError("This server exports nothing to that bucket.")

    def _webhook_url(self, wanted: BatchSubmission) -> str | None:
        if wanted.webhook_url is None:
            return None
        if not self.settings.webhook_secrets:
            raise FieldsInvalidError([{"field": "webhook_url", "message": "this server sends no webhooks"}])
        return check_url(wanted.webhook_url)


def _below(name: str, error: Mapping[str, Any]) -> dict[str, Any]:
    return {**error, "field": f"{name}.{error['field']}"}


def _lines(beginning: bytes) -> Iterable[bytes]:
    yield beginning
