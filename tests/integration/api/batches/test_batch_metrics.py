"""What `/metrics` tells of batches: what stands behind the lines, and since when."""

from __future__ import annotations

import re

from tests.fixtures.batches import Catalog


def figures(catalog: Catalog) -> dict[str, float]:
    told = catalog.web.get("/metrics").text
    return {name: float(value) for name, value in re.findall(r"^(stemqueue_batch\S+) (\S+)$", told, re.MULTILINE)}


def test_tracks_that_wait_behind_the_line_and_the_oldest_batch_are_told(catalog: Catalog) -> None:
    assert figures(catalog)["stemqueue_batch_oldest_age_seconds"] == 0
    batch = catalog.submit(items=[{"source": catalog.put_song(f"music/{n}.flac")} for n in range(20)])
    catalog.feed()
    told = figures(catalog)
    waiting, queued = (told[f'stemqueue_batch_items{{state="{state}"}}'] for state in ("waiting", "queued"))
    assert waiting > 0
    assert waiting + queued == 20
    assert told["stemqueue_batch_oldest_age_seconds"] > 0
    catalog.work_off(batch["id"])
    after = figures(catalog)
    assert sum(n for name, n in after.items() if "items" in name) == 0, "it goes on no more"
