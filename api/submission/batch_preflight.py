"""What a batch would need, before it is made: how many tracks, how much room, how long, and which lines are bad.

Owns the reckoning. Its figures are this server's own: what jobs of an engine took and made lately, and the live slots.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import Field

from api.contract.batch_requests import BatchSubmission
from api.contract.job_responses import Resource
from api.submission.batch_submission import BatchSubmissions
from api.submission.job_submission import Sender
from shared.batches.item_parser import ItemParser, prefix_lines
from shared.batches.manifest_format import ManifestLine, read_lines
from shared.batches.model import BatchRequest, Manifest
from shared.batches.stored_items import StoredItem
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry
from shared.storage.object_storage import ObjectStorage

MAX_LINES = 20_000
"""Lines that are looked at; of a longer manifest the rest is taken to be like them. Raising it takes longer."""

MAX_COUNTED = 100_000
"""Objects below a prefix that are counted. Raising it takes longer: storage lists a thousand at a time."""

MAX_BAD_LINES = 100

LINES_AT_ONCE = 500


class BadLineResource(Resource):
    """A line that cannot be worked on."""

    line: int
    code: str
    message: str


class WorkResource(Resource):
    """What the items of one engine and format need; null where no job has shown it yet."""

    engine: str
    format: str
    items: int
    seconds_each: float | None = Field(description="How long a job held a slot lately")
    bytes_each: int | None = Field(description="What a job made lately")


class PreflightResource(Resource):
    """What a batch would need; nothing was made."""

    items: int = Field(description="Tracks that can be worked on")
    invalid: int
    bad_lines: list[BadLineResource] = Field(description=f"The first {MAX_BAD_LINES}")
    complete: bool = Field(
        description=f"False: only {MAX_LINES} lines were looked at, and the rest taken to be alike; below a prefix "
        f"{MAX_COUNTED} tracks are counted at most, and there may be more"
    )
    slots: int = Field(description="Live slots that bulk jobs may take")
    hours: float | None = Field(description="With all these slots for this batch alone; null: nothing is known yet")
    storage_bytes: int | None
    work: list[WorkResource]


@dataclass(frozen=True)
class Preflight:
    """Looks a batch over. Raises what submitting it would."""

    submissions: BatchSubmissions
    workers: WorkerRegistry
    statistics: QueueStatistics
    storage: ObjectStorage

    def look(self, sender: Sender, wanted: BatchSubmission) -> PreflightResource:
        """Return what the batch would need."""
        submissions = self.submissions
        submissions.check(wanted)
        defaults = wanted.defaults.model_dump(mode="json", exclude_unset=True)
        manifest, lines = self._lines(sender, wanted)
        reader = ItemParser(
            submissions.settings,
            submissions.uploads,
            submissions.catalog,
            BatchRequest(manifest, sender.owner, defaults=defaults),
        )
        seen, end = list[StoredItem](), 0
        while taken := list(itertools.islice(lines, min(LINES_AT_ONCE, MAX_LINES - len(seen)))):
            seen += reader.parse(taken, len(seen) + 1)
            end = taken[-1].end
        # Of a prefix nobody knows how much of it this was: its objects are counted.
        more = sum(1 for _ in itertools.islice(lines, MAX_COUNTED - len(seen) if manifest.format == "prefix" else 1))
        complete, scale = not more, 1.0
        if more:
            scale = manifest.size_bytes / end if end else (len(seen) + more) / len(seen)
        return self._reckon(seen, scale, complete=complete)

    def _lines(self, sender: Sender, wanted: BatchSubmission) -> tuple[Manifest, Iterator[ManifestLine]]:
        if wanted.items is not None:
            listed = (ManifestLine(n, 0, values=values) for n, values in enumerate(wanted.items, 1))
            return Manifest(None, "", "jsonl"), listed
        manifest = self.submissions.place(sender, wanted)
        if manifest.format == "prefix":
            return manifest, (line for line, _ in prefix_lines(self.storage, manifest))
        blocks = self.storage.open(manifest.key, bucket=manifest.bucket, etag=manifest.etag).chunks()
        return manifest, read_lines(blocks, manifest.format)

    def _reckon(self, seen: list[StoredItem], scale: float, *, complete: bool) -> PreflightResource:
        good = [item.request for item in seen if item.request]
        bad = [(item.line, item.error) for item in seen if item.error]
        kinds = Counter((str(r["engine"]), str(r.get("format", "flac"))) for r in good)
        work = [self._work(engine, form, round(number * scale)) for (engine, form), number in sorted(kinds.items())]
        slots = sum(worker.slots - worker.kept_slots for worker in self.workers.live_workers())
        seconds = [w.items * w.seconds_each for w in work if w.seconds_each is not None]
        room = [w.items * w.bytes_each for w in work if w.bytes_each is not None]
        return PreflightResource(
            items=round(len(good) * scale),
            invalid=round(len(bad) * scale),
            bad_lines=[
                BadLineResource(line=line, code=error["code"], message=error["message"])
                for line, error in bad[:MAX_BAD_LINES]
            ],
            complete=complete,
            slots=slots,
            hours=round(sum(seconds) / slots / 3600, 3) if slots and work and len(seconds) == len(work) else None,
            storage_bytes=sum(room) if work and len(room) == len(work) else None,
            work=work,
        )

    def _work(self, engine: str, form: str, number: int) -> WorkResource:
        seconds, size_bytes = self.statistics.typical_job(engine, form)
        return WorkResource(engine=engine, format=form, items=number, seconds_each=seconds, bytes_each=size_bytes)
