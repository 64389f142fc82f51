"""Creates, reads and deletes the uploads' records in Redis: who owns an upload, and whether a job still uses it.

The scripts that submit and delete jobs also count the uses of uploads, so no upload is deleted while a job needs it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import redis

from shared.errors import SourceMissingError
from shared.jobs.limits import Admission
from shared.redis_client.connection import connect, guarded
from shared.redis_client.scripts import Scripts
from shared.settings import Settings


class UploadStore:
    """The uploads' records. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, client: redis.Redis | None = None) -> None:
        self._redis = client or connect(settings)
        self._prefix = settings.redis_prefix
        self._scripts = Scripts(self._redis, settings.redis_prefix)
        self._max_bytes = settings.max_stored_bytes_per_owner
        self._admission = Admission(settings, self._redis)

    def add(self, upload_id: str, fields: dict[str, str]) -> None:
        """Record a finished upload. With `implicit` = "1", it is deleted with its first job.

        Raises StorageQuotaError, RecordsQuotaError, StoreFullError.
        """
        flat = [part for field in fields.items() for part in field]
        answer = self._scripts.run(
            "uploads/add",
            upload_id=upload_id,
            owner=fields["owner"],
            size_bytes=fields["size_bytes"],
            max_owner_stored_bytes=self._max_bytes,
            fields=flat,
            **self._admission.record_limits(),
        )
        self._admission.raise_if_refused(answer)

    def require_upload_room(self, owner: str, size_bytes: int) -> None:
        """Raise as `add` does if an upload of this size would be refused, before the client sends it."""
        self._admission.require_record_room(owner)
        if self._max_bytes:
            stored = guarded(lambda: self._redis.hget(f"{self._prefix}usage:{owner}", "bytes"))
            if int(cast("str | None", stored) or 0) + size_bytes > self._max_bytes:
                self._admission.raise_if_refused("no_room")

    def read_upload(self, upload_id: str, owner: str) -> dict[str, str]:
        """Return the fields of an owner's upload. Raises SourceMissingError, also for another owner's upload."""
        fields = cast("dict[str, str]", guarded(lambda: self._redis.hgetall(f"{self._prefix}upload:{upload_id}")))
        if fields.get("owner") != owner:
            raise SourceMissingError("There is no such upload.")
        return fields

    def read_uploads(self, upload_ids: Sequence[str]) -> dict[str, dict[str, str]]:
        """Return the fields of the uploads that exist, of any owner."""
        pipeline = self._redis.pipeline(transaction=False)
        for upload_id in upload_ids:
            pipeline.hgetall(f"{self._prefix}upload:{upload_id}")
        found = cast("list[dict[str, str]]", guarded(pipeline.execute))
        return {i: fields for i, fields in zip(upload_ids, found, strict=True) if fields}

    def drop(self, upload_id: str) -> None:
        """Delete the record of an upload that no job uses and whose object was deleted."""
        self._scripts.run("uploads/drop", upload_id=upload_id)

    def take_abandoned(self, age_seconds: float) -> list[str]:
        """Delete the records of uploads that no job used for `age_seconds`; return the keys of their objects."""
        return cast("list[str]", self._scripts.run("uploads/take_abandoned", age_ms=int(age_seconds * 1000)))

    def recorded_ids(self, upload_ids: Sequence[str]) -> set[str]:
        """Return the uploads that have a record."""
        pipeline = self._redis.pipeline(transaction=False)
        for upload_id in upload_ids:
            pipeline.exists(f"{self._prefix}upload:{upload_id}")
        return {i for i, known in zip(upload_ids, guarded(pipeline.execute), strict=True) if known}
