"""The profile `proxy`: HTTPS with a certificate of an authority of its own, at the root and below a path."""

from __future__ import annotations

import json
import ssl

import httpx2
import pytest

from tests.compose.stack import ComposeStack
from tests.fixtures.sounds.songs import Songs

AUTHORITY = "/data/caddy/pki/authorities/local/root.crt"
PUBLIC_PATH = "/stems"


@pytest.fixture(scope="module")
def key(second_stack: ComposeStack) -> str:
    """An API key of the second stack, which is behind the proxy."""
    stack = second_stack
    # For this name Caddy makes an authority and certificates itself.
    stack.set(PUBLIC_NAME="localhost", COMPOSE_PROFILES="storage,proxy", API_PUBLIC_PATH=PUBLIC_PATH)
    stack.up()
    told = stack.compose("exec", "-T", "api", "stemqueue-admin", "keys", "create").splitlines()
    return next(line for line in told if not line.startswith("key "))


@pytest.fixture(scope="module")
def trust(second_stack: ComposeStack, key: str, tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """What trusts the proxy's authority, and nobody else."""
    del key
    file = tmp_path_factory.mktemp("authority") / "root.crt"
    second_stack.compose("cp", f"proxy:{AUTHORITY}", file)
    return ssl.create_default_context(cafile=str(file))


@pytest.mark.parametrize("path", ["", PUBLIC_PATH])
def test_a_song_goes_through_the_proxy(
    second_stack: ComposeStack, trust: ssl.SSLContext, key: str, songs: Songs, path: str
) -> None:
    url, headers = f"https://localhost:{second_stack.https_port}", {"Authorization": f"Bearer {key}"}
    with httpx2.Client(base_url=url, verify=trust, timeout=60, headers=headers) as client:
        assert client.get(f"{path}/", headers={"Accept": "text/html"}).is_success
        with songs.long.open("rb") as file:
            asked = {"excerpt_start_seconds": "30", "excerpt_duration_seconds": "60", "no_cache": "true"}
            answer = client.post(f"{path}/v1/jobs", files={"file": ("a.flac", file)}, data=asked)
        assert answer.status_code == 202, answer.text
        job = answer.json()
        seen = []
        # Unbuffered, the first event comes while the stream is open, and long before the last.
        with client.stream("GET", f"{path}/v1/jobs/{job['id']}/events") as stream:
            for line in stream.iter_lines():
                if line.startswith("data:"):
                    seen.append(json.loads(line[5:])["state"])
        assert seen[0] in {"queued", "running"}
        assert seen[-1] == "succeeded"
        stem = f"{path}/v1/jobs/{job['id']}/stems/vocals"
        whole = client.get(stem)
        part = client.get(stem, headers={"Range": "bytes=1000-1999"})
        assert (part.status_code, part.content) == (206, whole.content[1000:2000])
        assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.content)}"


def test_without_a_key_or_by_another_name_there_is_no_way_in(second_stack: ComposeStack, trust: ssl.SSLContext) -> None:
    with httpx2.Client(base_url=f"https://localhost:{second_stack.https_port}", verify=trust, timeout=30) as client:
        assert client.get("/v1/jobs").status_code == 401
        assert client.get("/v1/jobs", headers={"Host": "elsewhere.example"}).content == b""


def test_http_leads_to_https(second_stack: ComposeStack, key: str) -> None:
    del key
    answer = httpx2.get(f"http://localhost:{second_stack.http_port}/v1/jobs")
    assert (answer.status_code, answer.headers["Location"]) == (308, "https://localhost/v1/jobs")


def test_the_proxy_runs_without_privileges_on_a_read_only_system(second_stack: ComposeStack, key: str) -> None:
    del key
    [proxy] = second_stack.inspect("proxy")
    host = proxy["HostConfig"]
    # Engines differ in whether they write the prefix.
    added = [name.removeprefix("CAP_") for name in host["CapAdd"]]
    assert (host["ReadonlyRootfs"], added, host["CapDrop"]) == (True, ["NET_BIND_SERVICE"], ["ALL"])
