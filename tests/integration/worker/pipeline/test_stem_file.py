"""A run with the format `stem.mp4`, read back by ffmpeg and by mutagen: neither shares code with our writer."""

from __future__ import annotations

import io
import json
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mutagen.mp4 import MP4
from mutagen.mp4._atom import Atoms

from shared.audio.mixes import STEM_FILE_MIXES, Mix, read_mix
from shared.errors import RequestInvalidError
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.fixtures.stand_ins.engines import Share, registry_of
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.engines.interface import FloatArray
from worker.pipeline.run import separate_song
from worker.run_messages import Outcome, Work

PARTS = {"drums": 0.4, "bass": 0.15, "other": 0.15, "vocals": 0.3}
"""What each track of the file is of the song: `other` is what the three others leave."""


class SixStems(Share):
    """Six stems that leave a twentieth of the mixture; three of them become `other`."""

    @property
    def stems(self) -> tuple[str, ...]:
        return ("drums", "vocals", "bass", "other", "guitar", "piano")

    def separate(self, source: Any, **options: Any) -> Iterator[FloatArray]:
        for block in super().separate(source, **options):
            yield np.stack([block.sum(axis=0) * gain for gain in (0.4, 0.3, 0.15, 0.04, 0.03, 0.03)])


def run(source: Path, *, engine: Share | None = None, **options: Any) -> Outcome:
    work = Work(
        input_path=str(source),
        output_folder=str(source.parent / "out"),
        scratch_folder=str(source.parent / "scratch"),
        source_filename=source.name,
        engine="share",
        format="stem.mp4",
        **options,
    )
    return separate_song(work, lambda *_: None, registry=registry_of(engine or SixStems()))


def decode_track(path: Path, number: int) -> FloatArray:
    """Return what a player hears of one of the tracks, shape (2, n)."""
    command = [bundled_ffmpeg(), "-v", "error", "-i", str(path), "-map", f"0:a:{number}", "-f", "f32le", "pipe:1"]
    raw = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
    return np.frombuffer(raw, dtype="<f4").reshape(-1, 2).T


def rms(samples: FloatArray) -> float:
    return float(np.sqrt(np.mean(samples**2)))


def peak(samples: FloatArray) -> float:
    return float(np.abs(samples).max())


def streams_of(path: Path) -> list[str]:
    """Return ffmpeg's lines about the tracks."""
    told = subprocess.run([bundled_ffmpeg(), "-hide_banner", "-i", str(path)], stderr=subprocess.PIPE, check=False)
    return re.findall(r"Stream #0:\d.*", told.stderr.decode())


def enabled_tracks(path: Path) -> list[bool]:
    """Return for each track whether it is enabled, which is the lowest bit of the flags in `tkhd`."""
    content = path.read_bytes()
    tracks = [atom for atom in Atoms(io.BytesIO(content))[b"moov"].children if atom.name == b"trak"]
    headers = [next(child for child in track.children if child.name == b"tkhd") for track in tracks]
    return [bool(content[header.offset + 11] & 1) for header in headers]


def stem_document(path: Path) -> Any:
    content = path.read_bytes()
    stem = Atoms(io.BytesIO(content))[b"moov.udta.stem"]
    return json.loads(content[stem.offset + 8 : stem.offset + stem.length].decode("utf-8"))


@pytest.mark.parametrize(
    ("options", "codec", "tolerance"),
    [({}, "aac (LC)", 0.02), ({"bit_depth": 16}, "alac", 2 / 2**15), ({"bit_depth": 24}, "alac", 2 / 2**23)],
)
def test_five_tracks_in_step_whose_stems_add_up_to_the_song(
    tmp_path: Path, options: Any, codec: str, tolerance: float
) -> None:
    song = make_song(2.345)
    outcome = run(write_wav(tmp_path / "song.wav", song), format_options=options)
    path = tmp_path / "out" / "stems.stem.mp4"
    streams = streams_of(path)
    assert len(streams) == 5
    assert all(codec in line and "44100 Hz, stereo" in line for line in streams)
    assert ["(default)" in line for line in streams] == enabled_tracks(path) == [True, False, False, False, False]
    mix, *stems = (decode_track(path, number) for number in range(5))
    assert {track.shape for track in (mix, *stems)} == {song.shape}
    measure = rms if codec.startswith("aac") else peak
    assert measure(mix - song) < tolerance
    assert measure(sum(stems) - mix) < 3 * tolerance
    for track, (name, part) in zip((mix, *stems), {"mix": 1, **PARTS}.items(), strict=True):
        wanted = song * np.float32(part)
        assert measure(track - wanted) < tolerance, name
        # One sample out of step would show even under the losses of AAC.
        shifts = {n: rms(np.roll(wanted, n, axis=1) - track) for n in range(-2, 3)}
        assert min(shifts, key=shifts.__getitem__) == 0, (name, shifts)
    document = stem_document(path)
    assert [stem["name"].lower() for stem in document["stems"]] == [*PARTS]

    (made,) = (o for o in outcome.outputs if o.kind in {"stem", "mix"})
    assert (made.kind, made.name, made.filename, made.content_type) == ("mix", "stems", path.name, "audio/mp4")
    assert made.details["n_samples"] == song.shape[1]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {o.filename for o in outcome.outputs}
    assert [*outcome.report["mixes"]] == ["stems", *PARTS]


def test_tags_and_cover_of_the_song_leave_the_box_and_the_samples_in_place(tmp_path: Path) -> None:
    source = convert(write_wav(tmp_path / "a.wav", make_song(2)), tmp_path / "song.flac")
    tags = {"title": "Song", "artist": "Zoë", "bpm": "123"}
    flagged = [argument for name, value in tags.items() for argument in ("-metadata", f"{name}={value}")]
    source = convert(source, tmp_path / "tagged.flac", *flagged)
    run(source, format_options={"bit_depth": 24}, analyse_music=False)
    path = tmp_path / "out" / "stems.stem.mp4"
    written = MP4(path)
    # A program that knows no stems shows and plays the song.
    assert (written["\xa9nam"], written["\xa9ART"], written["tmpo"]) == (["Song"], ["Zoë"], [123])
    document, before = stem_document(path), [decode_track(path, number) for number in (0, 4)]
    assert document["version"] == 1
    # A cover is the largest tag: it is larger than the room that ffmpeg leaves.
    written["covr"] = [b"\xff\xd8\xff" + bytes(300_000)]
    written.save()
    assert stem_document(path) == document
    assert enabled_tracks(path) == [True, False, False, False, False]
    np.testing.assert_array_equal([decode_track(path, number) for number in (0, 4)], before)


@pytest.mark.parametrize(
    ("channels", "rate_hz", "written_hz"), [(1, 22_050, 44_100), (2, 48_000, 48_000), (6, 96_000, 48_000)]
)
def test_every_source_becomes_stereo_at_a_rate_that_dj_programs_take(
    tmp_path: Path, channels: int, rate_hz: int, written_hz: int
) -> None:
    song = make_song(1.5, sample_rate_hz=rate_hz, channels=channels)
    run(write_wav(tmp_path / "song.wav", song, rate_hz), format_options={"bit_depth": 24})
    path = tmp_path / "out" / "stems.stem.mp4"
    assert all(f"{written_hz} Hz, stereo" in line for line in streams_of(path))
    mix, *stems = (decode_track(path, number) for number in range(5))
    assert mix.shape[1] == -(-song.shape[1] * written_hz // rate_hz)
    np.testing.assert_allclose(sum(stems), mix, atol=12 / 2**23)
    if channels == 1:
        np.testing.assert_array_equal(mix[0], mix[1])
        # The level is kept.
        assert np.abs(mix).max() == pytest.approx(np.abs(song).max(), rel=0.1)


def test_a_stem_file_of_finished_stems_is_that_of_the_song(tmp_path: Path) -> None:
    """Seven stems: the six, and the accompaniment, which no track needs."""
    song = make_song(2.345)
    source = convert(write_wav(tmp_path / "a.wav", song), tmp_path / "song.flac", "-metadata", "title=Song")
    work = Work(
        *(str(source), str(tmp_path / "stems"), str(tmp_path / "scratch"), "song.flac", "share"),
        format_options={"bit_depth": 24},
    )
    separated = separate_song(work, lambda *_: None, registry=registry_of(SixStems()))
    paths = {o.name: str(tmp_path / "stems" / o.filename) for o in separated.outputs if o.kind == "stem"}
    tracks = tuple(
        Mix(mix.name, {stem: mix.gains_db.get(stem, mix.rest_db) for stem in paths}, None) for mix in STEM_FILE_MIXES
    )
    mixing = Work(
        *(paths["drums"], str(tmp_path / "out"), str(tmp_path / "scratch"), "song.flac", "gone"),
        stem_paths=paths,
        mixes=tracks,
        format="stem.mp4",
        format_options={"bit_depth": 24},
    )
    outcome = separate_song(mixing, lambda *_: None)
    path = tmp_path / "out" / "stems.stem.mp4"
    mix, *stems = (decode_track(path, number) for number in range(5))
    # The six stems lack a twentieth of the song, which no finished stem has.
    for track, part in zip((mix, *stems), (0.95, 0.4, 0.15, 0.1, 0.3), strict=True):
        np.testing.assert_allclose(track, song * np.float32(part), atol=8 / 2**23)
    assert enabled_tracks(path) == [True, False, False, False, False]
    assert MP4(path)["\xa9nam"] == ["Song"]
    assert [(o.kind, o.name) for o in outcome.outputs if o.kind in {"stem", "mix"}] == [("mix", "stems")]
    assert {p.name for p in (tmp_path / "out").iterdir()} == {o.filename for o in outcome.outputs}
    with pytest.raises(RequestInvalidError, match="no other mixes"):
        separate_song(replace(mixing, mixes=tracks[:1]), lambda *_: None)


@pytest.mark.parametrize(
    ("engine", "options", "words"),
    [
        (Share(), {}, "no drums and no bass"),
        (SixStems(), {"stems": ("drums",)}, "no stems and no mixes"),
        (SixStems(), {"mixes": (read_mix("minus:vocals"),)}, "no stems and no mixes"),
        (SixStems(), {"format_options": {"bit_depth": 16, "bitrate_kbps": 256}}, "not both"),
    ],
)
def test_what_no_stem_file_can_hold_is_refused(tmp_path: Path, engine: Share, options: Any, words: str) -> None:
    with pytest.raises(RequestInvalidError, match=words):
        run(write_wav(tmp_path / "song.wav", make_song(1)), engine=engine, **options)
    assert engine.runs == 0
