"""Manifests for the benchmarks of batches, and what of them Redis holds."""

from __future__ import annotations

import json
from typing import Any

from tests.fault.support.deployment import Deployment
from tests.fixtures.servers import SONGS


def put_manifest(deployment: Deployment, lines: int) -> dict[str, Any]:
    """Put a manifest of that many lines into storage; all of them name one song that was uploaded."""
    upload = deployment.client.post("/v1/uploads?filename=song.flac", content=b"s\0ng").raise_for_status().json()
    source = {"upload_id": upload["upload_id"]}
    items = (
        {"track": f"Artist {n % 977} - Track {n}", "source": source, "metadata": {"isrc": f"XX{n:010d}"}}
        for n in range(lines)
    )
    text = "".join(json.dumps(item) + "\n" for item in items)
    deployment.songs.put_bytes(text.encode(), "catalog/manifest.jsonl", "application/jsonl")
    return {"s3": {"bucket": SONGS, "key": "catalog/manifest.jsonl"}}


def used_bytes(deployment: Deployment) -> int:
    """Return what Redis holds."""
    return int(deployment.store._redis.info("memory")["used_memory"])
