"""Gets the files of a model: from the addresses that publish them, or from local files.

They stay in MODEL_FOLDER, so that a model can be built again after an upgrade without a network.
"""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from worker.model_setup.catalog.digests import Checked, WrongDigestError, check_digest
from worker.model_setup.catalog.download import ModelDownloadError, download
from worker.model_setup.catalog.known_models import Edition, KnownModel, PublishedFile
from worker.model_setup.errors import ModelSetupError

ROOM = 4.0
"""How much of the disk must be free, as a multiple of the files: what is built of half precision is in single."""

MAX_FILE_BYTES = 1_000_000_000
"""The largest local file that is accepted, in bytes."""

OnProgress = Callable[[str, int, int], None]
"""Called with a file's name, how many bytes of it there are, and how many it has."""

Say = Callable[[str], object]
"""Prints a sentence for the person at the terminal."""


@dataclass(frozen=True)
class Fetched:
    """The files of a model, in the order that its family wants, and where each came from."""

    files: tuple[Checked, ...]
    origins: tuple[str, ...]


def fetch_model(model: KnownModel, folder: Path, on_progress: OnProgress, say: Say) -> Fetched:
    """Download the first edition of a model that can be had into a folder. A file that is there is not fetched again.

    Raises ModelSetupError with one sentence if there is none, OSError if the disk does not take it.
    """
    failures: list[str] = []
    for edition in model.editions:
        _demand_room(edition.size_bytes, folder)
        try:
            found = [_fetch_file(file, folder, on_progress, say) for file in edition.files]
        except ModelDownloadError as error:
            failures.append(str(error))
        else:
            return Fetched(tuple(checked for checked, _ in found), tuple(address for _, address in found))
    kept = "; the downloaded part is kept, and the next add continues it" if any(folder.iterdir()) else ""
    raise ModelSetupError(f"{model.name} cannot be downloaded: {'; '.join(failures)}{kept}.")


def _fetch_file(file: PublishedFile, folder: Path, on_progress: OnProgress, say: Say) -> tuple[Checked, str]:
    """Return a downloaded file and its address. Raises ModelDownloadError if no address gives the published file."""
    part = folder / file.name
    reasons = []
    for address in file.addresses:
        host = urlsplit(address).hostname
        for _ in range(2):
            try:
                was_continued = download(
                    address, part, file.size_bytes, lambda have: on_progress(file.name, have, file.size_bytes)
                )
                return check_digest(part, file), address
            except WrongDigestError:
                part.unlink()
                reason = "what it sent is not the published file"
                if was_continued:
                    continue  # The first bytes may have come from elsewhere.
            except ModelDownloadError as error:
                reason = str(error)
            except OSError as error:
                _discard_if_full(part, error)
                raise
            break
        say(f"{host}: {reason}.")
        reasons.append(f"{host}: {reason}")
    raise ModelDownloadError(f"no address provides {file.name} ({', '.join(reasons)})")


def take_files(model: KnownModel, paths: Sequence[Path], folder: Path) -> Fetched:
    """Copy local files into a folder, in the order of the edition to which they belong.

    Raises ModelSetupError with one sentence if they are not the files of one edition, OSError if one cannot be read.
    """
    edition, found = _edition_of(model, paths)
    _demand_room(edition.size_bytes, folder)
    copies = []
    for file, checked in zip(edition.files, found, strict=True):
        copy_file(checked.path, folder / file.name)
        copies.append(check_digest(folder / file.name, file))
    return Fetched(tuple(copies), tuple("a file that a user provided" for _ in copies))


def _edition_of(model: KnownModel, paths: Sequence[Path]) -> tuple[Edition, list[Checked]]:
    """Return which edition files are, and them in its order. Raises WrongDigestError if they are none, OSError."""
    for edition in model.editions:
        if len(edition.files) == len(paths) and (in_order := _match(edition.files, paths)):
            return edition, in_order
    if len(paths) == len(model.editions) == len(model.editions[0].files) == 1:
        check_digest(paths[0], model.editions[0].files[0])
    wanted = " or ".join(" + ".join(file.name for file in edition.files) for edition in model.editions)
    names = ", ".join(path.name for path in paths)
    raise WrongDigestError(f"{names}: not the published files of {model.name}, which are {wanted}.")


def copy_file(path: Path, copy: Path) -> None:
    """Copy a file, wholly or not at all. Raises ModelSetupError if it is too large, or no file, OSError."""
    if not path.is_file() or path.stat().st_size > MAX_FILE_BYTES:
        raise ModelSetupError(f"{path.name} is not a plain file of at most {MAX_FILE_BYTES / 1e9:g} GB.")
    if copy.exists() and copy.samefile(path):
        return
    try:
        shutil.copyfile(path, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise


def find_model_of(paths: Sequence[Path], models: Mapping[str, KnownModel]) -> KnownModel:
    """Return the known model that files belong to. Raises ModelSetupError, OSError."""
    for model in models.values():
        try:
            _edition_of(model, paths)
        except WrongDigestError:
            continue
        return model
    raise ModelSetupError(
        f"{', '.join(path.name for path in paths)}: not the files of a known model. "
        "For another MDX-Net give --family mdx, --name NAME and --parameters FILE.json."
    )


def _match(files: Sequence[PublishedFile], paths: Sequence[Path]) -> list[Checked] | None:
    found = []
    for file in files:
        for path in paths:
            try:
                found.append(check_digest(path, file))
                break
            except WrongDigestError:
                continue
        else:
            return None
    return found


def _demand_room(size_bytes: int, folder: Path) -> None:
    have = sum(file.stat().st_size for file in folder.iterdir())
    free, needed = shutil.disk_usage(folder).free, int(ROOM * size_bytes) - have
    if free < needed:
        raise ModelSetupError(
            f"The disk of {folder} has {free / 1e6:.0f} MB free, and {needed / 1e6:.0f} MB are needed."
        )


def _discard_if_full(part: Path, error: OSError) -> None:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        part.unlink(missing_ok=True)
