"""Manifests on this machine: JSON lines or CSV, one track a line, with options and metadata of its own.

The server reads manifests with the same code, shared/batches/manifest_format.py. A line that cannot be read becomes an
item with an error and does not affect the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from api.client.catalog.tracks.fields import read_item
from api.client.catalog.tracks.items import Item, SourceError
from shared.batches.manifest_format import read_lines
from shared.errors import ManifestInvalidError

ENDINGS = (".jsonl", ".ndjson", ".csv")

_BLOCK_BYTES = 65_536


def read_manifest(file: Path) -> Iterator[Item]:
    """Yield the items of a manifest, bad lines among them. Raises SourceError, OSError."""
    seen: Counter[str] = Counter()
    form = "csv" if file.suffix.lower() == ".csv" else "jsonl"
    try:
        for line in read_lines(_blocks(file), form, has_paths=True):
            item = read_item(line, file.parent)
            seen[item.ident] += 1
            # The same line twice is two tracks, and stays the same two.
            ident = item.ident if seen[item.ident] == 1 else f"{item.ident}#{seen[item.ident]}"
            yield replace(item, ident=ident)
    except ManifestInvalidError as error:
        raise SourceError(f"{file.name}: {error}") from error


def _blocks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while block := opened.read(_BLOCK_BYTES):
            yield block
