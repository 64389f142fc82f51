"""What is told of a batch: its items page by page, its reports, and beforehand what it will need."""

from __future__ import annotations

import csv
import io
import json

import pytest

from api.submission import batch_preflight
from shared.batches.item_parser import ItemParser
from tests.fixtures.api import NOTES
from tests.fixtures.batches import Catalog, jsonl
from tests.fixtures.servers import BUCKET


def test_reports_have_a_row_for_each_item(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"track": "=1+1", "source": source}, {"source": {}}])
    catalog.work_off(batch["id"])
    table = catalog.web.get(f"/v1/batches/{batch['id']}/report.csv")
    rows = list(csv.DictReader(io.StringIO(table.text)))
    assert [(r["number"], r["track"], r["state"], r["error_code"]) for r in rows] == [
        ("1", "'=1+1", "succeeded", ""),
        ("2", "", "invalid", "request_invalid"),
    ]
    assert rows[0]["outputs"].split(" ")[0].endswith("/stems/vocals")
    assert [row["notes"] for row in rows] == ["'" + " ".join((NOTES[0], "x" * 300)), ""]
    assert [item["notes"] for item in catalog.items(batch["id"])] == [[NOTES[0], "x" * 300], []]
    lines = catalog.web.get(f"/v1/batches/{batch['id']}/report.jsonl").text.splitlines()
    assert [json.loads(line) for line in lines] == catalog.items(batch["id"])


def test_items_are_listed_page_by_page_and_by_state(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    batch = catalog.submit(items=[{"track": str(n), "source": source if n % 3 else {}} for n in range(30)])
    catalog.feed()
    assert len(catalog.items(batch["id"], limit=7)) == 30
    states = [i["state"] for i in catalog.items(batch["id"], limit=7)]
    assert states.count("invalid") == 10
    assert states.count("queued") == 8, "no more jobs are made than will soon run"
    for state in ("invalid", "queued", "waiting"):
        listed = catalog.items(batch["id"], limit=4, state=state)
        assert [i["number"] for i in listed] == [n + 1 for n, s in enumerate(states) if s == state]


def test_a_preflight_tells_what_a_batch_will_need_and_makes_nothing(catalog: Catalog) -> None:
    source = catalog.put_song("songs/a.flac")
    items = [{"source": source}] * 9 + [{"source": source, "format": "mp3"}, {"source": {}}]
    path = "/v1/batches/preflight"
    before = catalog.web.post(path, json={"items": items}).json
    assert (before["items"], before["invalid"], before["hours"], before["storage_bytes"]) == (10, 1, None, None)
    assert (before["bad_lines"][0]["line"], before["complete"], before["slots"]) == (11, True, 1)
    batch = catalog.submit(items=items)
    catalog.work_off(batch["id"])
    catalog.batches._redis.set("sq:pace:repetition", 36_000)
    made = sum(size for key, size, _ in catalog.storage.list_keys("jobs/") if not key.endswith("job.json")) // 10
    keys = catalog.keys_below("")
    for body in ({"items": items}, {"manifest": catalog.put_manifest(jsonl(*items))}):
        needs = catalog.web.post(path, json=body).json
        assert (needs["items"], needs["hours"]) == (10, 0.1)
        assert needs["storage_bytes"] == 10 * made
        assert [(w["format"], w["items"], w["seconds_each"]) for w in needs["work"]] == [
            ("flac", 9, 36),
            ("mp3", 1, 36),
        ]
    assert len(catalog.keys_below("") - keys) == 1, "the manifest that the test put there"
    assert catalog.web.post(path, json={"items": items, "export": {"bucket": "x-y"}}).json["code"] == "export_refused"
    assert len(catalog.web.get("/v1/batches").json["batches"]) == 1


def test_a_preflight_counts_what_it_does_not_look_at(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(9):
        catalog.put_song(f"songs/{number}.flac")
    monkeypatch.setattr(batch_preflight, "MAX_LINES", 4)
    monkeypatch.setattr(batch_preflight, "LINES_AT_ONCE", 2)
    body = {"prefix": {"bucket": BUCKET, "prefix": "songs/"}}
    told = catalog.web.post("/v1/batches/preflight", json=body).json
    assert (told["items"], told["complete"]) == (9, False)
    chained = catalog.web.post(
        "/v1/batches/preflight", json={**body, "defaults": {"then": [{"from": "vocals"}] * 2}}
    ).json
    assert (chained["items"], chained["complete"]) == (27, False), "a line of a chain makes several items"
    monkeypatch.setattr(batch_preflight, "MAX_COUNTED", 7)
    told = catalog.web.post("/v1/batches/preflight", json=body).json
    assert (told["items"], told["complete"]) == (7, False), "that many at the least"


def test_a_preflight_reads_a_bounded_part_of_a_manifest(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines may be large: without the bound, one request could take the memory of the process."""
    lines = jsonl({"source": catalog.put_song("songs/a.flac")}) * 100
    manifest = {"manifest": catalog.put_manifest(lines)}
    monkeypatch.setattr(batch_preflight, "MAX_BYTES", len(lines) // 2 - 10)
    read: list[int] = []
    parse = ItemParser.parse
    monkeypatch.setattr(
        ItemParser, "parse", lambda self, some, first: (read.append(len(some)), parse(self, some, first))[1]
    )
    told = catalog.web.post("/v1/batches/preflight", json=manifest).json
    assert (told["items"], told["invalid"], told["complete"]) == (100, 0, False)
    assert sum(read) == 49, "the line that is cut off does not count"
    blank = {"manifest": catalog.put_manifest(lines[:200].split("\n")[0] + "\n" * len(lines))}
    assert catalog.web.post("/v1/batches/preflight", json=blank).json["complete"] is False
