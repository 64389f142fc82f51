"""The embedded SeaweedFS, an S3 server: its options, its keys, and the check that it answers.

`weed mini` is one process with five servers. stemqueue uses only the S3 server; the others are closed to all other
clients (storage_security.py).
"""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from deploy.local.private_files import Credentials, make_private_folder, write_private_file
from deploy.local.processes import Service
from deploy.local.servers.storage_security import write_security_configuration

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The S3 server uses the configured port; the filer, volume, master and admin servers use the next four. Each has a gRPC
# port 10000 above its own, which `weed mini` does not let us choose.
PORT_OFFSETS = (0, 1, 2, 3, 4, 10_000, 10_001, 10_002, 10_003, 10_004)

# The banner and the log lines of level info; warnings, errors and panics are logged.
_NOISE = re.compile(r"I\d{4} |  |[╔║╚]|$")

# Above this, Go's garbage collector works harder. With 192 MiB a 200 MB upload took 9.4 s, with 512 MiB 5.4 s.
_MEMORY_GOAL = "512MiB"

# The object that is written and deleted to check that the storage accepts objects.
_TRIAL_KEY = "starting"

# All options that differ from the defaults are given at each start: `weed mini` saves options in its folder but does
# not apply them reliably at the next start, and by default it listens on all addresses.
_OPTIONS = (
    "-dir=.",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-disableHttp",  # otherwise the filer serves every object to everyone
    "-admin.ui=false",  # the admin page would need a password
    "-master.telemetry=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.config=s3.json",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.localSocket=s3.sock",  # the default is in /tmp
    "-filer.localSocket=filer.sock",
    # A download holds 256 blocks in memory: at 4 MB, the default, two slow readers took more than 1 GB.
    "-filer.maxMB=1",
)


def storage_url(*, port: int) -> str:
    """Return the URL of the embedded S3 server."""
    return f"http://127.0.0.1:{port}"


def sockets_of_others(port: int) -> list[Path]:
    """Return the sockets of SeaweedFS for this port that belong to another user, and so prevent its start."""
    parts = ("s3", "filer", "volume", "master", "admin")
    # SeaweedFS chooses these names. Only its user can remove the sockets that a killed server left.
    sockets = [Path(f"/tmp/seaweedfs-{part}-grpc-{port + 10_000 + n}.sock") for n, part in enumerate(parts)]  # noqa: S108
    ours = os.geteuid()
    return [s for s in sockets if ours != 0 and os.path.lexists(s) and s.lstat().st_uid != ours]


def seaweedfs_service(
    *,
    folder: Path,
    port: int,
    bucket: str,
    credentials: Credentials,
    allowed_origin: str,
    source_buckets: Sequence[str] = (),
    export_buckets: Sequence[str] = (),
) -> Service:
    """Write the keys into the folder, which also contains the objects, and return the service.

    `allowed_origin` is the one web origin whose pages may send requests. The API's key may read all buckets, and write
    to `bucket` and `export_buckets`.
    """
    make_private_folder(folder)
    buckets = list(dict.fromkeys([bucket, *source_buckets, *export_buckets]))
    identities = _identities(credentials, read=buckets, write=[bucket, *export_buckets])
    write_private_file(folder / "s3.json", dumps(identities, indent=2))
    write_security_configuration(folder)
    (folder / "mini.options").unlink(missing_ok=True)  # the saved options of an earlier run
    options = (
        f"-s3.port={port}",
        f"-filer.port={port + 1}",
        f"-volume.port={port + 2}",
        f"-master.port={port + 3}",
        f"-admin.port={port + 4}",
        f"-s3.allowedOrigins={allowed_origin}",
        f"-bucket={','.join(buckets)}",
    )
    client = _client(port, credentials)
    weed = Path(sysconfig.get_path("scripts")) / "weed"
    return Service(
        name="storage",
        command=(str(weed), "-logtostderr=true", "-v=-1", "mini", *_OPTIONS, *options),
        folder=folder,
        environment={"GOMEMLIMIT": _MEMORY_GOAL, "HOME": str(folder)},
        answers=lambda: _accepts_objects(client, bucket),
        start_seconds=60,
        stop_seconds=8,  # it takes 2
        is_noise=lambda line: bool(_NOISE.match(line)),
    )


def _identities(credentials: Credentials, *, read: Sequence[str], write: Sequence[str]) -> dict[str, Any]:
    """Return the keys' configuration: one key of API and worker for their buckets, one of an administrator for all."""

    def identity(name: str, access_key: str, secret_key: str, actions: list[str]) -> dict[str, Any]:
        keys = [{"accessKey": access_key, "secretKey": secret_key}]
        return {"name": name, "credentials": keys, "actions": actions}

    return {
        "identities": [
            identity(
                "admin",
                credentials.storage_admin_access_key_id,
                credentials.storage_admin_secret_access_key,
                ["Admin", "Read", "List", "Tagging", "Write"],
            ),
            identity(
                "stems",
                credentials.storage_access_key_id,
                credentials.storage_secret_access_key,
                [f"{action}:{bucket}" for bucket in read for action in ("Read", "List")]
                + [f"{action}:{bucket}" for bucket in write for action in ("Write", "Tagging")],
            ),
        ]
    }


def _client(port: int, credentials: Credentials) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=storage_url(port=port),
        region_name="us-east-1",
        aws_access_key_id=credentials.storage_access_key_id,
        aws_secret_access_key=credentials.storage_secret_access_key,
        config=Config(
            s3={"addressing_style": "path"},
            connect_timeout=2,
            read_timeout=2,
            retries={"total_max_attempts": 1},
        ),
    )


def _accepts_objects(client: S3Client, bucket: str) -> bool:
    """Return whether an object can be written. The volume server, which has all objects, starts after the S3 server."""
    try:
        client.put_object(Bucket=bucket, Key=_TRIAL_KEY, Body=b"ready")
        client.delete_object(Bucket=bucket, Key=_TRIAL_KEY)
    except (BotoCoreError, ClientError):  # refused, or the bucket does not exist yet
        return False
    return True
