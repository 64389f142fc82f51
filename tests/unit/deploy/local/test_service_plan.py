"""The settings decide which services start."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.seaweedfs import PORT_OFFSETS
from deploy.local.service_plan import PortTakenError, api_url, plan_programs, plan_servers
from shared.settings import Settings
from tests.fixtures.ports import find_free


def _settings(tmp_path: Path, **others: Any) -> Settings:
    ports = {"valkey_port": find_free(), "storage_port": find_free(PORT_OFFSETS), "api_port": find_free()}
    return Settings(**{"state_folder": tmp_path / "var", **ports, **others})


def test_both_servers_are_planned_and_our_programs_told_of_them(tmp_path: Path) -> None:
    settings = _settings(tmp_path)
    servers, told = plan_servers(settings)
    assert [service.name for service in servers] == ["valkey", "storage"]
    assert {"REDIS_URL", "S3_ENDPOINT_URL", "S3_ACCESS_KEY_ID", "S3_SECRET_ACCESS_KEY"} == told.keys()
    for program in plan_programs(settings, told):
        assert program.environment["REDIS_URL"].endswith(f"@127.0.0.1:{settings.valkey_port}/0")
    assert plan_servers(settings)[1] == told, "credentials stay as they are"


def test_one_owner_may_not_fill_the_disk_of_the_storage_that_is_started_here(tmp_path: Path) -> None:
    def room(settings: Settings) -> int | None:
        told = plan_programs(settings, {})[0].environment.get("MAX_STORED_BYTES_PER_OWNER")
        return None if told is None else int(told)

    settings = _settings(tmp_path)
    (tmp_path / "var" / "storage").mkdir(parents=True)
    (tmp_path / "var" / "storage" / "1.dat").write_bytes(b"x" * 1000)
    disk = shutil.disk_usage(tmp_path)
    assert 0 < (room(settings) or 0) < 0.81 * disk.total
    assert room(_settings(tmp_path, s3_endpoint_url="https://elsewhere")) is None
    assert room(_settings(tmp_path, max_stored_bytes_per_owner=5)) is None, "what was set is inherited"


@pytest.mark.parametrize(
    ("given", "started"),
    [
        ({"redis_url": "redis://elsewhere/0"}, ["storage"]),
        ({"s3_endpoint_url": "https://elsewhere"}, ["valkey"]),
        ({"s3_region": "eu-central-1"}, ["valkey"]),  # Amazon's own, with keys that boto3 finds
        ({"redis_url": "redis://elsewhere/0", "s3_access_key_id": "theirs"}, []),
        ({"s3_bucket": "another"}, ["valkey", "storage"]),
    ],
)
def test_a_server_that_the_settings_name_is_not_started(
    tmp_path: Path, given: dict[str, str], started: list[str]
) -> None:
    servers, _ = plan_servers(_settings(tmp_path, **given))
    assert [service.name for service in servers] == started


def test_a_port_among_those_above_the_storage_s_is_told_with_the_whole_range(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.service_plan._PORT_PATIENCE_SECONDS", 0.0)
    settings = _settings(tmp_path)
    port = settings.storage_port
    with socket.create_server(("127.0.0.1", port + 10_002)), pytest.raises(PortTakenError) as taken:
        plan_servers(settings)
    assert str(taken.value) == (
        f"port {port + 10_002} is taken, and STORAGE_PORT {port} needs {port} to {port + 4} and the same + 10000;"
        " set STORAGE_PORT to another"
    )


def test_a_socket_of_another_user_in_the_storages_place_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = _settings(tmp_path)
    place = Path(f"/tmp/seaweedfs-filer-grpc-{settings.storage_port + 10_001}.sock")  # noqa: S108 - SeaweedFS's choice
    place.touch()
    try:
        monkeypatch.setattr("os.geteuid", lambda: place.stat().st_uid + 1)
        with pytest.raises(PortTakenError, match=f"{place} belongs to another user; set STORAGE_PORT to another port"):
            plan_servers(settings)
        monkeypatch.undo()
        plan_servers(settings)
    finally:
        place.unlink()


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("0.0.0.0", "http://127.0.0.1:80"), ("::1", "http://[::1]:80")],  # noqa: S104
)
def test_the_url_is_one_that_a_browser_here_can_open(host: str, url: str) -> None:
    assert api_url(Settings(api_host=host, api_port=80)) == url
