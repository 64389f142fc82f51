"""A table with one tiny model on a web server of the test's own, and the command that reads it.

STAND-IN: the tiny model has the format of published MDX-Net files and random weights.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.fixtures.network.model_server import ModelServer, serve_models
from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, tiny_network
from worker.model_setup.catalog.command import main
from worker.model_setup.catalog.digests import TAIL_BYTES

FILE = "tiny.onnx"


@pytest.fixture(scope="session")
def network() -> bytes:
    return tiny_network().SerializeToString()


@pytest.fixture
def server(network: bytes) -> Iterator[ModelServer]:
    with serve_models() as server:
        server.files[FILE] = network
        yield server


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "models"
    monkeypatch.setenv("MODEL_FOLDER", str(folder))
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def write_table(tmp_path: Path, network: bytes) -> Callable[..., Path]:
    """Return a function that writes a table whose one model has these addresses."""

    def write(*addresses: str, weakly: bool = False, sha256: str | None = None, must_accept: bool = True) -> Path:
        table = tmp_path / "table.toml"
        tail = hashlib.md5(network[-TAIL_BYTES:], usedforsecurity=False).hexdigest()
        digest = f'tail_md5 = "{tail}"' if weakly else f'sha256 = "{sha256 or hashlib.sha256(network).hexdigest()}"'
        parameters = ", ".join(f"{name} = {json.dumps(value)}" for name, value in PARAMETERS.items())
        table.write_text(
            f"""
            [[model]]
            name = "tiny"
            family = "mdx"
            title = "Tiny"
            author = "Nobody"
            summary = "Random weights."
            stems = ["vocals", "accompaniment"]
            licence = "Free, says its author."
            licence_source = "https://example.org/licence"
            must_accept = {str(must_accept).lower()}
            parameters = {{{parameters}}}
            scores = {{vocals_sdr_db = 1.5}}
            scores_from = "no songs"
            [[model.editions]]
            [[model.editions.files]]
            name = "{FILE}"
            size_bytes = {len(network)}
            {digest}
            addresses = {json.dumps(addresses)}
            """
        )
        return table

    return write


@pytest.fixture
def run() -> Callable[..., Result]:
    """Return a function that runs `stemqueue-models` with a table."""

    def run_command(table: Path, *arguments: str | Path) -> Result:
        return CliRunner().invoke(main, ["--table", str(table), *map(str, arguments)])

    return run_command


@pytest.fixture
def add(run: Callable[..., Result], write_table: Callable[..., Path]) -> Callable[..., Result]:
    """Return a function that adds the model from these addresses."""
    return lambda *addresses: run(write_table(*addresses), "add", "tiny", "--accept-licence")


def lines_of_failure(result: Result) -> list[str]:
    """Return the lines that begin with the command's name: what a failure says."""
    return [line for line in result.stderr.splitlines() if line.startswith("stemqueue-models: ")]
