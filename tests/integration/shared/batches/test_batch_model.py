"""The batches' Lua scripts against a model: in whatever order things happen, counts, letters and jobs agree."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from shared.batches.actions import BatchActions
from shared.batches.model import BatchRequest, BatchState, ItemState, Manifest, batch_id_from, batch_of, job_id_of
from shared.batches.store import BatchStore
from shared.batches.stored_items import Result
from shared.errors import BatchStateError, IllegalTransitionError, JobNotFoundError
from shared.jobs.claims import Claim
from shared.jobs.model import JobState, Output
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.queue.dispatcher import JobQueue
from shared.queue.statistics import QueueStatistics
from shared.queue.worker_registry import Worker, WorkerRegistry
from shared.redis_client.connection import connect
from tests.integration.shared.repeatable import Ids, Silent, await_next_millisecond, patient_settings, runs

ENGINE = "model"
WINDOW = 3
STEM = Output("vocals", "stem", "jobs/x/1/vocals.flac", "vocals.flac", "audio/flac", 7, "")
SELDOM = st.sampled_from([False, True])
GOES_ON = {ItemState.WAITING, ItemState.QUEUED, ItemState.RUNNING}


@dataclass
class Books:
    """What a batch should look like."""

    state: BatchState = BatchState.READING
    is_read: bool = False
    items: list[ItemState] = field(default_factory=list)
    compacted: set[int] = field(default_factory=set)

    def settle(self) -> None:
        """End the batch if its last item has ended."""
        if self.state is BatchState.RUNNING and not GOES_ON & set(self.items):
            self.state = BatchState.ENDED


class Batches(RuleBasedStateMachine):
    """Does what clients, feeders and workers do, in any order."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        self.settings = patient_settings(self.redis_url, max_losses=2)
        self.ids = Ids()
        self.redis = connect(self.settings)
        self.redis.flushdb()
        self.store, self.batches = JobStore(self.settings, self.redis), BatchStore(self.settings, self.redis)
        # Parts so small that every change takes several.
        self.changes = BatchActions(self.settings, self.redis, letters_at_once=3, jobs_at_once=2)
        self.queue = JobQueue(self.settings, self.redis, producer=Silent())  # type: ignore[arg-type]
        self.statistics = QueueStatistics(self.settings, self.redis)
        WorkerRegistry(self.settings, self.redis).heartbeat(Worker("w", 2, (ENGINE,), ()))
        self.books: dict[str, Books] = {}
        self.held: dict[str, int] = {}
        self.losses: Counter[str] = Counter()

    batch_ids = Bundle("batch_ids")
    claims = Bundle("claims")

    @rule(target=batch_ids, owner=st.sampled_from("ab"), letters=st.text("wwwi", min_size=2, max_size=6))
    def create(self, owner: str, letters: str) -> str:
        batch_id = batch_id_from(self.ids.next())
        request = BatchRequest(Manifest(None, "x", "jsonl"), owner)
        batch = self.batches.create(batch_id, request)
        assert batch.state is BatchState.READING
        assert self.batches.create(batch_id, request) == batch, "the same again is the same batch"
        self.books[batch_id] = Books()
        self.read_on(batch_id, letters, is_last=False, stale=False)
        return batch_id

    @rule(batch_id=batch_ids, letters=st.text("wwi", max_size=4), is_last=st.booleans(), stale=st.booleans())
    def read_on(self, batch_id: str, letters: str, is_last: bool, stale: bool) -> None:
        books = self.books.get(batch_id)
        if books is None:
            return
        batch = self.batches.read_batch(batch_id)
        cursor = f"{len(books.items) + len(letters)} {is_last}"
        if stale:
            # Somebody else was faster: what a slow reader tells is passed over.
            assert not self.batches.feeding.append_items(
                _behind(batch), cursor=cursor, letters=letters, uploads=[], is_last=is_last
            )
            return
        taken = self.batches.feeding.append_items(batch, cursor=cursor, letters=letters, uploads=[], is_last=is_last)
        assert taken == (books.state is BatchState.READING)
        if taken:
            books.items += [ItemState.WAITING if letter == "w" else ItemState.INVALID for letter in letters]
            if is_last:
                books.state, books.is_read = BatchState.RUNNING, True
                books.settle()

    @rule(batch_id=batch_ids)
    def feed(self, batch_id: str) -> None:
        books = self.books.get(batch_id)
        if books is None:
            return
        waiting = [n for n, state in enumerate(books.items, 1) if state is ItemState.WAITING]
        under_way = sum(state in {ItemState.QUEUED, ItemState.RUNNING} for state in books.items)
        goes_on = books.state in {BatchState.READING, BatchState.RUNNING}
        numbers = self.batches.feeding.next_numbers(batch_id, WINDOW)
        assert numbers == (waiting[: max(0, WINDOW - under_way)] if goes_on else [])
        for number in numbers:
            request = JobRequest(Source("x", "x.wav", 1), ENGINE, owner="a", priority="bulk")
            job_id = job_id_of(batch_id, number)
            first = self.store.submit(request, job_id=job_id, batch_id=batch_id)
            assert first == self.store.submit(request, job_id=job_id, batch_id=batch_id), "fed twice it is one job"
            books.items[number - 1] = ItemState.QUEUED
            self.losses[job_id] = 0

    @rule(target=claims, batch_id=batch_ids, n=st.integers(0, 2))
    def feed_and_claim(self, batch_id: str, n: int) -> Any:
        self.feed(batch_id)
        self.queue.dispatch()
        published = sorted(self.redis.zrange(f"model:published:{ENGINE}", 0, -1))
        if n >= len(published):
            return multiple()
        claim = self.store.claims.take(published[n], "w")
        assert claim, "what is published can be claimed"
        self.held[claim.job.id] = claim.fence
        self._move(claim.job.id, ItemState.RUNNING)
        return claim

    @rule(claim=claims, end=st.sampled_from(["succeed", "fail", "retry", "hand back", "lost"]))
    def end(self, claim: Claim, end: str) -> None:
        job_id, holds = claim.job.id, self.held.get(claim.job.id) == claim.fence
        if not holds:
            return
        error = {"code": "storage_unavailable", "message": "away"}
        if end == "succeed":
            assert self.store.claims.succeed(claim, outputs=[STEM], probed={"duration_seconds": 2.0}, report={})
            state = ItemState.SUCCEEDED
        elif end in {"fail", "retry"}:
            assert self.store.claims.fail(claim, error, retry_in_seconds=0.0 if end == "retry" else None)
            state = ItemState.QUEUED if end == "retry" else ItemState.FAILED
        elif end == "hand back":
            assert self.store.claims.hand_back(claim)
            state = ItemState.QUEUED
        else:
            self.redis.zadd("model:running", {job_id: 1})
            self.queue.rescue()
            self.losses[job_id] += 1
            state = ItemState.FAILED if self.losses[job_id] >= self.settings.max_losses else ItemState.QUEUED
        self._move(job_id, state)
        del self.held[job_id]

    @rule(claim=claims)
    def cancel_a_job(self, claim: Claim) -> None:
        if claim.job.id in self.held:
            assert self.store.cancel(claim.job.id).state is JobState.CANCELED
            del self.held[claim.job.id]
            self._move(claim.job.id, ItemState.CANCELED)

    @rule(claim=claims)
    def jobs_of_batches_go_with_them(self, claim: Claim) -> None:
        for change in (self.store.delete, self.store.retry):
            try:
                change(claim.job.id)
            except (IllegalTransitionError, JobNotFoundError):
                # Not on its own; or it is only a result by now.
                continue
            raise AssertionError("a batch's job was changed on its own")

    @rule(batch_id=batch_ids)
    def compact(self, batch_id: str) -> None:
        books = self.books.get(batch_id)
        if books is None:
            return
        numbers = self.batches.feeding.ended_numbers(batch_id, 100)
        for job in self.store.read_jobs([job_id_of(batch_id, n) for n in numbers]):
            number = batch_of(job.id)[1]
            arguments = {
                "result": Result.of(job).to_text(),
                "letter": job.state.value[0],
                "audio_seconds": 2.0,
                "stored_bytes": 7,
                "unneeded_bytes": 0,
                "upload_id": None,
                "made_by": f"{ENGINE}@1",
            }
            assert not self.batches.feeding.compact(batch_id, number, job_version=job.version - 1, **arguments)  # type: ignore[arg-type]
            assert self.batches.feeding.compact(batch_id, number, job_version=job.version, **arguments)  # type: ignore[arg-type]
            assert not self.batches.feeding.compact(batch_id, number, job_version=job.version, **arguments)  # type: ignore[arg-type]
            books.compacted.add(number)
        assert self.batches.feeding.ended_numbers(batch_id, 100) == []

    @rule(batch_id=batch_ids, sure=SELDOM)
    def cancel(self, batch_id: str, sure: bool) -> None:
        books = self.books.get(batch_id)
        if books is None or not sure:
            return
        if books.state not in {BatchState.READING, BatchState.RUNNING}:
            _refused(lambda: self.changes.cancel(batch_id))
            return
        assert self.changes.cancel(batch_id).state is BatchState.CANCELED
        for job_id in [i for i in self.held if batch_of(i)[0] == batch_id]:
            del self.held[job_id]
        books.items = [ItemState.CANCELED if state in GOES_ON else state for state in books.items]
        books.state = BatchState.CANCELED

    @rule(batch_id=batch_ids)
    def retry_failed(self, batch_id: str) -> None:
        books = self.books.get(batch_id)
        if books is None:
            return
        again = {ItemState.FAILED, ItemState.CANCELED}
        if not again & set(books.items):
            _refused(lambda: self.changes.retry_failed(batch_id))
            return
        self.changes.retry_failed(batch_id)
        books.items = [ItemState.WAITING if state in again else state for state in books.items]
        books.state = BatchState.RUNNING if books.is_read else BatchState.READING

    @rule(batch_id=batch_ids, sure=SELDOM)
    def delete(self, batch_id: str, sure: bool) -> None:
        books = self.books.get(batch_id)
        if books is None or not sure:
            return
        if books.state in {BatchState.READING, BatchState.RUNNING}:
            _refused(lambda: self.changes.delete(batch_id))
            return
        self.changes.delete(batch_id)
        del self.books[batch_id]
        assert not [key for key in self.redis.scan_iter("model:*") if batch_id[:24] in key]

    @invariant()
    def time_goes_on(self) -> None:
        await_next_millisecond(self.redis)

    @invariant()
    def records_agree_with_the_books(self) -> None:
        for batch_id, books in self.books.items():
            batch = self.batches.read_batch(batch_id)
            assert batch == BatchStore(self.settings, self.redis).read_batch(batch_id), "what is remembered"
            assert batch.state is books.state
            assert batch.total == len(books.items)
            assert {s: n for s, n in batch.counts.items() if n} == dict(Counter(books.items))
            letters = self.batches.read_letters(batch_id, range(1, len(books.items) + 1)) if books.items else ""
            assert letters.lower() == "".join(_letter(state) for state in books.items)

    @invariant()
    def what_records_are_reckoned_to_take_is_the_sum(self) -> None:
        records = [*self.redis.scan_iter("model:batch:*"), *self.redis.scan_iter("model:job:*")]
        hashes = [name for name in records if name.count(":") == 2]
        reckoned = sum(int(self.redis.hget(name, "record_bytes") or 0) for name in hashes)
        assert int(self.redis.get("model:records") or 0) == reckoned

    @invariant()
    def the_servers_counts_are_the_sum(self) -> None:
        counted = {s: n for s, n in self.statistics.jobs_by_state().items() if n}
        told: Counter[str] = Counter()
        for books in self.books.values():
            told.update(s.value for s in books.items if s not in {ItemState.WAITING, ItemState.INVALID})
        assert counted == dict(told)

    def _move(self, job_id: str, state: ItemState) -> None:
        batch_id, number = batch_of(job_id)
        self.books[batch_id].items[number - 1] = state
        self.books[batch_id].settle()


def _letter(state: ItemState) -> str:
    return "q" if state in {ItemState.QUEUED, ItemState.RUNNING} else state.value[0]


def _behind(batch: Any) -> Any:
    return replace(batch, cursor="somewhere before")


def _refused(change: Any) -> None:
    try:
        change()
    except BatchStateError:
        return
    raise AssertionError("the batch's state forbids it")


def test_any_order_of_events_keeps_counts_letters_and_jobs_in_agreement(valkey_url: str) -> None:
    Batches.redis_url = valkey_url
    run_state_machine_as_test(Batches, settings=runs(40))
