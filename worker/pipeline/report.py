"""The report of a run: the request, the source, the results, what was unusual, and how long each stage took."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.audio.formats import Encoding
from worker.audio_files.channel_layouts import LayoutChange
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.decoder_run import has_times
from worker.audio_files.excerpt import Track
from worker.audio_files.probe import Probe
from worker.engines.interface import SeparationEngine
from worker.measurements.measure import Levels
from worker.measurements.music.meter import MusicFindings
from worker.pipeline.output_descriptions import describe_audio, describe_format, describe_mixes, package_versions
from worker.run_messages import Outcome, ProducedFile, Work, describe_file
from worker.run_support.process_memory import peak_memory_bytes

# A track this much shorter than declared is called short. Headers round, and codecs pad.
SHORT_SECONDS = 0.25

# A file is complete if its samples end this near to where the header says. Resampling and padding take that much.
COMPLETE_SECONDS = 0.05

# ffmpeg tells lengths in hundredths of a second. Every lost packet is longer.
ROUNDED_SECONDS = 0.006

# A recording with more gaps than this has them all in `gap_seconds`, and only the first ones listed.
MAX_REPORTED_GAPS = 100


@dataclass(frozen=True)
class RunFindings:
    """Everything that a run found out. `notes` are sentences about tags that could not be read or written.

    `exact` is false if the stems were buffered in 16 bits. `music` is None if tempo and key were not looked for.
    """

    work: Work
    engine: SeparationEngine
    probe: Probe
    track: Track
    encoding: Encoding
    layout: LayoutChange
    mixture: Levels
    stems: Mapping[str, Levels]
    mixes: Mapping[str, Levels]
    residual_db: float | None
    gain: float
    exact: bool
    music: MusicFindings | None
    notes: Sequence[str]
    seconds: Mapping[str, float]


def write_report(
    findings: RunFindings, stem_files: Sequence[ProducedFile], pictures: Sequence[ProducedFile]
) -> Outcome:
    """Write `report.json`; return the outcome with all files, and with the measurements of each stem and mix."""
    described = {**_describe_stems(findings), **_describe_mixes(findings)}
    stems = [replace(file, details=described[file.name]) for file in stem_files]
    source, report = _describe_source(findings), _make_report(findings)
    path = Path(findings.work.output_folder) / "report.json"
    path.write_text(json.dumps(report, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    written = describe_file(
        path, name="report", kind="report", content_type="application/json", details={"music": report["music"]}
    )
    return Outcome((*stems, *pictures, written), source, report)


def _describe_stems(findings: RunFindings) -> dict[str, dict[str, Any]]:
    return {name: describe_audio(levels, findings.encoding, findings.track) for name, levels in findings.stems.items()}


def _describe_mixes(findings: RunFindings) -> dict[str, dict[str, Any]]:
    return describe_mixes(findings.work, findings.mixes, findings.encoding, findings.track)


def _make_report(findings: RunFindings) -> dict[str, Any]:
    work, track, description = findings.work, findings.track, findings.engine.description
    total_seconds = sum(findings.seconds.values())
    return {
        "source": _describe_source(findings),
        "excerpt": None if _is_whole(work) else _describe_excerpt(track, description.context_seconds),
        "engine": description.name,
        "engine_version": description.version,
        "model": {
            "title": description.title,
            "author": description.author,
            "licence": description.licence,
            "licence_source": description.licence_source,
        },
        "preset": work.preset or description.default_preset,
        "parameters": _used_parameters(findings),
        "format": describe_format(findings.encoding),
        "mixture": findings.mixture.to_json(),
        "stems": _describe_stems(findings),
        "mixes": _describe_mixes(findings),
        "residual_db": findings.residual_db,
        "music": findings.music.to_json() if findings.music else None,
        "gain_db": round(20 * math.log10(findings.gain), 3),
        "notes": _make_notes(findings),
        "seconds": {**findings.seconds, "total": round(total_seconds, 3)},
        "real_time_factor": round(track.duration_seconds / total_seconds, 2),
        "peak_memory_bytes": peak_memory_bytes(),
        "threads": work.limits.threads,
        "versions": {"ffmpeg": findings.probe.ffmpeg_version, **package_versions()},
    }


def _is_whole(work: Work) -> bool:
    return work.excerpt_start_seconds is None and work.excerpt_duration_seconds is None


def _describe_excerpt(track: Track, context_seconds: float) -> dict[str, float]:
    """Return where the excerpt lies, and how much of the song around it the engine could read."""
    rate = track.audio.sample_rate_hz
    before, after = track.start / rate, (track.audio.n_samples - track.stop) / rate
    return {
        "start_seconds": round((track.audio.first_sample + track.start) / rate, 6),
        "duration_seconds": round(track.duration_seconds, 6),
        "context_seconds_before": round(min(before, context_seconds), 6),
        "context_seconds_after": round(min(after, context_seconds), 6),
    }


def _used_parameters(findings: RunFindings) -> dict[str, Any]:
    """Return the preset's parameters, overridden by those of the job."""
    work, description = findings.work, findings.engine.description
    name = work.preset or description.default_preset
    preset = next((p.parameters for p in description.presets if p.name == name), {})
    return {**preset, **work.parameters}


def _describe_source(findings: RunFindings) -> dict[str, Any]:
    audio, probe = findings.track.audio, findings.probe
    # Of an excerpt only a part is decoded. The packets are then the best evidence of how long the whole song is.
    seconds = audio.duration_seconds if _is_whole(findings.work) else probe.expected_seconds
    return {
        **probe.to_json(),
        "filename": findings.work.source_filename,
        "file_sample_rate_hz": probe.sample_rate_hz,
        "sample_rate_hz": audio.sample_rate_hz,
        "channels": audio.channels,
        "duration_seconds": None if seconds is None else round(seconds, 6),
        "repaired_samples": audio.repaired_samples,
        **_describe_timeline(audio),
        **_describe_origin(findings.work),
    }


def _describe_origin(work: Work) -> dict[str, Any]:
    """Return which output of which job the source is, if it is one."""
    return {"job_id": work.source_job_id, "output": work.source_output} if work.source_output else {}


def _describe_timeline(audio: DecodedAudio) -> dict[str, Any]:
    """Return when the audio begins on the file's timeline, and the gaps after that, in seconds."""
    timeline, rate = audio.timeline, audio.sample_rate_hz
    gaps = [gap for gap in timeline.gaps if gap.after_samples] if timeline else []
    return {
        "start_seconds": round((audio.first_sample + (timeline.late_samples if timeline else 0)) / rate, 6),
        "gaps": [
            {
                "start_seconds": round((audio.first_sample + timeline.position(gap)) / rate, 6),
                "duration_seconds": round(gap.n_samples / rate, 6),
            }
            for gap in gaps[:MAX_REPORTED_GAPS]
        ]
        if timeline
        else [],
        "gap_seconds": round(sum(gap.n_samples for gap in gaps) / rate, 6),
    }


def _make_notes(findings: RunFindings) -> list[str]:
    """Return a sentence for everything unusual that the user should know."""
    notes = [*_notes_on_source(findings)]
    if _excerpt_was_shortened(findings):
        notes.append("The excerpt reaches beyond the end of the audio and was shortened.")
    notes += _notes_on_stems(findings)
    return [*notes, *findings.notes]


def _notes_on_source(findings: RunFindings) -> Iterator[str]:
    probe, audio = findings.probe, findings.track.audio
    yield from _notes_on_length(findings)
    yield from _notes_on_timeline(findings.track)
    if audio.lost_packets and not _only_tags_were_lost(findings):
        yield f"{audio.lost_packets} damaged packet{'s' if audio.lost_packets > 1 else ''} could not be decoded."
    if audio.stopped_at_change:
        yield (
            "The codec, the sample rate or the channels of the recording change "
            f"at {audio.duration_seconds:.2f} s; "
            "what follows cannot be read and is missing."
        )
    elif audio.broke_off and not _is_complete(findings):
        yield "The file continues, but the rest of it cannot be read and is missing."
    if audio.converted_parts:
        yield (
            "The sample rate or the channels change within the recording; "
            f"all of it was converted to {audio.sample_rate_hz:,} Hz and {audio.channels} "
            f"channel{'s' if audio.channels > 1 else ''}, as it begins."
        )
    if audio.repaired_samples:
        yield f"{audio.repaired_samples} samples were not finite or far out of range, and were set to silence."
    if probe.sample_rate_hz not in {None, audio.sample_rate_hz} and probe.decoded_rate_hz != probe.sample_rate_hz:
        kind = "DSD" if probe.codec.startswith(("dsd", "dst")) else "PCM"
        yield f"The source is {kind} at {probe.sample_rate_hz:,} Hz; it was converted to {audio.sample_rate_hz:,} Hz."
    yield from _notes_on_streams(probe)


def _notes_on_length(findings: RunFindings) -> Iterator[str]:
    probe, audio = findings.probe, findings.track.audio
    declared, seconds = probe.declared_seconds, audio.duration_seconds
    if probe.opening.is_longer_than_said:
        yield "The file is longer than its header says; all of its sound was used."
    if probe.opening.has_more_samples:
        yield "Another recording follows in the file, behind the end of the first one; it was left out."
    left_out = bool(audio.timeline and audio.timeline.left_out) or audio.stopped_at_change
    if not _is_whole(findings.work) or declared is None or seconds >= declared - SHORT_SECONDS or left_out:
        return
    if probe.has_video and not audio.lost_packets and not audio.broke_off and _walk_agrees(findings):
        yield f"The audio ends at {seconds:.2f} s; the file plays until {declared:.2f} s."
    else:
        yield f"The file declares {declared:.2f} s but contains {seconds:.2f} s: it may be truncated or damaged."


def _is_complete(findings: RunFindings) -> bool:
    """Return whether all samples came that the header declares: what follows them is a tag or padding."""
    declared = findings.probe.declared_seconds
    return declared is not None and findings.track.audio.duration_seconds >= declared - COMPLETE_SECONDS


def _only_tags_were_lost(findings: RunFindings) -> bool:
    """Return whether no sample is missing, so that what could not be decoded was a tag or padding behind the sound.

    Where packets have times, silence replaces those that are lost, and the length does not tell.
    """
    declared = findings.probe.declared_seconds
    if declared is None or has_times(findings.probe) or not _is_whole(findings.work):
        return False
    return abs(findings.track.audio.duration_seconds - declared) <= ROUNDED_SECONDS


def _walk_agrees(findings: RunFindings) -> bool:
    """Return whether the packets end where the samples do."""
    end = findings.probe.end_seconds
    return end is not None and end - SHORT_SECONDS < findings.track.audio.duration_seconds + findings.probe.late_seconds


def _notes_on_timeline(track: Track) -> Iterator[str]:
    """Tell of the silence that is in the stems. More of the song than the track may have been decoded."""
    audio, timeline = track.audio, track.audio.timeline
    if timeline is None:
        return
    rate, late = audio.sample_rate_hz, min(timeline.late_samples, track.stop) - track.start
    if late > 0:
        yield f"The audio begins {timeline.late_samples / rate:.2f} s after the file does; " + (
            f"the stems begin with {late / rate:.2f} s of silence."
            if track.start
            else "the stems begin with that much silence."
        )
    starts = {timeline.position(gap): gap.n_samples for gap in timeline.gaps if gap.after_samples}
    gaps = {start: n for start, n in starts.items() if start < track.stop and start + n > track.start}
    if gaps:
        seconds = sum(min(start + n, track.stop) - max(start, track.start) for start, n in gaps.items()) / rate
        first = (audio.first_sample + min(gaps)) / rate
        many = "The recording has a gap" if len(gaps) == 1 else f"The recording has {len(gaps)} gaps, the first"
        yield (f"{many} at {first:.2f} s; {seconds:.2f} s of silence in all keep the stems in step with the source.")
    if timeline.left_out:
        seconds = sum(gap.n_samples for gap in timeline.left_out) / rate
        yield f"The file's timestamps claim pauses of {seconds:,.0f} s in all; these were left out."


def _notes_on_streams(probe: Probe) -> Iterator[str]:
    if probe.audio_streams < 2:
        return
    if probe.joined_stream is not None:
        yield (
            f"The file has {probe.audio_streams} audio streams; the mono streams {probe.audio_stream} and "
            f"{probe.joined_stream} were joined as left and right."
        )
        return
    stream = probe.streams[probe.audio_stream - 1]
    about = ", ".join(filter(None, (stream.codec, stream.language, stream.tags.get("title", "")[:100])))
    yield f"The file has {probe.audio_streams} audio streams; stream {probe.audio_stream} was used ({about})."


def _excerpt_was_shortened(findings: RunFindings) -> bool:
    wanted = findings.work.excerpt_duration_seconds
    return wanted is not None and findings.track.duration_seconds < wanted - 1 / findings.track.audio.sample_rate_hz


def _notes_on_stems(findings: RunFindings) -> Iterator[str]:
    encoding, audio = findings.encoding, findings.track.audio
    if findings.gain != 1:
        reduction_db = -20 * math.log10(findings.gain)
        outputs = "stems and mixes" if findings.mixes and findings.stems else "mixes" if findings.mixes else "stems"
        yield f"All {outputs} were made {reduction_db:.2f} dB quieter, because the loudest one would have clipped."
    if not findings.exact:
        yield "The stems of this long song were buffered in 16 bits, so they have noise 100 dB below their own level."
    if encoding.sample_rate_hz != audio.sample_rate_hz:
        yield f"{encoding.format.name} does not support {audio.sample_rate_hz} Hz: the stems were resampled."
    if findings.layout.is_folded:
        yield (
            f"{encoding.format.name} does not support this layout of {audio.channels} loudspeakers: "
            f"the stems were mixed down to {encoding.channels} channels."
        )
