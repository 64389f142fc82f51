"""Reads a local manifest: JSON lines or CSV, one track per line, each with its own options and metadata.

The server parses manifests with the same code (shared/batches/manifest_format.py). An invalid line becomes an item with
an error and does not affect the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from api.client.catalog.tracks.fields import read_item
from api.client.catalog.tracks.items import CatalogItem, SourceError
from shared.batches.manifest_format import read_lines
from shared.errors import ManifestInvalidError

ENDINGS = (".jsonl", ".ndjson", ".csv")

_BLOCK_BYTES = 65_536


def read_manifest(file: Path) -> Iterator[CatalogItem]:
    """Yield the items of a manifest, including invalid lines. Raises SourceError, OSError."""
    seen: Counter[str] = Counter()
    form = "csv" if file.suffix.lower() == ".csv" else "jsonl"
    try:
        for line in read_lines(_blocks(file), form, has_paths=True):
            item = read_item(line, file.parent)
            seen[item.ident] += 1
            # Two equal lines are two tracks, so the second needs an id of its own.
            ident = item.ident if seen[item.ident] == 1 else f"{item.ident}#{seen[item.ident]}"
            yield replace(item, ident=ident)
    except ManifestInvalidError as error:
        raise SourceError(f"{file.name}: {error}") from error


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            yield block
