"""The digests of a file of weights: its SHA-256, and the MD5 of its tail by which the field finds files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from worker.engines.model_folder import sha256_of
from worker.model_setup.catalog.known_models import PublishedFile
from worker.model_setup.errors import ModelSetupError

TAIL_BYTES = 10_240_000
"""How much of a file's end the digest of its tail covers; a smaller file is covered whole."""


class WrongDigestError(ModelSetupError):
    """A file is not the published one."""


@dataclass(frozen=True)
class Checked:
    """What was found out about a file: its SHA-256, and by which digest it was recognised (`sha256` or `tail_md5`)."""

    path: Path
    sha256: str
    by: str

    @property
    def note(self) -> str | None:
        """A sentence about a weak check, or None."""
        if self.by == "sha256":
            return None
        return (
            f"No SHA-256 of {self.path.name} could be confirmed; the MD5 of its last {TAIL_BYTES:,} bytes is the "
            f"published one. The SHA-256 seen is {self.sha256}."
        )


def tail_md5_of(path: Path) -> str:
    """Return the MD5 of a file's tail in hexadecimal. Raises OSError."""
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        # Not for security: the published lists have no other digest.
        return hashlib.md5(file.read(TAIL_BYTES), usedforsecurity=False).hexdigest()


def check_digest(path: Path, published: PublishedFile) -> Checked:
    """Return what a file was recognised by. Raises WrongDigestError if it is not the published one, OSError."""
    size = path.stat().st_size
    if size != published.size_bytes:
        raise WrongDigestError(
            f"{path.name} has {size:,} bytes, and the published {published.name} has {published.size_bytes:,}."
        )
    sha256 = sha256_of(path)
    if published.sha256:
        found, wanted, by = sha256, published.sha256, "sha256"
    else:
        found, wanted, by = tail_md5_of(path), str(published.tail_md5), "tail_md5"
    if found != wanted:
        kind = "SHA-256" if by == "sha256" else "MD5 of its tail"
        raise WrongDigestError(
            f"{path.name} is not the published {published.name}: its {kind} is {found}, not {wanted}."
        )
    return Checked(path, sha256, by)
