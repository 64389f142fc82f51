"""Creates files and folders that only their owner can read, and keeps the servers' credentials in such a file."""

from __future__ import annotations

import os
import secrets
from dataclasses import asdict, dataclass
from json import dumps, loads
from pathlib import Path


@dataclass(frozen=True)
class Credentials:
    """The passwords and keys of the embedded servers."""

    redis_password: str
    storage_admin_access_key_id: str
    storage_admin_secret_access_key: str
    storage_access_key_id: str
    storage_secret_access_key: str

    @classmethod
    def random(cls) -> Credentials:
        """Return new credentials; each secret has 192 random bits."""
        return cls(
            redis_password=secrets.token_hex(24),
            storage_admin_access_key_id="admin" + secrets.token_hex(8),
            storage_admin_secret_access_key=secrets.token_hex(24),
            storage_access_key_id="stems" + secrets.token_hex(8),
            storage_secret_access_key=secrets.token_hex(24),
        )


def make_private_folder(folder: Path) -> Path:
    """Create the folder if it does not exist, set its mode to 0700, and return it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    return folder


def write_private_file(file: Path, text: str) -> None:
    """Replace the file atomically. Other users can never read it, not even while it is written."""
    new = file.with_name(f".{file.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        stream.write(text)
    new.replace(file)


def load_or_make_credentials(file: Path) -> Credentials:
    """Return the credentials in the file; create them if it does not exist."""
    if not file.exists():
        write_private_file(file, dumps(asdict(Credentials.random()), indent=2) + "\n")
    return Credentials(**loads(file.read_text(encoding="utf-8")))
