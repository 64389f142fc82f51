"""Another user of the machine cannot read the embedded storage, on any port or socket that its process opens.

Each attempt is first made with the storage's own certificate and tokens, so that failing without them says something.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import re
import socket
import ssl
import subprocess
import sysconfig
import time
import tomllib
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psutil
import pytest
import trustme

from deploy.local.servers.seaweedfs import PORT_OFFSETS
from deploy.local.servers.storage_security import FOLDER
from tests.fixtures.servers import BUCKET, StorageServer

NOBODY = 65_534
SECRET = b"the stems of somebody else"
S3, FILER, VOLUME, MASTER, ADMIN = range(5)
GRPC = 10_000
IS_ROOT = os.geteuid() == 0

# What a gRPC server answers with a frame of settings: type 4, on stream 0.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])

SHELL = f"""s3.configure
fs.ls /buckets
fs.cat /buckets/{BUCKET}/secret
fs.meta.cat /buckets/{BUCKET}/secret
"""


@pytest.fixture(name="storage", scope="module")
def _storage(session_storage: StorageServer) -> StorageServer:
    return session_storage


@pytest.fixture(name="secret", autouse=True)
def _secret(storage: StorageServer) -> Iterator[None]:
    """An object that must exist unchanged after all attempts."""
    client = storage.client()
    client.put_object(Bucket=BUCKET, Key="secret", Body=SECRET)
    yield
    assert client.get_object(Bucket=BUCKET, Key="secret")["Body"].read() == SECRET
    client.close()


def security_folder(storage: StorageServer) -> Path:
    return storage.service.folder / FOLDER


def shell(storage: StorageServer, commands: str, *, home: Path, user: int | None = None, seconds: float = 60) -> str:
    """Return what `weed shell` prints within some seconds. Without access it waits without end."""
    addresses = [f"-{name}=127.0.0.1:{storage.port + n}" for name, n in (("master", MASTER), ("filer", FILER))]
    # By a descriptor: the other user need not be let into the folders above it.
    with (Path(sysconfig.get_path("scripts")) / "weed").open("rb") as weed:
        process = subprocess.Popen(
            ["weed", "shell", *addresses],
            executable=f"/proc/self/fd/{weed.fileno()}",
            pass_fds=[weed.fileno()],
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            cwd="/",
            env={"HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            return process.communicate(commands, timeout=seconds)[0]
        except subprocess.TimeoutExpired:
            process.kill()
            return process.communicate()[0]


def test_no_command_of_its_shell_is_obeyed(storage: StorageServer, tmp_path: Path) -> None:
    assert storage.credentials
    known = storage.credentials.storage_admin_access_key_id
    said = shell(storage, SHELL, home=storage.service.folder)
    assert known in said
    assert SECRET.decode() in said
    harmful = SHELL + f"s3.bucket.delete -name {BUCKET}\n"
    said = shell(storage, harmful, home=tmp_path, user=NOBODY if IS_ROOT else None, seconds=8)
    assert known not in said
    assert SECRET.decode() not in said
    assert BUCKET not in said


def test_it_opens_the_ports_that_are_told_and_no_others(storage: StorageServer) -> None:
    opened = psutil.Process(storage.pid).net_connections("tcp")
    listening = {(c.laddr.ip, c.laddr.port) for c in opened if c.status == psutil.CONN_LISTEN}
    assert listening == {("127.0.0.1", storage.port + offset) for offset in PORT_OFFSETS}


def unix_sockets(storage: StorageServer) -> list[Path]:
    named = {c.laddr for c in psutil.Process(storage.pid).net_connections("unix") if c.laddr}
    return sorted(storage.service.folder / name for name in named)


def first_frame(address: int | Path, context: ssl.SSLContext | None) -> bytes:
    """Return the response to the beginning of a gRPC connection; empty if the server closes it."""
    family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
    with socket.socket(family) as plain:
        plain.settimeout(30)
        plain.connect(str(address) if isinstance(address, Path) else ("127.0.0.1", address))
        try:
            connection = context.wrap_socket(plain) if context else plain
            with connection:
                connection.sendall(PREFACE)
                return connection.recv(9)
        except (ssl.SSLError, ConnectionError):
            return b""


def tls(*certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    if certificate:
        context.load_cert_chain(*certificate)
    return context


def is_settings(frame: bytes) -> bool:
    return len(frame) == 9 and frame[3:4] == b"\4"


def test_its_grpc_ports_and_sockets_ask_for_its_own_certificate(storage: StorageServer, tmp_path: Path) -> None:
    own = security_folder(storage) / "certificate.pem", security_folder(storage) / "key.pem"
    strangers = trustme.CA().issue_cert("localhost", common_name="stemqueue storage")
    strangers.private_key_and_cert_chain_pem.write_to_path(tmp_path / "stranger.pem")
    addresses: list[int | Path] = [storage.port + offset for offset in PORT_OFFSETS if offset >= GRPC]
    sockets = [path for path in unix_sockets(storage) if path.parent == Path("/tmp")]  # noqa: S108 - its own choice
    assert len(addresses) == len(sockets) == 5
    for address in [*addresses, *sockets]:
        assert is_settings(first_frame(address, tls(*own))), address
        for context in (None, tls(), tls(tmp_path / "stranger.pem")):
            assert first_frame(address, context) == b"" or context is None, address
            assert not is_settings(first_frame(address, context)), address


def token(key: str, file_id: str) -> str:
    """Return the certificate and token with which the storage's servers connect to the volume server."""

    def encoded(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = [{"alg": "HS256", "typ": "JWT"}, {"fid": file_id, "exp": int(time.time()) + 60}]
    text = ".".join(encoded(json.dumps(part).encode()) for part in claims)
    return f"{text}.{encoded(hmac.digest(key.encode(), text.encode(), hashlib.sha256))}"


def ask(port: int, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_its_volume_server_neither_reads_nor_changes_a_block_without_a_token(storage: StorageServer) -> None:
    said = shell(storage, SHELL, home=storage.service.folder)
    [file_id] = set(re.findall(r'"fileId": +"([0-9a-f,]+)"', said))
    keys: dict[str, Any] = tomllib.loads((security_folder(storage) / "security.toml").read_text())["jwt"]["signing"]
    port = storage.port + VOLUME
    read = {"Authorization": f"Bearer {token(keys['read']['key'], file_id)}"}
    assert ask(port, "GET", f"/{file_id}", **read) == (200, SECRET)
    form = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\nother\r\n--x--\r\n'
    for method in ("GET", "HEAD", "POST", "PUT", "DELETE"):
        for path in (f"/{file_id}", f"/{file_id}?type=replicate", f"/{file_id.replace(',', '/')}"):
            for headers in ({}, {"Authorization": f"Bearer {token('a guess', file_id)}"}):
                sent = form if method in {"POST", "PUT"} else None
                wanted = {"Content-Type": "multipart/form-data; boundary=x"} | headers
                assert ask(port, method, path, sent, **wanted)[0] == 401, (method, path)


@pytest.mark.parametrize("server", [FILER, VOLUME, MASTER, ADMIN])
def test_no_other_address_of_its_http_servers_tells_or_does_anything(storage: StorageServer, server: int) -> None:
    paths = [
        *("/dir/assign", "/dir/status", "/dir/lookup?volumeId=1", "/vol/grow?count=1", "/vol/status", "/vol/vacuum"),
        *(f"/col/delete?collection={BUCKET}", "/submit", "/raft/stats", "/cluster/raft", "/collection/info"),
        *("/buckets/", f"/buckets/{BUCKET}/", f"/buckets/{BUCKET}/secret", "/etc/iam/identity.json", "/.tus/"),
        *("/debug/pprof/", "/debug/vars", "/stats/memory", "/stats/disk", "/ui/index.html"),
        *("/api/users", "/api/s3/buckets", "/api/config", "/api/plugin/workers", "/object-store/users"),
    ]
    told = []
    for path in paths:
        for method in ("GET", "POST", "PUT", "DELETE"):
            status, body = ask(storage.port + server, method, path, b"" if method in {"POST", "PUT"} else None)
            if status < 400:
                told.append(path)
            assert SECRET not in body
    # A page that says which servers there are, and how full the disk is.
    assert set(told) == ({"/ui/index.html"} if server == MASTER else set())


def test_its_files_and_sockets_are_closed_to_other_users(storage: StorageServer) -> None:
    folder = storage.service.folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [p.stat().st_mode & 0o777 for p in sorted(security_folder(storage).iterdir())] == [0o600] * 3
    for path in unix_sockets(storage):
        assert path.is_relative_to(folder) or path.stat().st_mode & 0o022 == 0, path
