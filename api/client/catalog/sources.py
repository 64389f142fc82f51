"""Which tracks a catalog has: the songs below a folder, the lines of a manifest, or what a bucket's prefix holds."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.client.catalog import manifest
from api.client.catalog.items import Item, SourceError, sendable
from shared.audio_names import left_out_because, without_audio_extension
from shared.batches.manifest_fields import split_s3

STATE_FOLDER = ".stemqueue"
"""Where a run keeps its state, below its output folder."""


@dataclass(frozen=True)
class Source:
    """A catalog: `location` says where, in one form each time; exactly one of the others is set."""

    location: str
    folder: Path | None = None
    manifest: Path | None = None
    prefix: tuple[str, str] | None = None

    def items(self, *, besides: Path) -> Iterator[Item]:
        """Yield the tracks that are known here; of a prefix the server knows them. `besides` is no part of it.

        Raises SourceError, OSError.
        """
        if self.folder:
            yield from _songs_below(self.folder, besides)
        elif self.manifest:
            yield from manifest.read_manifest(self.manifest)

    def demand_songs(self, *, besides: Path) -> None:
        """Raise SourceError where there are none; of a prefix that shows later."""
        if not self.prefix and next(self.items(besides=besides), None) is None:
            raise no_songs(self.location)


def no_songs(location: str) -> SourceError:
    """Return what is said of a catalog without a track."""
    return SourceError(f"There are no songs in {location}.")


def find_source(named: str) -> Source:
    """Return what an argument names. Raises SourceError."""
    if named.startswith("s3://"):
        try:
            return Source(named, prefix=split_s3(named))
        except ValueError as error:
            raise SourceError(str(error)) from error
    path = Path(named)
    if path.is_dir():
        return Source(str(path.resolve()), folder=path.resolve())
    if path.is_file():
        if path.suffix.lower() not in manifest.ENDINGS:
            raise SourceError(
                f"{named} is neither a folder nor a manifest; manifests end in {', '.join(manifest.ENDINGS)}"
            )
        return Source(str(path.resolve()), manifest=path.resolve())
    raise SourceError(f"There is no folder, manifest or s3:// address {named!r}.")


def _songs_below(folder: Path, besides: Path) -> Iterator[Item]:
    tracks: Counter[str] = Counter()
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(parent)
        # Stems of a run are no songs of the next one.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and (here / name).resolve() != besides.resolve()
            and not (here / name / STATE_FOLDER).is_dir()
        )
        for name in sorted(files):
            path = here / name
            # A link that leads nowhere is a song that cannot be read, and told as one; pipes and sockets are none.
            if left_out_because(name) or (path.exists() and not path.is_file()):
                continue
            below = path.relative_to(folder)
            track = sendable(without_audio_extension(below.as_posix()))
            tracks[track] += 1
            # song.flac and song.mp3 are two tracks.
            shown = track if tracks[track] == 1 else f"{track} ({path.suffix.removeprefix('.')})"
            yield Item(os.fsencode(below).hex(), shown, path=path)


def _refuse(error: OSError) -> None:
    raise error
