"""Plans a run before any audio is read: chooses the engine and the stems, and refuses invalid requests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from shared.audio.formats import check_options, holds_stems
from shared.audio.mixes import STEM_FILE_MIXES, problem_of_names, problem_of_stem_file, unknown_stem
from shared.errors import RequestInvalidError
from worker.audio_files.excerpt import TrackExcerpt
from worker.audio_files.mixing import MixFactors, factors_of
from worker.audio_files.probe import Probe
from worker.engines.errors import EngineError, TrackTooLongError
from worker.engines.interface import SeparationEngine, derived_stems
from worker.engines.registry import Registry, engines_here, make_engine
from worker.run_messages import Work

# A track is refused before decoding only if it is longer than the limit by more than this: what a file declares may
# differ slightly from what it decodes to.
LENGTH_TOLERANCE = 0.98


@dataclass(frozen=True)
class RunPlan:
    """A run's work and its engine.

    `wanted` maps the index of each wanted stem to its name. Derived stems come after those of the engine. The `mixes`
    name stems by the same indexes.
    """

    work: Work
    engine: SeparationEngine
    wanted: Mapping[int, str]
    excerpt: TrackExcerpt
    mixes: Sequence[MixFactors] = ()

    @property
    def needed(self) -> list[int]:
        """The indexes of all stems that an output is or is mixed from, in order."""
        return sorted({*self.wanted, *(index for mix in self.mixes for index in mix.stems)})

    @property
    def output_names(self) -> list[str]:
        """The names of the stems and of the mixes, in the order of their files."""
        return [*self.wanted.values(), *(mix.name for mix in self.mixes)]

    def refuse_too_long(self, found: Probe) -> None:
        """Raise TrackTooLongError if the song is far too long for the engine, to avoid decoding it for nothing.

        Near the limit the decision is left to the check after decoding.
        """
        start, stop = self.excerpt.span_seconds(context_seconds=self.engine.description.context_seconds)
        seconds = found.walked_seconds
        if seconds is None or found.decoded_rate_hz is None:
            return
        seconds = min(seconds, stop or seconds) - start
        n_samples = int(LENGTH_TOLERANCE * seconds * found.decoded_rate_hz)
        try:
            self.engine.check_track(sample_rate_hz=found.decoded_rate_hz, channels=2, n_samples=n_samples)
        except TrackTooLongError:
            raise
        except EngineError:
            # Perhaps too short, according to the header. The decoded audio decides.
            return


def make_plan(work: Work, registry: Registry | None) -> RunPlan:
    """Choose the engine and the stems. Without a registry, the engines that run on this machine are available.

    Raises RequestInvalidError, EngineUnavailableError or InvalidParameterError.
    """
    if registry is None:
        model_folder = Path(work.model_folder) if work.model_folder else None
        registry = engines_here(model_folder=model_folder, extra_modules=work.extra_engines)
    engine = make_engine(registry, work.engine, work.preset, work.parameters)
    check_options(work.format, work.format_options)
    if holds_stems(work.format):
        return _plan_stem_file(work, engine)
    offered = (*engine.stems, *derived_stems(engine.stems))
    names = engine.stems if work.stems is None else work.stems
    unknown = [name for name in names if name not in offered]
    if unknown or not (names or work.mixes) or unknown_stem(work.mixes, offered):
        raise RequestInvalidError(f"The engine {work.engine} has the stems {', '.join(offered)}.")
    if problem := problem_of_names((mix.name for mix in work.mixes), offered):
        raise RequestInvalidError(f"{problem[0].upper()}{problem[1:]}.")
    wanted = {index: name for index, name in enumerate(offered) if name in names}
    return RunPlan(work, engine, wanted, _excerpt_of(work), [factors_of(mix, offered) for mix in work.mixes])


def _plan_stem_file(work: Work, engine: SeparationEngine) -> RunPlan:
    """Return the plan of a stem file: a run whose only outputs are five mixes, which become one file."""
    if work.stems is not None or work.mixes:
        raise RequestInvalidError(f"{work.format} always holds the song and four stems: give no stems and no mixes.")
    if problem := problem_of_stem_file(engine.stems):
        raise RequestInvalidError(f"{problem[0].upper()}{problem[1:]}.")
    mixes = [factors_of(mix, engine.stems) for mix in STEM_FILE_MIXES]
    return RunPlan(replace(work, stems=(), mixes=STEM_FILE_MIXES), engine, {}, _excerpt_of(work), mixes)


def _excerpt_of(work: Work) -> TrackExcerpt:
    return TrackExcerpt(work.excerpt_start_seconds or 0.0, work.excerpt_duration_seconds)
