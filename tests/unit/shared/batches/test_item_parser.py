"""A parser remembers how options were checked, and keeps nothing else of the lines that it has read."""

from __future__ import annotations

import gc
import weakref
from typing import Any, cast

import pytest

from shared.batches.item_parser import CACHED_CHOICES, ItemParser
from shared.batches.manifest_format import ManifestLine
from shared.batches.model import BatchRequest, Manifest
from shared.errors import FieldsInvalidError
from shared.jobs.options import ItemOptions
from shared.jobs.uploads import UploadStore
from shared.queue.engine_catalog import Choice, EngineCatalog
from shared.settings import Settings

UPLOAD = "0" * 32


class StubCatalog:
    """A stub: one engine, which no worker describes. Counts the checks."""

    checks = 0

    def choose(self, options: ItemOptions) -> Choice:
        self.checks += 1
        if options.engine == "nonesuch":
            raise FieldsInvalidError([{"field": "engine", "message": "is unknown"}])
        return Choice("unet", "standard")

    def descriptions(self) -> dict[str, Any]:
        return {}


class StubUploads:
    """A stub: every upload exists."""

    def read_uploads(self, upload_ids: list[str]) -> dict[str, dict[str, str]]:
        fields = {"owner": "anna", "key": "k", "filename": "a.wav", "size_bytes": "1", "sha256": "", "etag": ""}
        return dict.fromkeys(upload_ids, fields)


@pytest.fixture
def parser() -> ItemParser:
    request = BatchRequest(Manifest(None, "", "jsonl"), "anna", defaults={})
    return ItemParser(Settings(), cast(UploadStore, StubUploads()), cast(EngineCatalog, StubCatalog()), request)


def line(number: int, **options: Any) -> ManifestLine:
    return ManifestLine(number, 0, values={"source": {"upload_id": UPLOAD}, **options})


def test_lines_that_differ_in_all_options_fill_no_memory(parser: ItemParser) -> None:
    for number in range(3 * CACHED_CHOICES):
        parser.parse([line(number, then=[{"from": "vocals", "metadata": {"n": number}}])], 1)
    assert len(parser._choices) == CACHED_CHOICES


@pytest.mark.parametrize("engine", ["unet", "nonesuch"])
def test_a_line_is_forgotten_also_if_it_is_invalid(parser: ItemParser, engine: str) -> None:
    lines = [line(number, engine=engine) for number in range(5)]
    seen = [weakref.ref(each) for each in lines]
    items = parser.parse(lines, 1)
    assert [bool(item.error) for item in items] == [engine == "nonesuch"] * 5
    assert cast(Any, parser)._catalog.checks == 1
    del lines
    gc.collect()
    assert [each() for each in seen] == [None] * 5
