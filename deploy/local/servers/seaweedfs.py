"""The embedded SeaweedFS, a server that speaks S3: its options, its keys, and whether it answers.

`weed mini` is one process with five servers in it. Only the S3 interface is for us; the others serve it, and nobody
else (storage_security.py).
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
from deploy.local.servers.storage_security import write_security

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# The S3 interface takes the port that is set; the filer, volume, master and admin servers the next four; and
# each has a gRPC port 10000 above its own, which `weed mini` takes for granted.
PORT_OFFSETS = (0, 1, 2, 3, 4, 10_000, 10_001, 10_002, 10_003, 10_004)

# Its banner, and lines of its log that only inform; warnings, errors and panics remain.
_NOISE = re.compile(r"I\d{4} |  |[╔║╚]|$")

# Go's collector works harder from here on. With 192 MiB a 200 MB upload took 9.4 s, with 512 MiB 5.4 s.
_MEMORY_GOAL = "512MiB"

# The object that is put and taken away again to see whether it takes any.
_TRIAL_KEY = "starting"

# All that differs from the defaults of `weed mini`, each time, on the command line: what it once was told it notes
# down in its folder, but a note is not obeyed twice, and the defaults listen on every address.
_OPTIONS = (
    "-dir=.",
    "-ip=127.0.0.1",
    "-ip.bind=127.0.0.1",
    "-disableHttp",  # without it the filer hands every object to anyone who asks
    "-admin.ui=false",  # and with it what would want a password
    "-master.telemetry=false",
    "-webdav=false",
    "-s3.port.iceberg=0",
    "-s3.port.lance=0",
    "-s3.config=s3.json",
    "-s3.iam=false",
    "-s3.autoCreateBucket=false",
    "-s3.localSocket=s3.sock",  # else in /tmp
    "-filer.localSocket=filer.sock",
    # A download holds 256 blocks in memory: at 4 MB, the default, two slow readers took more than 1 GB.
    "-filer.maxMB=1",
)


def storage_url(*, port: int) -> str:
    """Return the URL of the embedded S3 interface."""
    return f"http://127.0.0.1:{port}"


def sockets_of_others(port: int) -> list[Path]:
    """Return the sockets that SeaweedFS would make and cannot, since another user's lie in their place."""
    parts = ("s3", "filer", "volume", "master", "admin")
    # Their names are its own choice. What a killed one leaves behind only its user can remove.
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
    """Write the keys into the folder, which also keeps the objects, and return the service.

    `allowed_origin` is the one web origin whose pages may call it from a browser. The API's key reads in all buckets,
    and writes in `bucket` and `export_buckets`.
    """
    make_private_folder(folder)
    buckets = list(dict.fromkeys([bucket, *source_buckets, *export_buckets]))
    identities = _identities(credentials, read=buckets, write=[bucket, *export_buckets])
    write_private_file(folder / "s3.json", dumps(identities, indent=2))
    write_security(folder)
    (folder / "mini.options").unlink(missing_ok=True)  # notes of a run with other options
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
        answers=lambda: _answers(client, bucket),
        start_seconds=60,
        stop_seconds=8,  # it takes 2
        is_noise=lambda line: bool(_NOISE.match(line)),
    )


def _identities(credentials: Credentials, *, read: Sequence[str], write: Sequence[str]) -> dict[str, Any]:
    """Give the API and the worker a key for their buckets; the administrator's is for whoever fills the others."""

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


def _answers(client: S3Client, bucket: str) -> bool:
    """Return whether it takes an object: its volumes, and with them all older objects, come after its S3 interface."""
    try:
        client.put_object(Bucket=bucket, Key=_TRIAL_KEY, Body=b"ready")
        client.delete_object(Bucket=bucket, Key=_TRIAL_KEY)
    except (BotoCoreError, ClientError):  # refused, or the bucket is not made yet
        return False
    return True
