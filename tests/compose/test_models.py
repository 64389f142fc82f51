"""The one-off service `models` adds a network that running workers offer without a restart. test_upgrade uses it."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from tests.compose.stack import ComposeStack, wait_until
from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, tiny_network


@pytest.mark.usefixtures("outage")
def test_the_service_models_adds_a_network_that_workers_offer_by_themselves(
    stack: ComposeStack, tmp_path: Path
) -> None:
    assert "htdemucs" in stack.compose("run", "--rm", "models", "list")
    onnx.save(tiny_network(), str(tmp_path / "tiny.onnx"))
    (tmp_path / "tiny.json").write_text(json.dumps(PARAMETERS))
    for path in tmp_path.iterdir():
        path.chmod(0o644)  # the service runs as a user of its own
    before = [found["State"]["StartedAt"] for found in stack.inspect("worker")]
    mounts = [word for name in ("onnx", "json") for word in ("--volume", f"{tmp_path}/tiny.{name}:/tiny.{name}:ro")]
    unknown = ("--family", "mdx", "--name", "tiny", "--parameters", "/tiny.json", "--accept-licence")
    added = stack.compose("run", "--rm", *mounts, "models", "add", "--file", "/tiny.onnx", *unknown)
    assert "tiny is ready in /var/lib/stemqueue/models/tiny" in added, added

    def is_offered() -> bool:
        with stack.client() as client:
            return "tiny" in {engine["name"] for engine in client.get("/v1/engines").json()["engines"]}

    wait_until(is_offered, seconds=30, what="offer of the new network")
    assert [found["State"]["StartedAt"] for found in stack.inspect("worker")] == before, "no worker was started again"
