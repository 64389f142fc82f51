"""Which formats come in, and how exactly: containers, codecs, depths and channels as programs write them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from shared.audio.formats import INPUT_EXTENSIONS, extension_of
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.fixtures.sounds.audio import decode as play
from tests.integration.worker.audio_files.test_decode import take_in
from worker.audio_files.ffmpeg import DEMUXERS

SECONDS, N_SAMPLES = 1.2345, 54_441

PICTURE = ("-f", "lavfi", "-i", f"testsrc=s=64x64:r=25:d={SECONDS}", "-map", "1:v", "-map", "0:a", "-strict", "-2")

LOSSLESS: list[tuple[str, tuple[str, ...]]] = [
    ("f64.wav", ("-c:a", "pcm_f64le")),
    ("s64.wav", ("-c:a", "pcm_s64le")),
    ("rf64.wav", ("-rf64", "always", "-c:a", "pcm_s24le")),
    ("song.w64", ("-c:a", "pcm_s24le")),
    ("song.flac", ("-sample_fmt", "s32", "-bits_per_raw_sample", "24")),
    ("flac-in.ogg", ("-c:a", "flac")),
    ("sowt.aiff", ("-c:a", "pcm_s16le")),
    ("fl64.aiff", ("-c:a", "pcm_f64be")),
    ("pcm.caf", ("-c:a", "pcm_f32le")),
    ("alac.caf", ("-c:a", "alac")),
    ("alac.m4a", ("-c:a", "alac")),
    ("fragments.m4a", ("-c:a", "alac", "-movflags", "frag_keyframe+empty_moov")),
    ("flac.mp4", ("-c:a", "flac")),
    ("song.mov", ("-c:a", "pcm_s24be")),
    ("song.wv", ()),
    ("float.wv", ("-c:a", "wavpack", "-sample_fmt", "fltp")),
    ("song.tta", ()),
    ("song.au", ("-c:a", "pcm_f32be")),
    ("song.voc", ("-c:a", "pcm_s16le")),
    ("song.sox", ()),
    ("song.sf", ("-f", "ircam")),
    ("song.thd", ("-strict", "-2", "-f", "truehd")),
    ("flac.mka", ("-c:a", "flac")),
    ("pcm.mkv", (*PICTURE, "-c:a", "pcm_s16be")),
    ("pcm.avi", (*PICTURE, "-c:a", "pcm_s24le")),
    ("pcm.nut", (*PICTURE, "-c:a", "pcm_s16le")),
    ("pcm.asf", (*PICTURE, "-c:a", "pcm_s16le")),
]

GAPLESS: list[tuple[str, tuple[str, ...]]] = [
    ("song.mp3", ()),
    ("song.m4a", ()),
    ("song.ogg", ("-c:a", "libvorbis")),
    ("song.mp4", PICTURE),
    ("vorbis.mkv", (*PICTURE, "-c:a", "libvorbis")),
]

OTHERS: list[tuple[str, tuple[str, ...]]] = [
    ("song.opus", ()),
    ("song.webm", (*PICTURE, "-c:v", "libvpx", "-c:a", "libopus")),
    ("song.mka", ("-c:a", "aac")),
    ("ac3.mkv", (*PICTURE, "-c:a", "ac3")),
    ("dts.mkv", (*PICTURE, "-c:a", "dca")),
    ("truehd.mkv", (*PICTURE, "-c:a", "truehd")),
    ("song.3gp", ("-ar", "8000", "-ac", "1", "-c:a", "libopencore_amrnb")),
    ("song.amr", ("-ar", "8000", "-ac", "1")),
    ("song.wma", ()),
    ("song.ac3", ()),
    ("song.eac3", ()),
    ("song.dts", ("-strict", "-2")),
    ("song.mp2", ()),
    ("song.ts", (*PICTURE, "-c:a", "aac")),
    ("disc.m2ts", (*PICTURE, "-ar", "48000", "-c:a", "pcm_bluray")),
    ("disc.vob", (*PICTURE, "-ar", "48000", "-c:a", "pcm_dvd")),
    ("song.mpg", (*PICTURE, "-c:a", "mp2")),
    ("song.avi", (*PICTURE, "-c:a", "mp3")),
    ("song.flv", (*PICTURE, "-c:a", "mp3")),
    ("old.flv", (*PICTURE, "-c:a", "adpcm_swf", "-ar", "44100")),
    ("song.mxf", (*PICTURE, "-ar", "48000")),
    ("song.aac", ()),
    ("song.latm", ("-c:a", "aac", "-f", "latm")),
    ("ima.wav", ("-c:a", "adpcm_ima_wav")),
    ("phone.wav", ("-ar", "8000", "-ac", "1", "-c:a", "g726")),
    ("g722.wav", ("-c:a", "g722")),
    ("mp3-in.wav", ("-c:a", "libmp3lame")),
    ("ima.aiff", ("-c:a", "adpcm_ima_qt")),
    ("mulaw.au", ("-c:a", "pcm_mulaw")),
    ("real.rm", ("-ar", "8000", "-ac", "1", "-c:a", "real_144")),
    ("six.m4a", ("-ac", "6")),
    ("eight.opus", ("-ac", "8")),
    ("slow.ogg", ("-ar", "8000", "-c:a", "libvorbis")),
]


@pytest.mark.parametrize(("name", "options"), LOSSLESS)
def test_lossless_formats_are_decoded_to_the_sample(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(SECONDS)), tmp_path / name, *options)
    _, audio = take_in(path, tmp_path / "s")
    assert audio.n_samples == N_SAMPLES
    if name != "alac.caf":  # ffmpeg itself loses its end
        np.testing.assert_array_equal(audio.read_samples(0, N_SAMPLES), play(path, channels=2))


@pytest.mark.parametrize(("name", "options"), GAPLESS)
def test_gapless_codecs_have_the_exact_length(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(SECONDS)), tmp_path / name, *options)
    found, audio = take_in(path, tmp_path / "s")
    assert audio.n_samples == N_SAMPLES
    assert found.expected_seconds == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize(("name", "options"), OTHERS)
def test_other_formats_decode(tmp_path: Path, name: str, options: tuple[str, ...]) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(SECONDS)), tmp_path / name, *options)
    _, audio = take_in(path, tmp_path / "s")
    assert audio.duration_seconds == pytest.approx(SECONDS, abs=0.1)
    assert np.abs(audio.read_samples(0, audio.n_samples)).max() > 0.1


@pytest.mark.parametrize("name", [name for name, _ in (*LOSSLESS, *GAPLESS, *OTHERS)])
def test_what_decodes_counts_as_audio_by_its_name(name: str) -> None:
    assert extension_of(name) in INPUT_EXTENSIONS


DEMUXERS_OF = {
    **dict.fromkeys(("wav", "wave", "bwf", "rf64"), "wav"),
    **dict.fromkeys(("aif", "aiff", "aifc"), "aiff"),
    **dict.fromkeys(("au", "snd"), "au"),
    **dict.fromkeys(("ogg", "oga", "ogv", "ogx", "opus", "spx"), "ogg"),
    **dict.fromkeys(("mp1", "mp2", "mpa", "m1a", "m2a"), "mp3"),
    **dict.fromkeys(("m4b", "m4r", "m4v", "f4a", "f4v", "qt", "qta", "3ga", "alac"), "mov"),
    **dict.fromkeys(("mka", "mkv", "mk3d"), "matroska"),
    **dict.fromkeys(("wma", "wmv"), "asf"),
    **dict.fromkeys(("mpg", "mpeg", "vob"), "mpeg"),
    **dict.fromkeys(("ra", "rmvb"), "rm"),
    **dict.fromkeys(("aa3",), "oma"),
    "ec3": "eac3",
    **dict.fromkeys(("ts", "mts", "m2t", "m2ts"), "mpegts"),
    **dict.fromkeys(("adts",), "aac"),
    **dict.fromkeys(("latm", "loas"), "loas"),
    **dict.fromkeys(("dff", "8svx"), "iff"),
    "divx": "avi",
    "sf": "ircam",
    "weba": "webm",
    "thd": "truehd",
}
"""The demuxer that opens an extension, where it has another name."""


@pytest.mark.parametrize("extension", sorted(INPUT_EXTENSIONS))
def test_the_worker_may_open_whatever_counts_as_audio(extension: str) -> None:
    assert DEMUXERS_OF.get(extension, extension) in DEMUXERS.split(",")
