"""Estimates what a batch needs before it is created: tracks, invalid lines, time, storage.

The estimates come from this server: the recent jobs of each engine, and the live slots.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pydantic import ConfigDict, Field

from api.contract.batch_requests import BatchSubmission
from api.contract.examples.batch import EXAMPLE_PREFLIGHT
from api.contract.resource import Resource
from api.submission.batch_submission import BatchSubmitter
from api.submission.job_submission import Sender
from shared.batches.item_parser import ItemParser, PrefixLines
from shared.batches.manifest_format import ManifestLine, read_lines
from shared.batches.model import BatchRequest, Manifest
from shared.batches.stored_items import StoredItem
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import WorkerRegistry
from shared.storage.object_storage import ObjectStorage

MAX_LINES = 20_000
"""How many lines are read; the rest of a longer manifest is extrapolated. Raising it takes longer."""

MAX_BYTES = 20_000_000
"""How many bytes of a manifest are read; the rest is extrapolated. Raising it takes longer, whatever its lines are."""

MAX_COUNTED = 100_000
"""How many objects below a prefix are counted. Raising it takes longer: storage lists a thousand at a time."""

MAX_BAD_LINES = 100

LINES_AT_ONCE = 500


class BadLineResource(Resource):
    """A line that cannot become a job."""

    line: int
    code: str
    message: str


class WorkResource(Resource):
    """What the items of one engine and format need; null if there is no recent job to estimate it from."""

    engine: str
    format: str
    items: int
    seconds_each: float | None = Field(description="How long a recent job occupied a slot")
    bytes_each: int | None = Field(description="The size of a recent job's outputs")


class PreflightResource(Resource):
    """What a batch would need. Nothing was created."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE_PREFLIGHT]})

    items: int = Field(description="Tracks that can become jobs")
    invalid: int
    bad_lines: list[BadLineResource] = Field(description=f"The first {MAX_BAD_LINES}")
    complete: bool = Field(
        description=f"False: only the first {MAX_LINES} lines or {MAX_BYTES} bytes were read and the rest is "
        f"extrapolated; below a prefix at most {MAX_COUNTED} tracks are counted and there may be more"
    )
    slots: int = Field(description="Live slots that bulk jobs may use")
    hours: float | None = Field(
        description="If this batch has all these slots to itself; null if it cannot be estimated"
    )
    storage_bytes: int | None
    work: list[WorkResource]


@dataclass
class _Tally:
    """What is counted of the items. `kinds` are engine and format of those that can become jobs."""

    good: int = 0
    bad: int = 0
    kinds: Counter[tuple[str, str]] = field(default_factory=Counter)
    bad_lines: list[BadLineResource] = field(default_factory=list)

    @property
    def items(self) -> int:
        return self.good + self.bad

    def count(self, items: Iterable[StoredItem]) -> None:
        for item in items:
            if item.error:
                self.bad += 1
                if len(self.bad_lines) < MAX_BAD_LINES:
                    told = {"code": item.error["code"], "message": item.error["message"]}
                    self.bad_lines.append(BadLineResource(line=item.line, **told))
            elif item.request:
                self.good += 1
                self.kinds[str(item.request["engine"]), str(item.request.get("format", "flac"))] += 1


@dataclass(frozen=True)
class Preflight:
    """Checks and estimates batches. Raises what submitting the batch would raise."""

    submitter: BatchSubmitter
    workers: WorkerRegistry
    statistics: QueueStatistics
    storage: ObjectStorage

    def estimate(self, sender: Sender, wanted: BatchSubmission) -> PreflightResource:
        """Return what a batch would need."""
        submitter = self.submitter
        submitter.check_options(wanted)
        defaults = wanted.defaults.model_dump(mode="json", exclude_unset=True, by_alias=True)
        manifest, lines = self._lines(sender, wanted)
        reader = ItemParser(
            submitter.settings,
            submitter.uploads,
            submitter.catalog,
            BatchRequest(manifest, sender.owner, defaults=defaults),
        )
        # A line makes several items if it has `then`. Clients choose how large items are, so none is kept.
        tally, lines_read, end = _Tally(), 0, 0
        while taken := list(itertools.islice(lines, min(LINES_AT_ONCE, MAX_LINES - lines_read))):
            tally.count(reader.parse(taken, tally.items + 1))
            lines_read += len(taken)
            end = taken[-1].end
        # A prefix has no size to extrapolate from, so its objects are counted.
        more = sum(1 for _ in itertools.islice(lines, MAX_COUNTED - lines_read if manifest.format == "prefix" else 1))
        complete, scale = not more and manifest.size_bytes <= MAX_BYTES, 1.0
        if not complete and lines_read:
            scale = manifest.size_bytes / end if end else (lines_read + more) / lines_read
        return self._sum_up(tally, scale, complete=complete)

    def _lines(self, sender: Sender, wanted: BatchSubmission) -> tuple[Manifest, Iterator[ManifestLine]]:
        if wanted.items is not None:
            listed = (ManifestLine(n, 0, values=values) for n, values in enumerate(wanted.items, 1))
            return Manifest(None, "", "jsonl"), listed
        manifest = self.submitter.find_manifest(sender, wanted)
        if manifest.format == "prefix":
            return manifest, iter(PrefixLines(self.storage, manifest))
        part = f"bytes=0-{MAX_BYTES - 1}"
        opened = self.storage.open(manifest.key, bucket=manifest.bucket, etag=manifest.etag, byte_range=part)
        lines = read_lines(opened.chunks(), manifest.format)
        if manifest.size_bytes > MAX_BYTES:
            # The last line of the part may be cut off.
            lines = itertools.takewhile(lambda line: line.end < MAX_BYTES, lines)
        return manifest, lines

    def _sum_up(self, tally: _Tally, scale: float, *, complete: bool) -> PreflightResource:
        kinds = sorted(tally.kinds.items())
        work = [self._work_of(engine, form, round(number * scale)) for (engine, form), number in kinds]
        slots = sum(worker.slots - worker.kept_slots for worker in self.workers.live_workers())
        seconds = [w.items * w.seconds_each for w in work if w.seconds_each is not None]
        room = [w.items * w.bytes_each for w in work if w.bytes_each is not None]
        return PreflightResource(
            items=round(tally.good * scale),
            invalid=round(tally.bad * scale),
            bad_lines=tally.bad_lines,
            complete=complete,
            slots=slots,
            hours=round(sum(seconds) / slots / 3600, 3) if slots and work and len(seconds) == len(work) else None,
            storage_bytes=sum(room) if work and len(room) == len(work) else None,
            work=work,
        )

    def _work_of(self, engine: str, form: str, number: int) -> WorkResource:
        seconds, size_bytes = self.statistics.typical_job(engine, form)
        return WorkResource(engine=engine, format=form, items=number, seconds_each=seconds, bytes_each=size_bytes)
