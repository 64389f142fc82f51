"""The Lua scripts of webhooks against a model: each message is in one place, and owners and hosts take turns."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from api.webhooks import outbox
from api.webhooks.outbox import Message, WebhookStore
from shared.jobs.request import JobRequest, Source
from shared.jobs.store import JobStore
from shared.redis_client.connection import connect
from tests.integration.shared.repeatable import Ids, await_next_millisecond, patient_settings, runs

OWNERS, HOSTS = ("ann", "ben", ""), ("a.example", "b.example:8443", "[2606:4700::1]")
HOUR_MS = 3_600_000


@dataclass
class Lines:
    """The model: the due messages by owner and host, since when they are due, and when each owner was last served."""

    due: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)
    owner_served: dict[str, int] = field(default_factory=dict)
    host_served: dict[tuple[str, str], int] = field(default_factory=dict)
    clock: int = 0

    def enter(self, message: str, owner: str, host: str, since: int) -> None:
        self.clock += 1
        if owner not in {o for o, _ in self.due}:
            self.owner_served[owner] = self.clock
        if (owner, host) not in self.due:
            self.host_served[owner, host] = self.clock
        self.due.setdefault((owner, host), {})[message] = since

    def leave(self, message: str, owner: str, host: str) -> None:
        line = self.due.get((owner, host), {})
        if line.pop(message, None) is not None and not line:
            del self.due[owner, host]

    def next(self, busy_owners: set[str], busy_hosts: set[str]) -> tuple[str, str, str] | None:
        free = [lane for lane in self.due if lane[0] not in busy_owners and lane[1] not in busy_hosts]
        if not free:
            return None
        owner, host = min(free, key=lambda lane: (self.owner_served[lane[0]], self.host_served[lane]))
        self.clock += 1
        self.owner_served[owner] = self.host_served[owner, host] = self.clock
        line = self.due[owner, host]
        message = min(line, key=line.__getitem__)
        self.leave(message, owner, host)
        return message, owner, host


class Deliveries(RuleBasedStateMachine):
    """Ends jobs, takes messages, records attempts and lets leases expire, in any order."""

    redis_url = ""

    def __init__(self) -> None:
        super().__init__()
        settings = patient_settings(self.redis_url, max_losses=3)
        self.ids, self.redis = Ids(), connect(settings)
        self.redis.flushdb()
        self.jobs, self.store = JobStore(settings, self.redis), WebhookStore(settings, self.redis)
        self.lines = Lines()
        self.taken: list[Message] = []
        self.scheduled: dict[str, tuple[str, str]] = {}
        self.tries: dict[str, int] = {}

    @rule(owner=st.sampled_from(OWNERS), host=st.sampled_from(HOSTS), path=st.sampled_from(["", "/x", "?x=/", "#x"]))
    def end_a_job(self, owner: str, host: str, path: str) -> None:
        await_next_millisecond(self.redis)
        url = f"https://{host.upper()}{path}"
        request = JobRequest(Source("uploads/x", "x.wav", 1), "model", owner=owner, webhook_url=url)
        job = self.jobs.submit(request, job_id=self.ids.next())
        self.jobs.cancel(job.id)
        self.lines.enter(f"msg_{job.id}_1", owner, host, HOUR_MS + self.lines.clock)
        self.tries[f"msg_{job.id}_1"] = 0

    @rule(busy_owners=st.sets(st.sampled_from(OWNERS)), busy_hosts=st.sets(st.sampled_from(HOSTS)))
    def take_due_message(self, busy_owners: set[str], busy_hosts: set[str]) -> None:
        await_next_millisecond(self.redis)
        expected = self.lines.next(busy_owners, busy_hosts)
        message = self.store.take_due_message(busy_owners=busy_owners, busy_hosts=busy_hosts)
        assert (message and (message.id, message.owner, message.host)) == expected
        if message:
            assert message.tries == self.tries[message.id]
            self.taken.append(message)
            self.scheduled[message.id] = message.owner, message.host

    @precondition(lambda self: self.scheduled)
    @rule(data=st.data(), is_old=st.booleans())
    def time_passes(self, data: Any, *, is_old: bool) -> None:
        """A retry becomes due, or a lease expires. `is_old`: the message is of a version without queues per owner."""
        message = data.draw(st.sampled_from(sorted(self.scheduled)))
        if is_old:
            self.redis.hdel(f"model:webhook:{message}", "owner", "host")
        # Long ago, and after those that became due so before.
        since = self.lines.clock
        self.redis.zadd("model:webhooks", {message: since})
        await_next_millisecond(self.redis)
        # It comes into its line at the next look, which finds everybody busy.
        assert self.store.take_due_message(busy_owners=OWNERS) is None
        self.lines.enter(message, *self.scheduled.pop(message), since)

    @precondition(lambda self: self.taken)
    @rule(data=st.data(), retry=st.booleans())
    def record_attempt(self, data: Any, *, retry: bool) -> None:
        """Record an attempt, also after its lease has expired, and after another process recorded one."""
        message = data.draw(st.sampled_from(self.taken))
        self.store.record_attempt(message, {}, retry_in_seconds=HOUR_MS / 2000 if retry else None)
        if message.id not in self.tries:
            return
        self.lines.leave(message.id, message.owner, message.host)
        if retry:
            self.tries[message.id] += 1
            self.scheduled[message.id] = message.owner, message.host
        else:
            self.scheduled.pop(message.id, None)
            del self.tries[message.id]

    @invariant()
    def keys_agree(self) -> None:
        keys = {key.removeprefix("model:") for key in self.redis.scan_iter("model:webhook*", count=1000)}
        lines = {f"webhooks:line:{owner}:{host}": messages for (owner, host), messages in self.lines.due.items()}
        assert {key for key in keys if key.startswith("webhooks:line:")} == set(lines)
        for key, messages in lines.items():
            assert self.redis.zrange(f"model:{key}", 0, -1) == sorted(messages, key=messages.__getitem__)
        for owner in OWNERS:
            hosts = self.redis.zrange(f"model:webhooks:hosts:{owner}", 0, -1)
            assert set(hosts) == {host for o, host in self.lines.due if o == owner}
        assert set(self.redis.zrange("model:webhooks:turns", 0, -1)) == {owner for owner, _ in self.lines.due}
        assert set(self.redis.zrange("model:webhooks", 0, -1)) == set(self.scheduled)
        assert {key for key in keys if key.startswith("webhook:")} == {f"webhook:{message}" for message in self.tries}


def test_no_order_of_events_loses_or_doubles_a_message(valkey_url: str) -> None:
    Deliveries.redis_url = valkey_url
    run_state_machine_as_test(Deliveries, settings=runs(40))


@pytest.fixture
def store(valkey_url: str) -> WebhookStore:
    return WebhookStore(patient_settings(valkey_url, max_losses=3))


def test_messages_of_the_version_before_are_delivered(store: WebhookStore) -> None:
    """They are only in `webhooks` and name no owner; some of their jobs are already compacted to results."""
    redis = store._redis
    for number in range(outbox.MAX_SCHEDULED + 10):
        job, message = f"{number:032x}", f"msg_{number:032x}_1"
        if number:
            request = json.dumps({"webhook_url": "https://A.example/hook"})
            redis.hset(f"model:job:{job}", mapping={"owner": "ann", "request": request})
        redis.hset(f"model:webhook:{message}", mapping={"job": job, "type": "job.failed", "at_ms": 1, "tries": 2})
        redis.zadd("model:webhooks", {message: number})
    # One that two processes settled had only this.
    redis.hset("model:webhook:msg_lost_1", "tries", 1)
    redis.zadd("model:webhooks", {"msg_lost_1": 0})
    taken = [store.take_due_message() for _ in range(outbox.MAX_SCHEDULED + 11)]
    assert taken.pop() is None
    assert len({message.id for message in taken if message}) == outbox.MAX_SCHEDULED + 10
    assert {(m.owner, m.host, m.tries) for m in taken if m} == {("ann", "a.example", 2), ("", "", 2)}


def test_what_is_due_behind_many_that_may_not_be_taken_is_found(store: WebhookStore) -> None:
    redis = store._redis
    for number in range(2 * outbox.MAX_SCHEDULED + 1):
        owner = "ben" if number == 2 * outbox.MAX_SCHEDULED else "ann"
        fields = {"job": "x", "type": "job.failed", "at_ms": 1, "tries": 0, "owner": owner, "host": "a.example"}
        redis.hset(f"model:webhook:{number}", mapping=fields)
        redis.zadd("model:webhooks", {str(number): number})
    message = store.take_due_message(busy_owners=["ann"])
    assert message is not None
    assert message.owner == "ben"
