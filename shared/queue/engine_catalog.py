"""Lists the engines of the live workers, and checks a job's engine, preset, parameters and stems against them.

The API imports no engine. It knows an engine only from the description that workers put into Redis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.audio.formats import holds_stems
from shared.audio.mixes import Mix, problem_of_names, problem_of_stem_file
from shared.errors import FieldsInvalidError, WorkersUnavailableError
from shared.jobs.options import ItemOptions
from shared.queue.dispatcher import JobQueue
from shared.queue.worker_registry import WorkerRegistry
from shared.settings import Settings

PREFERRED, FALLBACK = "unet", "repetition"
"""The engine with the best quality, and the one that needs no trained weights and so runs everywhere."""


@dataclass(frozen=True)
class Choice:
    """The engine and preset of a job. The preset is None if no live worker could name the default."""

    engine: str
    preset: str | None


class EngineCatalog:
    """Reads the live workers at each call. Every method may raise StoreUnavailableError."""

    def __init__(self, settings: Settings, queue: JobQueue, workers: WorkerRegistry) -> None:
        self._settings = settings
        self._queue = queue
        self._workers = workers

    def descriptions(self) -> dict[str, Mapping[str, Any]]:
        """Return the engines' descriptions by name, as live workers give them."""
        found = {d["name"]: d for worker in self._workers.live_workers() for d in worker.descriptions}
        return dict(sorted(found.items()))

    def engines_without_storage(self) -> set[str]:
        """Return the engines whose live workers are all waiting for storage."""
        workers = self._workers.live_workers()
        served = {engine for worker in workers if not worker.fault for engine in worker.engines}
        return {engine for worker in workers for engine in worker.engines} - served

    def default_engine(self, descriptions: Mapping[str, Any]) -> str:
        """Return the engine for jobs that do not name one."""
        return self._settings.default_engine or (PREFERRED if PREFERRED in descriptions else FALLBACK)

    def choose(self, options: ItemOptions) -> Choice:
        """Return the engine and preset of a new job.

        Raises FieldsInvalidError if no live worker supports the request, and WorkersUnavailableError if no worker is
        live to check it.
        """
        engine, preset = options.engine, options.preset
        descriptions = self.descriptions()
        if not descriptions:
            return self._choose_without_workers(engine, preset)
        name = engine or self.default_engine(descriptions)
        if name not in descriptions:
            if engine is None:
                # No live worker has the operator's default engine: its jobs wait for one.
                return Choice(name, preset)
            raise FieldsInvalidError([_unknown("engine", name, list(descriptions))])
        description = descriptions[name]
        errors = [
            *_check_preset(description, preset),
            *_check_parameters(description, options.parameters),
            *_check_stems(description, options.stems or ()),
            *_check_mixes(description, [mix.as_mix() for mix in options.mixes]),
            *_check_format(description, options.format),
        ]
        if errors:
            raise FieldsInvalidError(errors)
        return Choice(name, preset or description["default_preset"])

    def _choose_without_workers(self, engine: str | None, preset: str | None) -> Choice:
        # Jobs may wait for workers that start later, but only for an engine that is known to exist.
        known = {self.default_engine({}), PREFERRED, FALLBACK, *(line.engine for line in self._queue.queue_lengths())}
        if engine is not None and engine not in known:
            raise WorkersUnavailableError(
                f"No worker is running, so the engine {engine!r} cannot be checked. Try again later."
            )
        return Choice(engine or self.default_engine({}), preset)


def _check_preset(description: Mapping[str, Any], preset: str | None) -> list[dict[str, Any]]:
    names = [p["name"] for p in description["presets"]]
    return [] if preset is None or preset in names else [_unknown("preset", preset, names)]


def offered_stems(description: Mapping[str, Any]) -> list[str]:
    """Return the stems that jobs of an engine may name."""
    # Workers of older versions do not tell of derived stems.
    return [*description["stems"], *description.get("derived_stems", ())]


def _check_stems(description: Mapping[str, Any], stems: Sequence[str]) -> list[dict[str, Any]]:
    offered = offered_stems(description)
    return [_unknown("stems", name, offered) for name in stems if name not in offered]


def _check_mixes(description: Mapping[str, Any], mixes: Sequence[Mix]) -> list[dict[str, Any]]:
    offered = offered_stems(description)
    errors = [
        _unknown(f"mixes.{place}.gains_db", name, offered)
        for place, mix in enumerate(mixes)
        for name in mix.gains_db
        if name not in offered
    ]
    problem = problem_of_names((mix.name for mix in mixes), offered)
    return [*errors, *([{"field": "mixes", "message": problem}] if problem else [])]


def _check_format(description: Mapping[str, Any], format_name: str) -> list[dict[str, Any]]:
    problem = problem_of_stem_file(description["stems"]) if holds_stems(format_name) else None
    return [{"field": "format", "message": problem}] if problem else []


def _check_parameters(description: Mapping[str, Any], parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    known = {p["name"]: p for p in description["parameters"]}
    errors = []
    for name, value in parameters.items():
        if name not in known:
            errors.append(_unknown(f"parameters.{name}", name, list(known)))
        elif problem := _problem_of_value(known[name], value):
            errors.append({"field": f"parameters.{name}", "message": problem})
    return errors


def _problem_of_value(parameter: Mapping[str, Any], value: object) -> str | None:
    if parameter["kind"] == "choice":
        choices = parameter["choices"]
        return None if value in choices else f"must be one of {', '.join(choices)}"
    if parameter["kind"] == "integer" and (isinstance(value, bool) or not isinstance(value, int)):
        return "must be a whole number"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "must be a number"
    low, high = parameter["minimum"], parameter["maximum"]
    if (low is not None and value < low) or (high is not None and value > high):
        return f"must be between {low:g} and {high:g}" if None not in (low, high) else "is out of range"
    return None


def _unknown(field: str, value: str, allowed: list[str]) -> dict[str, Any]:
    choices = f"choose from {', '.join(allowed)}" if allowed else "the engine has none"
    return {"field": field, "message": f"{value!r} is unknown; {choices}", "allowed": allowed}
