"""The Celery consumer counts as dead only if it is silent for long while Redis answers."""

from __future__ import annotations

import pytest

from worker.service.consumer_watch import LONGEST_STEP_SECONDS, MAX_SILENT_SECONDS, ConsumerWatch


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def seconds_until_dead(clock: Clock, watch: ConsumerWatch, limit: int) -> int | None:
    """Check once a second, as the background thread does; return when the consumer was found dead."""
    for second in range(1, limit + 1):
        clock.now += 1.0
        if watch.is_dead():
            return second
    return None


def test_a_silent_consumer_is_found_dead_within_a_minute_and_not_before_celery_would_have_reconnected() -> None:
    clock = Clock()
    found = seconds_until_dead(clock, ConsumerWatch(clock), 600)
    assert found == MAX_SILENT_SECONDS
    assert 30 + 10 < found < 60, "Celery's longest pause between two tries is 30 s, that of its event loop 10 s"


def test_a_consumer_that_shows_signs_of_life_is_never_dead() -> None:
    clock = Clock()
    watch = ConsumerWatch(clock)
    for _ in range(60):
        watch.sign_of_life()
        assert seconds_until_dead(clock, watch, 10) is None


def test_an_outage_of_redis_however_long_is_no_death() -> None:
    clock = Clock()
    watch = ConsumerWatch(clock)
    for _ in range(3600):
        clock.now += 1.0
        watch.redis_is_away()
    assert seconds_until_dead(clock, watch, int(MAX_SILENT_SECONDS) - 1) is None, "Celery has time to reconnect"
    assert seconds_until_dead(clock, watch, 1) == 1


@pytest.mark.parametrize("hours", [1, 1000])
def test_a_process_that_was_suspended_was_not_silent(hours: int) -> None:
    clock = Clock()
    watch = ConsumerWatch(clock)
    assert not watch.is_dead()
    clock.now += hours * 3600
    assert not watch.is_dead()
    assert seconds_until_dead(clock, watch, 100) == MAX_SILENT_SECONDS - LONGEST_STEP_SECONDS
