"""An export bucket that is away for days: each copy is still tried again every minute."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from shared.batches.model import Export
from shared.batches.stored_items import BatchObjects
from shared.settings import Settings
from shared.storage.object_storage import ObjectStorage
from tests.fixtures.ports import find_free
from worker.batches.exports import BatchExports, ExportPostponedError, ExportRetry


def test_an_export_is_postponed_however_often_it_was_tried() -> None:
    nobody = f"http://127.0.0.1:{find_free()}"
    storage = ObjectStorage(Settings(s3_endpoint_url=nobody, s3_access_key_id="a", s3_secret_access_key="b"))
    exports = BatchExports(storage, BatchObjects(storage), {"j": ExportRetry(tries=5000)})
    job: Any = SimpleNamespace(id="j", outputs=())
    batch: Any = SimpleNamespace(id="b")
    with pytest.raises(ExportPostponedError):
        exports.export_stems(Export("copies", "", "{track}"), batch, job, 0)
    assert exports._retries["j"].next_at > 0
