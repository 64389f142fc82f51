"""The embedded servers keep their data over a restart, and refuse clients without a key."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
import redis
from botocore.exceptions import ClientError

from deploy.local.servers.seaweedfs import PORT_OFFSETS
from tests.fixtures.servers import BUCKET, StorageServer, ValkeyServer


def test_valkey_keeps_every_write_through_a_kill(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client:
        for number in range(100):
            client.set(f"key{number}", number)
    valkey.kill()
    valkey.start()
    with redis.Redis.from_url(valkey.url) as client:
        assert client.dbsize() == 100


def test_valkey_answers_nobody_without_the_password(session_valkey: ValkeyServer) -> None:
    address = session_valkey.url.rpartition("@")[2]
    with redis.Redis.from_url(f"redis://{address}") as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_valkey_never_drops_a_key_to_make_room(session_valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(session_valkey.url, decode_responses=True) as client:
        wanted = {"maxmemory-policy": "noeviction", "appendonly": "yes", "appendfsync": "always"}
        assert client.config_get(*wanted) == wanted


def test_storage_keeps_objects_through_a_kill(storage: StorageServer) -> None:
    client = storage.client()
    client.put_object(Bucket=BUCKET, Key="jobs/a b/1", Body=b"sound")
    storage.kill()
    storage.start()
    assert client.get_object(Bucket=BUCKET, Key="jobs/a b/1")["Body"].read() == b"sound"


def test_objects_of_earlier_versions_in_blocks_of_4_mb_stay_readable(storage: StorageServer) -> None:
    now = storage.service
    assert "-filer.maxMB=1" in now.command
    storage.stop()
    # As it was called before there was a certificate, too.
    earlier = [word for word in now.command if word != "-filer.maxMB=1"]
    storage.service = replace(now, command=tuple(earlier), environment={**now.environment, "HOME": "/nonexistent"})
    storage.start()
    content = os.urandom(9_000_000)
    storage.client().put_object(Bucket=BUCKET, Key="old", Body=content)
    storage.stop()
    storage.service = now
    storage.start()
    assert storage.client().get_object(Bucket=BUCKET, Key="old")["Body"].read() == content


def test_storage_listens_on_the_loopback_alone_also_when_it_starts_again(storage: StorageServer) -> None:
    storage.kill()
    storage.start()
    tables = [Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:] for table in ("tcp", "tcp6")]
    listening = [line.split()[1].split(":") for table in tables for line in table if line.split()[3] == "0A"]
    ours = {storage.port + offset for offset in PORT_OFFSETS}
    assert {address for address, port in listening if int(port, 16) in ours} == {"0100007F"}
    assert storage.port in {int(port, 16) for _, port in listening}


def test_storage_hands_nothing_to_strangers_on_any_of_its_ports(session_storage: StorageServer) -> None:
    client = session_storage.client()
    client.put_object(Bucket=BUCKET, Key="secret", Body=b"sound")
    for port in range(session_storage.port, session_storage.port + 5):
        for path in (f"{BUCKET}/secret", f"buckets/{BUCKET}/secret", "dir/status", "api/users"):
            with pytest.raises(HTTPError) as refused:
                urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5)
            with refused.value:
                assert refused.value.code in {400, 401, 403, 404}


def test_the_stack_s_key_reaches_its_own_bucket_alone(storage_settings: dict[str, Any], session_storage: Any) -> None:
    client = session_storage.client()
    with pytest.raises(ClientError, match="AccessDenied"):
        client.create_bucket(Bucket="another")
    assert storage_settings["s3_bucket"] == BUCKET
    assert client.list_objects_v2(Bucket=BUCKET)["KeyCount"] == 0


def test_no_secret_stands_on_a_command_line(session_valkey: ValkeyServer, session_storage: StorageServer) -> None:
    assert session_storage.credentials
    secrets = {session_storage.credentials.storage_admin_secret_access_key, session_valkey.url.split("@")[0][9:]}
    for server in (session_valkey, session_storage):
        command_line = Path(f"/proc/{server.pid}/cmdline").read_text(encoding="utf-8")
        assert not [secret for secret in secrets if secret in command_line]
