"""STAND-IN for an engine whose two stems cancel with the vocals at 20 %, unless the stems are out of step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tests.fixtures.stand_ins.engines import Share
from worker.engines.interface import EngineDescription


@dataclass
class Opposed(Share):
    """Gives the vocals more than the mixture, and the accompaniment what is too much, upside down."""

    vocals_gain: float = 1.25
    accompaniment_gain: float = -0.25

    @property
    def description(self) -> EngineDescription:
        """What the engine tells of itself."""
        return replace(super().description, name="opposed", title="Stand-in for stems that cancel")


DESCRIPTION = Opposed().description


def create(preset: str | None, parameters: Mapping[str, object]) -> Opposed:
    """Return the engine, for a child that names this module among its extra engines."""
    del preset, parameters
    return Opposed()
