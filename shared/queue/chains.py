"""Plans a chain: checks the jobs that continue a job, and writes their requests.

A request may ask for jobs that continue with outputs of its own job (`then`). They are accepted with it and wait until
it has succeeded (shared/redis_client/lua/lib/jobs/chains.lua).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from shared.audio.formats import FORMATS, holds_stems
from shared.audio.mixes import STEM_FILE_MIXES
from shared.audio.names import without_audio_extension
from shared.errors import FieldsInvalidError
from shared.jobs.options import ItemOptions
from shared.jobs.output_source import name_after_output
from shared.jobs.request import JobRequest, NextJob, Source
from shared.jobs.store import FollowingJob
from shared.queue.engine_catalog import EngineCatalog


@dataclass(frozen=True)
class Link:
    """A job of a chain after the first: it continues with `output` of the job `before`, where 0 is the first job."""

    before: int
    output: str
    members: Mapping[str, Any]
    """What its options say of its JobRequest."""

    @property
    def metadata(self) -> Mapping[str, Any]:
        """Its metadata."""
        metadata: Mapping[str, Any] = self.members["metadata"]
        return metadata


def plan_chain(catalog: EngineCatalog, options: ItemOptions, engine: str) -> list[Link]:
    """Return the jobs that continue a job with these options and this engine, each after the one that it continues.

    Raises FieldsInvalidError, WorkersUnavailableError.
    """
    links = list[Link]()
    if options.then:
        _append_links(links, catalog, options, engine, place=0, path="")
    return links


def _append_links(
    links: list[Link], catalog: EngineCatalog, options: ItemOptions, engine: str, *, place: int, path: str
) -> None:
    made = _outputs_of(catalog, options, engine)
    for number, wish in enumerate(options.then):
        field = f"{path}then.{number}"
        if made is not None and wish.output not in made:
            message = f"the job before makes no {wish.output!r}; choose from {', '.join(made)}"
            raise FieldsInvalidError([{"field": f"{field}.from", "message": message, "allowed": made}])
        try:
            choice = catalog.choose(wish)
        except FieldsInvalidError as error:
            raise FieldsInvalidError([{**e, "field": f"{field}.{e['field']}"} for e in error.errors]) from error
        links.append(Link(place, wish.output, wish.request_members(engine=choice.engine, preset=choice.preset)))
        _append_links(links, catalog, wish, choice.engine, place=len(links), path=f"{field}.")


def _outputs_of(catalog: EngineCatalog, options: ItemOptions, engine: str) -> list[str] | None:
    """Return the stems and mixes that a job makes; None if no live worker can tell."""
    if holds_stems(options.format):
        return [STEM_FILE_MIXES[0].name]
    stems = options.stems
    if stems is None:
        description = catalog.descriptions().get(engine)
        if description is None:
            return None
        stems = description["stems"]
    return [*stems, *(mix.name for mix in options.mixes)]


def next_jobs(links: Sequence[Link], place: int, ids: Sequence[str]) -> tuple[NextJob, ...]:
    """Return the jobs that continue the job at a place of a chain; `ids` are those of all its jobs."""
    return tuple(NextJob(ids[n], link.output) for n, link in enumerate(links, 1) if link.before == place)


def source_to_come(source: Source, job_id: str, output: str, format_name: str) -> Source:
    """Return an output that a job has not made yet as a source. `source` and `format_name` are those of that job."""
    song = without_audio_extension(source.filename)
    filename = name_after_output(song, f"{output}.{FORMATS[format_name].extension}")
    return Source(key="", filename=filename, size_bytes=0, job_id=job_id, output=output)


def chain_of(request: JobRequest, links: Sequence[Link], ids: Sequence[str]) -> tuple[JobRequest, list[FollowingJob]]:
    """Return the request of the first job of a chain, and the jobs that follow it. `ids` are those of all its jobs."""
    requests = [replace(request, then=next_jobs(links, 0, ids))]
    for place, link in enumerate(links, 1):
        before = requests[link.before]
        source = source_to_come(before.source, ids[link.before], link.output, before.format)
        requests.append(
            JobRequest(
                **link.members,
                source=source,
                then=next_jobs(links, place, ids),
                priority=request.priority,
                owner=request.owner,
                webhook_url=request.webhook_url,
                request_id=request.request_id,
                trace=request.trace,
            )
        )
    followers: Iterable[FollowingJob] = map(FollowingJob, ids[1:], requests[1:])
    return requests[0], list(followers)
