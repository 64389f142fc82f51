"""Accepts a job: stores its mixture, creates its record, puts it in the queue.

If a step fails, the steps before it are undone, so that a refused submission leaves nothing behind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import structlog

from api.contract.job_requests import MixSubmission
from api.request_bodies.body_stream import Sink, check_size, store_body
from api.request_bodies.content_check import AudioSink
from api.submission.allowed_places import check_webhook_url
from api.submission.mix_submission import mixing_request
from api.submission.url_download import open_url
from shared.errors import (
    AudioEmptyError,
    LifeCycleError,
    SourceRefusedError,
    StemqueueError,
    StoreUnavailableError,
    TransientError,
)
from shared.jobs.deletion import delete_job_objects
from shared.jobs.model import Job
from shared.jobs.options import JobOptions
from shared.jobs.output_source import output_source
from shared.jobs.request import JobRequest, Source
from shared.jobs.source_buckets import check_source_bucket
from shared.jobs.store import JobStore, new_id
from shared.jobs.uploads import UploadStore
from shared.parsing.file_names import clean_filename
from shared.queue.chains import Link, chain_of, plan_chain
from shared.queue.dispatcher import JobQueue
from shared.queue.engine_catalog import EngineCatalog
from shared.settings import Settings
from shared.storage.object_keys import upload_key
from shared.storage.object_storage import ObjectStorage
from shared.storage.upload_stream import Stored
from shared.telemetry import tracing

log = structlog.get_logger(__name__)


FORM_SECONDS = 900
"""How long the form of a direct upload is valid. Raising it gives slow clients more time, and leaked forms too."""


@dataclass(frozen=True)
class Sender:
    """The owner of what a request creates; `request_id` connects it with the request in the logs, `trace` in traces."""

    owner: str
    request_id: str
    trace: Mapping[str, str] = field(default_factory=dict)


class JobSubmitter:
    """Creates and deletes uploads and jobs. Every method may raise StoreUnavailableError, StorageUnavailableError."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        uploads: UploadStore,
        queue: JobQueue,
        *,
        storage: ObjectStorage,
        prompt_storage: ObjectStorage,
        catalog: EngineCatalog,
    ) -> None:
        self._settings = settings
        self._store = store
        self._uploads = uploads
        self._queue = queue
        self._storage = storage
        self._prompt_storage = prompt_storage
        self._catalog = catalog

    def check_ready(self, sender: Sender, size_bytes: int) -> None:
        """Check Redis, storage and the sender's quota before an upload of `size_bytes` is read.

        Raises QuotaExceededError, StoreFullError.
        """
        self._store.ping()
        self._uploads.require_upload_room(sender.owner, size_bytes)
        self._prompt_storage.ping()

    def open_upload(self, upload_id: str, *, takes_text: bool = False) -> Sink:
        """Return a sink that stores a mixture; writing to it raises NotAudioError if its first bytes are not audio."""
        return AudioSink(self._storage.open_upload(upload_key(upload_id)), takes_text=takes_text)

    def record_upload(self, sender: Sender, upload_id: str, filename: str, stored: Stored) -> None:
        """Record an upload that jobs can name later; it is deleted when no job has used it for a day.

        Raises StorageQuotaError.
        """
        source = _source(upload_id, filename, stored)
        try:
            self._record_upload(sender, source, implicit=False)
        except StemqueueError:
            self.discard_upload(stored)
            raise

    def submit_stored(
        self, sender: Sender, options: JobOptions, upload_id: str, filename: str, stored: Stored, *, job_id: str
    ) -> Job:
        """Create a job with a mixture of its own, which is deleted with the job.

        Raises FieldsInvalidError, WorkersUnavailableError, QueueFullError, QueueDrainingError, QuotaExceededError.
        """
        source = _source(upload_id, filename, stored)
        try:
            request, links = self._job_request(sender, options, source)
            self._record_upload(sender, source, implicit=True)
        except StemqueueError:
            self.discard_upload(stored)
            raise
        try:
            job = self._enqueue(request, job_id, links)
        except LifeCycleError:
            self.discard_upload(stored)
            raise
        if job.request.source.upload_id != upload_id:
            # The request is a repetition and its job exists, with the mixture of the first request.
            self.discard_upload(stored)
        # If Redis fails while the job is created, the job may exist. Its mixture is then left to garbage collection.
        return job

    def submit_upload(self, sender: Sender, options: JobOptions, upload_id: str, *, job_id: str) -> Job:
        """Create a job on an upload of the sender. Raises SourceMissingError and what `submit_stored` raises."""
        fields = self._uploads.read_upload(upload_id, sender.owner)
        size_bytes, etag = int(fields["size_bytes"]), fields["etag"]
        if not etag:
            # A direct upload. Its form may still replace the object until it expires; the job is tied to the object
            # that is there now.
            size_bytes, etag = self._prompt_storage.head(fields["key"])
        source = Source(
            key=fields["key"],
            filename=fields["filename"],
            size_bytes=size_bytes,
            sha256=fields["sha256"] or None,
            etag=etag,
            upload_id=upload_id,
        )
        return self._submit(sender, options, source, job_id)

    def submit_object(self, sender: Sender, options: JobOptions, bucket: str, key: str, *, job_id: str) -> Job:
        """Create a job on the current version of an object in an allowed bucket; it is not deleted with the job.

        Raises SourceRefusedError, SourceMissingError, UploadTooLargeError and what `submit_stored` raises.
        """
        check_source_bucket(self._settings, bucket)
        size_bytes, etag = self._prompt_storage.head(key, bucket=bucket)
        check_size(self._settings.max_upload_bytes, size_bytes)
        if not size_bytes:
            raise AudioEmptyError("The object is empty.")
        source = Source(key, clean_filename(key), size_bytes, etag=etag, bucket=bucket)
        return self._submit(sender, options, source, job_id)

    def submit_output(self, sender: Sender, options: JobOptions, job: Job, name: str, *, job_id: str) -> Job:
        """Create a job on a stem or mix of an ended job, which is kept until the new job has ended.

        Raises IllegalTransitionError, SourceMissingError and what `submit_stored` raises.
        """
        source = output_source(job, name, self._prompt_storage)
        return self._submit(sender, options, source, job_id)

    def submit_mixes(self, sender: Sender, job: Job, wanted: MixSubmission, *, job_id: str) -> Job:
        """Create a job that mixes the stems of an ended job, which are kept until it has ended.

        Raises IllegalTransitionError, StemsNotKeptError, SourceMissingError and what `submit_stored` raises.
        """
        url = check_webhook_url(self._settings, wanted.webhook_url)
        request = mixing_request(
            *(job, wanted, self._catalog, self._prompt_storage), webhook_url=url, request_id=sender.request_id
        )
        return self._enqueue(request, job_id)

    def submit_url(self, sender: Sender, options: JobOptions, url: str, *, job_id: str) -> Job:
        """Fetch a URL and create a job with it as its mixture.

        Raises SourceRefusedError, UrlRefusedError, UrlFetchError, UploadTooLargeError, AudioEmptyError,
        NotAudioError and what `submit_stored` raises.
        """
        if not self._settings.url_sources:
            raise SourceRefusedError("This server does not fetch URLs. Send the file or upload it first.")
        upload_id = new_upload_id()
        with open_url(url, self._settings) as download:
            self.check_ready(sender, download.announced_bytes)
            with tracing.span("download song"):
                stored = store_body(download.blocks, self.open_upload(upload_id))
        return self.submit_stored(sender, options, upload_id, download.filename, stored, job_id=job_id)

    def read_upload(self, sender: Sender, upload_id: str) -> dict[str, str]:
        """Return the record of an upload of the sender. Raises SourceMissingError."""
        return self._uploads.read_upload(upload_id, sender.owner)

    def signed_form(self, upload_id: str, size_bytes: int) -> tuple[str, dict[str, str]]:
        """Return the address and fields of a form with which a client sends a file straight to storage."""
        return self._storage.signed_form(upload_key(upload_id), max_bytes=size_bytes, seconds=FORM_SECONDS)

    def record_direct_upload(self, sender: Sender, filename: str, size_bytes: int) -> str:
        """Record a direct upload and return its id.

        Raises UploadTooLargeError, QuotaExceededError, StoreFullError.
        """
        check_size(self._settings.max_upload_bytes, size_bytes)
        upload_id = new_upload_id()
        source = Source(upload_key(upload_id), filename, size_bytes, upload_id=upload_id)
        self._record_upload(sender, source, implicit=False)
        return upload_id

    def discard_upload(self, stored: Stored) -> None:
        """Delete a stored mixture that no job will use. If that fails, it is left to garbage collection."""
        if not stored.key:
            # The body of a repetition was compared and not stored.
            return
        try:
            self._storage.delete([stored.key])
            self._uploads.drop(stored.key.removeprefix(upload_key("")))
        except StemqueueError as error:
            log.warning("upload left for garbage collection", key=stored.key, error=error.message)

    def delete_job(self, job_id: str) -> None:
        """Delete an ended job and its objects. Raises JobNotFoundError, IllegalTransitionError."""
        deletion = self._store.delete(job_id)
        try:
            delete_job_objects(self._store, self._storage, deletion)
        except TransientError as error:
            # The record is deleted and a tombstone is left, with which the garbage collector deletes the objects.
            log.warning("job objects left for garbage collection", job=job_id, error=error.message)

    def dispatch_jobs(self) -> None:
        """Publish waiting jobs to Celery. If that fails, workers do it within their next tick."""
        try:
            self._queue.dispatch()
        except StoreUnavailableError as error:
            log.warning("dispatch failed, left to the workers", error=error.message)

    def _submit(self, sender: Sender, options: JobOptions, source: Source, job_id: str) -> Job:
        request, links = self._job_request(sender, options, source)
        return self._enqueue(request, job_id, links)

    def _enqueue(self, request: JobRequest, job_id: str, links: Sequence[Link] = ()) -> Job:
        """Create a job, and the jobs that continue it."""
        with tracing.span("submit job", tracing.message_attributes(job_id, "send"), kind="producer"):
            request = replace(request, trace=tracing.headers(request.trace))
            request, followers = chain_of(request, links, [job_id, *(new_id() for _ in links)])
            job = self._store.submit(request, job_id=job_id, followers=followers)
            self.dispatch_jobs()
            log.info("job accepted", job=job.id, engine=request.engine, size_bytes=request.source.size_bytes)
        return job

    def _job_request(self, sender: Sender, options: JobOptions, source: Source) -> tuple[JobRequest, list[Link]]:
        """Return the request of a job, and the jobs that are to continue it."""
        choice = self._catalog.choose(options)
        links = plan_chain(self._catalog, options, choice.engine)
        request = JobRequest(
            **options.request_members(engine=choice.engine, preset=choice.preset),
            source=source,
            priority=options.priority,
            owner=sender.owner,
            webhook_url=check_webhook_url(self._settings, options.webhook_url),
            request_id=sender.request_id,
            trace=sender.trace,
        )
        return request, links

    def _record_upload(self, sender: Sender, source: Source, *, implicit: bool) -> None:
        assert source.upload_id is not None  # noqa: S101 - every caller sets it
        fields = {
            "key": source.key,
            "filename": source.filename,
            "size_bytes": str(source.size_bytes),
            "sha256": source.sha256 or "",
            "etag": source.etag or "",
            "owner": sender.owner,
            "implicit": "1" if implicit else "",
        }
        self._uploads.add(source.upload_id, fields)


def _source(upload_id: str, filename: str, stored: Stored) -> Source:
    return Source(stored.key, filename, stored.size_bytes, stored.sha256, stored.etag, upload_id)


def new_upload_id() -> str:
    """Return an id that cannot be guessed. The object's key is made of it alone, never of a file name."""
    return new_id()
