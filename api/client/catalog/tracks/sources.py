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
from api.client.catalog.tracks.left_out import LINK, SPECIAL, STEMS, LeftOutPath, count_files
from shared.audio.names import LeftOut, extension, is_system_folder, left_out_because, without_audio_extension
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

    def tracks(self, *, besides: Path, left_out: list[LeftOutPath] | None = None) -> Iterator[CatalogItem]:
        """Yield the tracks, except songs below the folder `besides`; none for a prefix, which the server lists.

        What a folder has besides them is added to `left_out`. Raises SourceError, OSError.
        """
        if self.folder:
            yield from _songs_below(self.folder, besides, [] if left_out is None else left_out)
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


def _songs_below(folder: Path, besides: Path, left_out: list[LeftOutPath]) -> Iterator[CatalogItem]:
    tracks: Counter[str] = Counter()
    for parent, folders, files in os.walk(folder, onerror=_refuse):
        here = Path(parent)
        # The run's own output is no part of the catalog, so it is not told either.
        searched = [name for name in sorted(folders) if (here / name).resolve() != besides.resolve()]
        unsearched = {name: reason for name in searched if (reason := _not_searched_because(here / name))}
        folders[:] = [name for name in searched if name not in unsearched]
        for name, reason in unsearched.items():
            below = sendable((here / name).relative_to(folder).as_posix())
            inside = count_files(str(here / name)) if reason == LeftOut.SYSTEM else 1
            left_out.append(LeftOutPath(f"{below}/", reason, inside))
        for name in sorted(files):
            path = here / name
            below_folder = path.relative_to(folder)
            # A dangling link is listed, so that it is reported as unreadable.
            is_special = path.exists() and not path.is_file()
            if reason := SPECIAL if is_special else left_out_because(name):
                left_out.append(LeftOutPath(sendable(below_folder.as_posix()), reason))
                continue
            track = sendable(without_audio_extension(below_folder.as_posix()))
            tracks[track] += 1
            # song.flac and song.mp3 are two tracks, so the second name contains the extension.
            shown = track if tracks[track] == 1 else f"{track} ({extension(name) or tracks[track]})"
            yield CatalogItem(os.fsencode(below_folder).hex(), shown, path=path)


def _not_searched_because(folder: Path) -> str | None:
    """Return why a folder is not searched for songs, or None."""
    if is_system_folder(folder.name):
        return LeftOut.SYSTEM
    if folder.is_symlink():
        return LINK
    # Stems are not songs to separate.
    return STEMS if folder.name == STATE_FOLDER or (folder / STATE_FOLDER).is_dir() else None


def _refuse(error: OSError) -> None:
    raise error
