"""Notices that models were added to MODEL_FOLDER or removed from it, so that the worker offers them without a restart.

The queues of a new engine are consumed before the engine is announced. Nothing is lost with an engine that goes: its
messages stay in Redis, until a worker has it again.
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from celery import bootsteps
from kombu import Exchange, Queue

from shared.errors import SandboxUnavailableError
from shared.jobs.request import PRIORITIES
from shared.queue.dispatcher import celery_queue
from shared.settings import Settings
from worker.child.engine_descriptions import State, describe_engines, models_state

log = structlog.get_logger(__name__)

Descriptions = Sequence[Mapping[str, Any]]


class EngineWatch:
    """The engines of this worker. `run` is a thread's target; the other methods may be called from any thread.

    `descriptions` are those of the engines when MODEL_FOLDER was in the state `models`. `on_change` is called when they
    are others.
    """

    def __init__(
        self,
        settings: Settings,
        descriptions: Descriptions,
        models: State,
        stopping: threading.Event,
        *,
        on_change: Callable[[], None],
        describe: Callable[[Settings], Descriptions] = describe_engines,
    ) -> None:
        self.descriptions = tuple(descriptions)
        self._settings = settings
        self._stopping = stopping
        self._on_change = on_change
        self._describe = describe
        self._consumer: Any = None
        self._state = models

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the engines."""
        return tuple(d["name"] for d in self.descriptions)

    def queues(self, names: Sequence[str] | None = None) -> list[Queue]:
        """Return the Celery queues of these engines, by default of all.

        Each queue has an exchange of its own; by default Celery would bind them all to one. Messages need no
        acknowledgement: the rescuer publishes again what nobody claimed, and a full Redis could not keep track of them.
        """
        only_interactive = self._settings.interactive_slots >= self._settings.worker_slots
        priorities = ("interactive",) if only_interactive else PRIORITIES
        engines = self.names if names is None else names
        queues = [celery_queue(engine, priority) for priority in priorities for engine in engines]
        return [Queue(name, Exchange(name), routing_key=name, no_ack=True) for name in queues]

    def use_consumer(self, consumer: Any) -> None:
        """Take note of Celery's consumer, which has just started, or started again."""
        self._consumer = consumer

    def run(self) -> None:
        """Look at MODEL_FOLDER four times in each span after which a silent worker counts as dead."""
        while not self._stopping.wait(self._settings.worker_alive_seconds / 4):
            self.look()

    def look(self) -> None:
        """Describe the engines anew if MODEL_FOLDER has changed."""
        state = models_state(self._settings.model_folder)
        if state == self._state:
            return
        try:
            found = tuple(self._describe(self._settings))
        except (OSError, subprocess.SubprocessError, ValueError, SandboxUnavailableError) as error:
            log.warning("engines not described", error=str(error))
            return
        self._state = state
        before = set(self.names)
        added = [d["name"] for d in found if d["name"] not in before]
        removed = sorted(before - {d["name"] for d in found})
        self._change_queues(added, removed)
        self.descriptions = found
        self._on_change()
        log.info("engines changed", added=added, removed=removed)

    def _change_queues(self, added: Sequence[str], removed: Sequence[str]) -> None:
        if self._consumer is not None:
            # Celery's event loop runs it: its consumer may be used in no other thread.
            self._consumer.call_soon(_change_queues, self._consumer, self.queues(added), self.queues(removed))


def engine_step(use_consumer: Callable[[Any], None]) -> type[bootsteps.StartStopStep]:
    """Return a step for `app.steps["consumer"]` that passes on each consumer that starts."""

    class Engines(bootsteps.StartStopStep):
        requires = ("celery.worker.consumer:Tasks",)

        def start(self, consumer: Any) -> None:
            use_consumer(consumer)

    return Engines


def _change_queues(consumer: Any, added: Sequence[Queue], removed: Sequence[Queue]) -> None:
    """Consume from further queues, and no longer from others. Also a consumer that starts later does so."""
    known = consumer.app.amqp.queues
    for queue in added:
        known.select_add(queue)
        if consumer.task_consumer:
            consumer.task_consumer.add_queue(queue)
    for queue in removed:
        known.deselect(queue.name)
        if consumer.task_consumer:
            consumer.task_consumer.cancel_by_queue(queue.name)
    if consumer.task_consumer:
        consumer.task_consumer.consume()
