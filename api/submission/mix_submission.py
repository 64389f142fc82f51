"""Turns a request for mixes of an ended job into the request of a job of its own, whose source is that job's stems.

The mixes get a gain for each stem that they need, so the worker does not have to know the rest of the song.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from api.contract.job_requests import MixSubmission
from shared.audio.formats import check_options, holds_stems
from shared.audio.mixes import STEM_FILE_MIXES, Mix, problem_of_names, problem_of_stem_file
from shared.errors import FieldsInvalidError, IllegalTransitionError, RequestInvalidError, StemsNotKeptError
from shared.jobs.model import Job, JobState, Output
from shared.jobs.request import JobRequest, Source, SourceOutput
from shared.queue.engine_catalog import EngineCatalog, offered_stems
from shared.storage.object_storage import ObjectStorage

SONG_IN_TWO = ("vocals", "accompaniment")
"""These are the whole song for every engine that has both."""


def mixing_request(
    job: Job,
    wanted: MixSubmission,
    catalog: EngineCatalog,
    storage: ObjectStorage,
    *,
    webhook_url: str | None,
    request_id: str,
) -> JobRequest:
    """Return the request of a job that makes the wanted mixes of an ended job's stems.

    It belongs to the owner of that job. Raises IllegalTransitionError, StemsNotKeptError, FieldsInvalidError,
    SourceMissingError if a stem is gone from storage, StorageUnavailableError.
    """
    if job.state is not JobState.SUCCEEDED:
        raise IllegalTransitionError(f"Only a job that has succeeded can be mixed again; this one is {job.state}.")
    descriptions = catalog.descriptions()
    described = descriptions.get(job.request.engine)
    stems = {output.name: output for output in job.outputs if output.kind == "stem"}
    if wanted.format and holds_stems(wanted.format):
        mixes = _tracks_of_stem_file(job, [*stems], described)
    else:
        mixes = tuple(
            _explicit(mix, place, job, [*stems], described)
            for place, mix in enumerate(m.as_mix() for m in wanted.mixes)
        )
        if problem := problem_of_names((mix.name for mix in mixes), {*stems, *_offered(described)}):
            raise FieldsInvalidError([{"field": "mixes", "message": problem}])
    needed = {name for mix in mixes for name, gain_db in mix.gains_db.items() if gain_db is not None}
    request = job.request
    format_name = wanted.format or request.format
    options = _format_options(wanted, request, format_name)
    return JobRequest(
        source=_source(job, [output for name, output in stems.items() if name in needed], storage),
        # The queue in which it waits. If no worker has the engine any more, the default one's.
        engine=request.engine if described or not descriptions else catalog.default_engine(descriptions),
        stems=(),
        mixes=mixes,
        format=format_name,
        format_options=options,
        priority=wanted.priority,
        owner=request.owner,
        metadata=wanted.metadata,
        webhook_url=webhook_url,
        request_id=request_id,
        no_cache=wanted.no_cache,
    )


def _format_options(wanted: MixSubmission, request: JobRequest, format_name: str) -> Mapping[str, Any]:
    """Return the options of the mixes' format; without any, those of the stems if the format is theirs."""
    options = wanted.format_options.model_dump(exclude_none=True)
    try:
        check_options(format_name, options)
    except RequestInvalidError as error:
        raise FieldsInvalidError([{"field": "format_options", "message": error.message}]) from error
    return options or (request.format_options if format_name == request.format else {})


def _explicit(mix: Mix, place: int, job: Job, kept: Sequence[str], described: Mapping[str, Any] | None) -> Mix:
    """Return the mix with a gain for each stem that it needs, and no others."""
    if not kept:
        raise StemsNotKeptError("The job has kept no stems, so there is nothing to mix.")
    for stem in mix.gains_db:
        if stem in kept:
            continue
        if described and stem not in _offered(described):
            message = f"{stem!r} is unknown; choose from {', '.join(kept)}"
            raise FieldsInvalidError([{"field": f"mixes.{place}.gains_db", "message": message, "allowed": kept}])
        raise StemsNotKeptError(f"The job has not kept the stem {stem}. It has kept {', '.join(kept)}.")
    gains = dict(mix.gains_db)
    if mix.rest_db is not None:
        wholes = _wholes(job, kept, described)
        whole = next((w for w in wholes if {*gains} <= {*w} <= {*kept}), None)
        if whole is None:
            if described and not any({*gains} <= {*w} for w in wholes):
                # More kept stems would not help.
                raise FieldsInvalidError([{"field": f"mixes.{place}.gains_db", "message": _overlap(gains, wholes)}])
            raise StemsNotKeptError(
                f"The mix {mix.name!r} needs the rest of the song, because its rest_db is {mix.rest_db:g}. The job has "
                f"kept only {', '.join(kept)}. Set rest_db to null to mix these alone."
            )
        gains = {stem: gains.get(stem, mix.rest_db) for stem in whole}
    if all(gain_db is None for gain_db in gains.values()):
        raise FieldsInvalidError([{"field": f"mixes.{place}", "message": "leaves out everything"}])
    return replace(mix, gains_db=gains, rest_db=None)


def _tracks_of_stem_file(job: Job, kept: Sequence[str], described: Mapping[str, Any] | None) -> tuple[Mix, ...]:
    """Return the tracks of a stem file as mixes of all of the engine's own stems."""
    # A job that did not choose has all of them.
    whole: Sequence[str] = described["stems"] if described else kept if job.request.stems is None else ()
    if described and (problem := problem_of_stem_file(whole)):
        raise FieldsInvalidError([{"field": "format", "message": problem}])
    if problem_of_stem_file(kept) or not {*whole} <= {*kept} or not whole:
        raise StemsNotKeptError(
            f"A stem file needs all stems of the engine, drums, bass and vocals among them. "
            f"The job has kept {', '.join(kept) or 'none'}."
        )
    return tuple(
        replace(mix, gains_db={stem: mix.gains_db.get(stem, mix.rest_db) for stem in whole}, rest_db=None)
        for mix in STEM_FILE_MIXES
    )


def _overlap(names: Iterable[str], wholes: Sequence[Sequence[str]]) -> str:
    """Return why a mix of these stems has no rest."""
    sets = " or ".join(f"({', '.join(whole)})" for whole in wholes)
    return (
        f"{', '.join(names)}: stems that overlap have no rest. Name stems of one set that makes up the song, {sets}, "
        "or set rest_db to null"
    )


def _wholes(job: Job, kept: Sequence[str], described: Mapping[str, Any] | None) -> list[Sequence[str]]:
    """Return the sets of stems that add up to the song."""
    if described:
        two = [SONG_IN_TWO] if {*SONG_IN_TWO} <= {*_offered(described)} else []
        return [described["stems"], *two]
    # A job that did not choose has all of its engine's own stems.
    return [SONG_IN_TWO, *([kept] if job.request.stems is None else [])]


def _offered(described: Mapping[str, Any] | None) -> list[str]:
    return offered_stems(described) if described else []


def _source(job: Job, stems: Sequence[Output], storage: ObjectStorage) -> Source:
    outputs = tuple(_source_output(stem, *storage.head(stem.key)) for stem in stems)
    # The mixture stays the job's source for clients. An upload is kept as long as the job is.
    return replace(job.request.source, job_id=job.id, outputs=outputs, output=None)


def _source_output(stem: Output, size_bytes: int, etag: str) -> SourceOutput:
    # The recorded ETag may be that of the object before the bucket was restored. The worker compares the content.
    return SourceOutput(stem.name, stem.key, stem.filename, size_bytes, stem.sha256, etag)
