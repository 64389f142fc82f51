"""A hostile server reaches neither the user's other files nor another server, and fills no disk."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx2
import pytest

from api.client.connection import Connection
from api.client.errors import ClientError, DownloadError
from api.client.files import name_of_download, save_output
from api.client.models import OutputFile


class StubAnswer:
    """A stub of a response whose body never ends."""

    def iter_bytes(self, size: int) -> Iterator[bytes]:
        return itertools.repeat(bytes(size), 1_000)


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("vocals.flac", "vocals.flac"),
        (".bashrc", "bashrc"),
        ("../../.ssh/authorized_keys", "authorized_keys"),
        ("/etc/passwd", "passwd"),
        ("..", "output"),
        ("", "output"),
    ],
)
def test_a_server_chooses_neither_a_folder_nor_a_hidden_file(sent: str, written: str) -> None:
    assert name_of_download(sent) == written


def test_a_download_ends_where_it_was_announced_to_end(tmp_path: Path) -> None:
    output = OutputFile("vocals", "/v1/x", "vocals.flac", 1_000_000, "0" * 64)
    received: list[int] = []
    with pytest.raises(DownloadError, match="longer than announced"):
        save_output(
            cast(httpx2.Response, StubAnswer()),
            output,
            tmp_path / "vocals.flac",
            lambda done, _: received.append(done),
            tmp_path,
        )
    assert max(received) <= output.size_bytes
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "link", ["http://10.0.0.1/", "v1/jobs", "", "https://elsewhere.example/v1/jobs/1/stems/vocals"]
)
def test_a_link_leads_to_the_server_that_sent_it(link: str) -> None:
    server = Connection("http://127.0.0.1:8000", api_key="k", patience_seconds=1.0, timeout_seconds=1.0)
    with pytest.raises(ClientError, match="does not lead to itself"):
        server.path_of(link)
