"""Lists the tracks of a catalog: the songs below a folder, or the lines of a manifest.

The server lists the objects below a bucket's prefix.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from api.client.catalog.tracks import manifest
from api.client.catalog.tracks.items import CatalogItem, SourceError, sendable
from shared.audio_names import left_out_because, without_audio_extension
from shared.batches.manifest_fields import split_s3

STATE_FOLDER = ".stemqueue"
"""The folder in the output folder that contains a run's state."""


@dataclass(frozen=True)
class CatalogSource:
    """The source of a catalog: exactly one of folder, manifest and prefix (bucket and prefix).

    `location` names it in a normal form, so that two runs can be compared.
    """

    location: str
    folder: Path | None = None
    manifest: Path | None = None
    prefix: tuple[str, str] | None = None

    def tracks(self, *, besides: Path) -> Iterator[CatalogItem]:
        """Yield the tracks, except songs below the folder `besides`; none for a prefix, which the server lists.

        Raises SourceError, OSError.
        """
        if self.folder:
            yield from _songs_below(self.folder, besides)
        elif self.manifest:
            yield from manifest.read_manifest(self.manifest)

    def demand_songs(self, *, besides: Path) -> None:
        """Raise SourceError if there are no songs. A prefix is not checked, since only the server can list it."""
        if not self.prefix and next(self.tracks(besides=besides), None) is None:
            raise no_songs_error(self.location)


def no_songs_error(location: str) -> SourceError:
    """Return the error for a catalog without tracks."""
    return SourceError(f"There are no songs in {location}.")


def find_source(named: str) -> CatalogSource:
    """Return the source that a command-line argument names. Raises SourceError."""
    if named.startswith("s3://"):
        try:
            return CatalogSource(named, prefix=split_s3(named))
        except ValueError as error:
            raise SourceError(str(error)) from error
    path = Path(named)
    if path.is_dir():
        return CatalogSource(str(path.resolve()), folder=path.resolve())
    if path.is_file():
        if path.suffix.lower() not in manifest.ENDINGS:
            raise SourceError(
                f"{named} is neither a folder nor a manifest; manifests end in {', '.join(manifest.ENDINGS)}"
            )
        return CatalogSource(str(path.resolve()), manifest=path.resolve())
    raise SourceError(f"There is no folder, manifest or s3:// address {named!r}.")


def _songs_below(folder: Path, besides: Path) -> Iterator[CatalogItem]:
    tracks: Counter[str] = Counter()
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(parent)
        # Skip the output folders of runs: stems are not songs to separate.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and (here / name).resolve() != besides.resolve()
            and not (here / name / STATE_FOLDER).is_dir()
        )
        for name in sorted(files):
            path = here / name
            # A dangling link is listed, so that it is reported as unreadable. Pipes and sockets are ignored.
            if left_out_because(name) or (path.exists() and not path.is_file()):
                continue
            below = path.relative_to(folder)
            track = sendable(without_audio_extension(below.as_posix()))
            tracks[track] += 1
            # song.flac and song.mp3 are two tracks, so the second name contains the extension.
            shown = track if tracks[track] == 1 else f"{track} ({path.suffix.removeprefix('.')})"
            yield CatalogItem(os.fsencode(below).hex(), shown, path=path)


def _refuse(error: OSError) -> None:
    raise error
