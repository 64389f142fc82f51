"""What a run was asked for, checked as far as it can be before any audio is seen.

Owns the choice of the engine and of the stems to deliver, and what is refused for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.errors import RequestInvalidError
from shared.formats import check_options
from worker.engine.errors import EngineError, TrackTooLongError
from worker.engine.interface import Engine
from worker.probing import Probe
from worker.registry import Registry, engines_here, make_engine
from worker.track import Excerpt
from worker.work import Work


@dataclass(frozen=True)
class Plan:
    """A run's work and its engine; `wanted` names the stems to deliver by their place in the engine's blocks."""

    work: Work
    engine: Engine
    wanted: Mapping[int, str]
    excerpt: Excerpt

    def refuse_what_the_engine_will(self, found: Probe) -> None:
        """Spare the decoding of a song that is far too long for the engine. Near the limit, only decoding tells.

        Raises TrackTooLongError.
        """
        start, stop = self.excerpt.span_seconds(context_seconds=self.engine.description.context_seconds)
        seconds = found.walked_seconds
        if seconds is None or found.sample_rate_hz is None:
            return
        seconds = min(seconds, stop or seconds) - start
        try:
            self.engine.check(
                sample_rate_hz=found.sample_rate_hz, channels=2, n_samples=int(0.98 * seconds * found.sample_rate_hz)
            )
        except TrackTooLongError:
            raise
        except EngineError:
            # Too short, perhaps, by the header's word: what decoding yields decides.
            return


def make_plan(work: Work, registry: Registry | None) -> Plan:
    """Choose the engine, from those that run here unless told otherwise, and the stems.

    Raises RequestInvalidError, EngineUnavailableError or InvalidParameterError.
    """
    if registry is None:
        model_folder = Path(work.model_folder) if work.model_folder else None
        registry = engines_here(model_folder=model_folder, extra_modules=work.extra_engines)
    engine = make_engine(registry, work.engine, work.preset, work.parameters)
    check_options(work.format, work.format_options)
    names = engine.stems if work.stems is None else work.stems
    unknown = [name for name in names if name not in engine.stems]
    if unknown or not names:
        raise RequestInvalidError(f"The engine {work.engine} has the stems {', '.join(engine.stems)}.")
    wanted = {index: name for index, name in enumerate(engine.stems) if name in names}
    excerpt = Excerpt(work.excerpt_start_seconds or 0.0, work.excerpt_duration_seconds)
    return Plan(work, engine, wanted, excerpt)
