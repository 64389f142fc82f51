"""The use case at the heart: store the mixture, create the job, put it in line.

Owns the order of these steps and what is taken back when one fails: a refused submission leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import structlog

from api.outgoing_http.exchange import check_url
from api.request_bodies.body_stream import Sink, refuse_beyond, store_body
from api.request_bodies.content_check import Checked
from api.submission.url_download import fetching
from shared.errors import (
    AudioEmptyError,
    FieldsInvalidError,
    LifeCycleError,
    SourceRefusedError,
    StemqueueError,
    StoreUnavailableError,
    TransientError,
)
from shared.jobs.model import Job, JobRequest, Source
from shared.jobs.options import JobOptions, clean_filename
from shared.jobs.store import JobStore, new_id
from shared.jobs.uploads import UploadStore
from shared.queue.dispatcher import JobQueue
from shared.queue.engine_catalog import EngineCatalog
from shared.settings import Settings, split_names
from shared.storage.object_storage import ObjectStorage, job_prefix, upload_key
from shared.storage.upload_stream import Stored

log = structlog.get_logger(__name__)


FORM_SECONDS = 900
"""How long a form for a direct upload works; raising it lets slow clients begin later, and leaked ones live longer."""


@dataclass(frozen=True)
class Sender:
    """On whose behalf a job is made; `request_id` ties it to the request in the logs."""

    owner: str
    request_id: str


class Submission:
    """Uploads and jobs as they come to be. Every method may raise StoreUnavailableError, StorageUnavailableError."""

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

    def demand_ready(self, sender: Sender, size_bytes: int) -> None:
        """Raise at once if Redis or storage is away, or has no room for so much of the sender's, before it is sent.

        Raises QuotaExceededError, StoreFullError.
        """
        self._store.ping()
        self._uploads.demand_room(sender.owner, size_bytes)
        self._prompt_storage.ping()

    def open_upload(self, upload_id: str, *, takes_text: bool = False) -> Sink:
        """Begin to store a mixture, unless its first bytes show that it is none: then it raises NotAudioError."""
        return Checked(self._storage.open_upload(upload_key(upload_id)), takes_text=takes_text)

    def keep_upload(self, sender: Sender, upload_id: str, filename: str, stored: Stored) -> None:
        """Record an upload that jobs may name later; it is removed once no job has used it for a day.

        Raises StorageQuotaError.
        """
        source = _source(upload_id, filename, stored)
        try:
            self._record_upload(sender, source, implicit=False)
        except StemqueueError:
            self.take_back(stored)
            raise

    def submit_stored(
        self, sender: Sender, options: JobOptions, upload_id: str, filename: str, stored: Stored, *, job_id: str
    ) -> Job:
        """Create a job with a mixture of its own, which goes when the job goes.

        Raises FieldsInvalidError, WorkersUnavailableError, QueueFullError, QueueDrainingError, QuotaExceededError.
        """
        source = _source(upload_id, filename, stored)
        try:
            request = self._request(sender, options, source)
            self._record_upload(sender, source, implicit=True)
        except StemqueueError:
            self.take_back(stored)
            raise
        try:
            job = self._enqueue(request, job_id)
        except LifeCycleError:
            self.take_back(stored)
            raise
        if job.request.source.upload_id != upload_id:
            # A repetition of a request whose answer got lost: the job has its mixture.
            self.take_back(stored)
        return job
        # With Redis away there may be a job or not: its mixture stays, and the collector removes what nobody uses.

    def submit_known(self, sender: Sender, options: JobOptions, upload_id: str, *, job_id: str) -> Job:
        """Create a job on an upload of the sender's. Raises SourceMissingError and what `submit_stored` raises."""
        fields = self._uploads.read(upload_id, sender.owner)
        size_bytes, etag = int(fields["size_bytes"]), fields["etag"]
        if not etag:
            # Sent straight to storage. The form works until it expires, so that the object may change: what is there
            # now is what the job gets.
            size_bytes, etag = self._prompt_storage.head(fields["key"])
        source = Source(
            key=fields["key"],
            filename=fields["filename"],
            size_bytes=size_bytes,
            sha256=fields["sha256"] or None,
            etag=etag,
            upload_id=upload_id,
        )
        return self._enqueue(self._request(sender, options, source), job_id)

    def submit_object(self, sender: Sender, options: JobOptions, bucket: str, key: str, *, job_id: str) -> Job:
        """Create a job on an object that somebody else put into storage, as it is now; it stays when the job goes.

        Raises SourceRefusedError, SourceMissingError, UploadTooLargeError and what `submit_stored` raises.
        """
        if bucket not in split_names(self._settings.s3_source_buckets):
            raise SourceRefusedError("This server takes no mixtures from that bucket.")
        size_bytes, etag = self._prompt_storage.head(key, bucket=bucket)
        refuse_beyond(self._settings.max_upload_bytes, size_bytes)
        if not size_bytes:
            raise AudioEmptyError("The object is empty.")
        source = Source(key, clean_filename(key), size_bytes, etag=etag, bucket=bucket)
        return self._enqueue(self._request(sender, options, source), job_id)

    def submit_url(self, sender: Sender, options: JobOptions, url: str, *, job_id: str) -> Job:
        """Fetch a URL and create a job with it as its mixture.

        Raises SourceRefusedError, UrlRefusedError, UrlUnreachableError, UploadTooLargeError, AudioEmptyError,
        NotAudioError and what `submit_stored` raises.
        """
        if not self._settings.url_sources:
            raise SourceRefusedError("This server fetches no URLs; send the file, or upload it first.")
        upload_id = new_upload_id()
        with fetching(url, self._settings) as fetched:
            self.demand_ready(sender, fetched.announced_bytes)
            stored = store_body(fetched.blocks, self.open_upload(upload_id))
        return self.submit_stored(sender, options, upload_id, fetched.filename, stored, job_id=job_id)

    def known_upload(self, sender: Sender, upload_id: str) -> dict[str, str]:
        """Return what is known of an upload of the sender's. Raises SourceMissingError."""
        return self._uploads.read(upload_id, sender.owner)

    def form_for(self, upload_id: str, size_bytes: int) -> tuple[str, dict[str, str]]:
        """Return the address and the fields of a form by which a client sends an upload to storage itself."""
        return self._storage.signed_form(upload_key(upload_id), max_bytes=size_bytes, seconds=FORM_SECONDS)

    def expect_upload(self, sender: Sender, filename: str, size_bytes: int) -> str:
        """Return the id of an upload that the client sends to storage itself.

        Raises UploadTooLargeError, QuotaExceededError, StoreFullError.
        """
        refuse_beyond(self._settings.max_upload_bytes, size_bytes)
        upload_id = new_upload_id()
        source = Source(upload_key(upload_id), filename, size_bytes, upload_id=upload_id)
        self._record_upload(sender, source, implicit=False)
        return upload_id

    def take_back(self, stored: Stored) -> None:
        """Remove a mixture that no job will use; what cannot be removed now is the collector's."""
        if not stored.key:
            # It was only compared with one that was stored before.
            return
        try:
            self._storage.delete([stored.key])
            self._uploads.drop(stored.key.removeprefix(upload_key("")))
        except StemqueueError as error:
            log.warning("upload left for the collector", key=stored.key, error=error.message)

    def remove(self, job_id: str) -> None:
        """Forget an ended job and remove its objects. Raises JobNotFoundError, IllegalTransitionError."""
        deletion = self._store.delete(job_id)
        try:
            self._storage.delete_below(job_prefix(job_id))
            if deletion.source_key:
                self._storage.delete([deletion.source_key])
            self._store.deletion_done(deletion)
        except TransientError as error:
            # The record is gone and a tombstone stands: the collector finishes this.
            log.warning("objects left for the collector", job=job_id, error=error.message)

    def dispatch(self) -> None:
        """Have waiting jobs published; should that fail, workers do it on their next tick."""
        try:
            self._queue.dispatch()
        except StoreUnavailableError as error:
            log.warning("job accepted but not published yet", error=error.message)

    def _enqueue(self, request: JobRequest, job_id: str) -> Job:
        job = self._store.submit(request, job_id=job_id)
        self.dispatch()
        log.info("job accepted", job=job.id, engine=request.engine, size_bytes=request.source.size_bytes)
        return job

    def _request(self, sender: Sender, options: JobOptions, source: Source) -> JobRequest:
        stems = tuple(options.stems) if options.stems else None
        choice = self._catalog.choose(
            engine=options.engine, preset=options.preset, parameters=options.parameters, stems=stems
        )
        excerpt = options.excerpt
        return JobRequest(
            source=source,
            engine=choice.engine,
            preset=choice.preset,
            parameters=options.parameters,
            stems=stems,
            format=options.format,
            format_options=options.format_options.model_dump(exclude_none=True),
            excerpt_start_seconds=excerpt.start_seconds if excerpt else None,
            excerpt_duration_seconds=excerpt.duration_seconds if excerpt else None,
            priority=options.priority,
            owner=sender.owner,
            metadata=options.metadata,
            webhook_url=self._webhook_url(options),
            request_id=sender.request_id,
            no_cache=options.no_cache,
        )

    def _webhook_url(self, options: JobOptions) -> str | None:
        if options.webhook_url is None:
            return None
        if not self._settings.webhook_secrets:
            raise FieldsInvalidError([{"field": "webhook_url", "message": "this server sends no webhooks"}])
        return check_url(options.webhook_url)

    def _record_upload(self, sender: Sender, source: Source, *, implicit: bool) -> None:
        assert source.upload_id is not None  # noqa: S101 - `_source` set it
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
    """Return an id that cannot be guessed; the object's key comes from it alone, never from a file's name."""
    return new_id()
