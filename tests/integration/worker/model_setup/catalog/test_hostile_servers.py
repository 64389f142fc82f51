"""Servers and files that are broken or hostile: one sentence, exit code 1, and nothing left behind."""

from __future__ import annotations

import errno
import http.client
from pathlib import Path
from types import SimpleNamespace

import pytest
import trustme

from tests.fixtures.network.model_server import serve_models
from tests.fixtures.stand_ins.tiny_mdx import tiny_network
from tests.integration.worker.model_setup.catalog.conftest import FILE, lines_of_failure
from worker.model_setup.catalog import download, fetch


@pytest.mark.parametrize(
    ("manner", "words"),
    [
        ("missing", "404"),
        ("loop", "redirects in a circle"),
        ("endless", "sent more than"),
        ("swapped", "not the published file"),
        ("short", "not"),
        ("file", "to an address that is not http or https"),
    ],
)
def test_a_bad_server(add, server, folder, manner, words):
    result = add(f"{server.url}/{manner}/{FILE}")
    assert result.exit_code == 1
    (line,) = lines_of_failure(result)
    assert words in line
    assert line.endswith(".")
    assert [path for path in folder.rglob("*") if path.is_file() and path.stat().st_size] == []


def test_no_address_answers(add, folder):
    result = add("http://127.0.0.1:9/a", "http://127.0.0.1:9/b")
    assert result.exit_code == 1
    assert len(lines_of_failure(result)) == 1
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("manner", "words"), [("slow", "too slow"), ("silent", "sent nothing for")])
def test_a_slow_server(server, tmp_path, network, manner, words):
    part = tmp_path / "part"
    with pytest.raises(download.ModelDownloadError, match=words):
        download.download(
            f"{server.url}/{manner}/{FILE}",
            part,
            len(network),
            lambda _: None,
            silence_seconds=0.5,
            slowest_seconds=0.3,
        )


def test_a_full_disk(add, server, folder, monkeypatch):
    def full(*_: object, **__: object) -> bool:
        (folder / ".weights" / "tiny" / FILE).write_bytes(b"some")
        raise OSError(errno.ENOSPC, "No space left on device")

    # STAND-IN for a disk that is full: a test cannot fill one.
    monkeypatch.setattr(fetch, "download", full)
    result = add(f"{server.url}/good/{FILE}")
    assert result.exit_code == 1
    assert "No space left on device" in lines_of_failure(result)[0]
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EIO, errno.ECONNRESET])
@pytest.mark.parametrize("call", ["begin", "read1"])
def test_a_network_that_breaks_while_reading_leads_to_the_next_address(add, server, monkeypatch, call, number):
    calls, real = [], getattr(http.client.HTTPResponse, call)

    def breaks_once(*arguments: object) -> object:
        calls.append(call)
        if len(calls) == 1:
            raise OSError(number, "broken")
        return real(*arguments)

    # STAND-IN for a router that goes away: a test cannot take one away.
    monkeypatch.setattr(http.client.HTTPResponse, call, breaks_once)
    result = add(f"{server.url}/good/{FILE}", f"{server.url}/rangeless/{FILE}")
    assert result.exit_code == 0, result.output
    assert "the connection broke" in result.stderr


def test_a_disk_that_is_full_is_no_broken_connection(server, tmp_path, network):
    part = tmp_path / "part"
    part.symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        download.download(f"{server.url}/good/{FILE}", part, len(network), lambda _: None)
    assert caught.value.errno == errno.ENOSPC


def test_too_little_room_is_told_before_the_download(add, server, folder, monkeypatch):
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    result = add(f"{server.url}/good/{FILE}")
    assert result.exit_code == 1
    assert "are needed" in lines_of_failure(result)[0]
    assert server.requests == []
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_written(add, server, folder):
    folder.write_text("a file")
    result = add(f"{server.url}/good/{FILE}")
    assert result.exit_code == 1
    assert len(lines_of_failure(result)) == 1


def test_a_hostile_file_by_hand(run, folder, write_table, tmp_path):
    file, parameters = tmp_path / "evil.onnx", tmp_path / "p.json"
    parameters.write_text(
        '{"n_fft": 256, "hop_length": 64, "dim_f": 96, "dim_t": 33, "stem": "vocals", "compensate": 1}'
    )
    good = tiny_network().SerializeToString()
    for content in (b"", good[:-200], b"\x80\x04cposix\nsystem\n", bytes(1000), b"PK\x03\x04../../evil"):
        file.write_bytes(content)
        result = run(
            write_table("http://127.0.0.1:9/a"),
            *("add", "--file", file, "--family", "mdx", "--name", "evil", "--parameters", parameters),
            "--accept-licence",
        )
        assert result.exit_code == 1, content[:20]
        assert len(lines_of_failure(result)) == 1
        assert "Traceback" not in result.output
        assert list(folder.iterdir()) == []


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return the files of an authority, of a certificate and of its key."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1")
    files = tmp_path / "ca.pem", tmp_path / "cert.pem", tmp_path / "key.pem"
    authority.cert_pem.write_to_path(files[0])
    issued.cert_chain_pems[0].write_to_path(files[1])
    issued.private_key_pem.write_to_path(files[2])
    return files


def test_certificates_are_checked(add, certificate, network, monkeypatch):
    authority, *own = certificate
    with serve_models((own[0], own[1])) as server:
        server.files[FILE] = network
        refused = add(f"{server.url}/good/{FILE}")
        assert refused.exit_code == 1
        assert "certificate" in lines_of_failure(refused)[0].lower()
        monkeypatch.setenv("SSL_CERT_FILE", str(authority))
        assert add(f"{server.url}/good/{FILE}").exit_code == 0


def test_no_redirect_leads_from_https_to_http(add, server, certificate, monkeypatch):
    authority, *own = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with serve_models((own[0], own[1])) as secure:
        secure.redirect_to = f"{server.url}/good/{FILE}"
        result = add(f"{secure.url}/elsewhere/{FILE}")
    assert result.exit_code == 1
    assert "without TLS" in lines_of_failure(result)[0]
    assert server.requests == []


def test_a_redirect_keeps_the_range(add, server):
    add(f"{server.url}/cut/{FILE}")
    server.redirect_to = f"{server.url}/good/{FILE}"
    assert add(f"{server.url}/elsewhere/{FILE}").exit_code == 0
    assert server.requests[-1][1] == "bytes=1000-"
