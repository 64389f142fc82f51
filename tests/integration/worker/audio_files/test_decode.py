"""What is decoded is what is in the file: every rate, depth and number of channels, to the sample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.fixtures.sounds.audio import decode as play
from worker.audio_files.decode import decode_file
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.probe import Probe, probe_file
from worker.run_support.workspace import Workspace

GENEROUS = 12_000_000_000


def take_in(
    path: Path,
    folder: Path,
    *,
    max_seconds: float = 3600.0,
    max_bytes: int = GENEROUS,
    span_seconds: tuple[float, float | None] | None = None,
) -> tuple[Probe, DecodedAudio]:
    folder.mkdir(exist_ok=True)
    workspace = Workspace(folder, max_bytes=max_bytes)
    found = probe_file(path, workspace=workspace, ffmpeg_path=None, max_seconds=max_seconds)
    audio = decode_file(
        path,
        found,
        workspace=workspace,
        ffmpeg_path=None,
        max_seconds=max_seconds,
        span_seconds=span_seconds,
        progress=lambda _: None,
    )
    return found, audio


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_bit_depth_of_wav_is_decoded_exactly(tmp_path: Path, subtype: str) -> None:
    path = write_wav(tmp_path / "song.wav", make_song(), subtype=subtype)
    _, audio = take_in(path, tmp_path / "s")
    np.testing.assert_array_equal(audio.read_samples(0, audio.n_samples), play(path, channels=2))


@pytest.mark.parametrize("sample_rate_hz", [4_000, 11_025, 35_467, 44_100, 96_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_rate_and_channels_stay_those_of_the_source(tmp_path: Path, sample_rate_hz: int, channels: int) -> None:
    song = make_song(0.5, sample_rate_hz=sample_rate_hz, channels=channels)
    _, audio = take_in(write_wav(tmp_path / "song.wav", song, sample_rate_hz), tmp_path / "s")
    assert (audio.sample_rate_hz, audio.channels, audio.n_samples) == (sample_rate_hz, *song.shape)
    np.testing.assert_array_equal(audio.read_samples(0, audio.n_samples), song)


@pytest.mark.parametrize(
    ("order", "mask", "places"),
    [
        ("FL+FR+FC+BL+BR+LFE", 0x3F, [0, 1, 2, 5, 3, 4]),
        ("FC+FL+FR", 0x7, [1, 2, 0]),
        ("FL+FR+LFE+FC", 0xF, [0, 1, 3, 2]),
    ],
)
def test_channels_in_the_order_of_films_are_put_into_that_of_wav(
    tmp_path: Path, order: str, mask: int, places: list[int]
) -> None:
    song = make_song(0.5, channels=len(places))
    named = f"channelmap=map={'|'.join(map(str, range(len(places))))}:channel_layout={order}"
    path = convert(write_wav(tmp_path / "in.wav", song), tmp_path / "film.mov", "-af", named, "-c:a", "pcm_f32le")
    found, audio = take_in(path, tmp_path / "s")
    assert found.channel_layout == f"{len(places)} channels ({order})"
    assert audio.channel_mask == mask
    np.testing.assert_array_equal(audio.read_samples(0, audio.n_samples), song[places])


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song()), tmp_path / "song.flac")
    _, audio = take_in(path.rename(tmp_path / "song.txt"), tmp_path / "s")
    assert audio.n_samples == 88_200


def test_the_sound_of_a_video_is_decoded(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song())
    video = convert(
        wav, tmp_path / "clip.mkv", "-f", "lavfi", "-i", "color=s=64x64:d=2", "-map", "1", "-map", "0", "-c:a", "flac"
    )
    _, audio = take_in(video, tmp_path / "s")
    assert (audio.n_samples, audio.channels) == (88_200, 2)


def test_reads_are_refused_outside_the_audio(tmp_path: Path) -> None:
    _, audio = take_in(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / "s")
    assert audio.read_samples(44_100, 44_100).shape == (2, 0)
    for start, stop in ((-1, 5), (5, 4), (0, 44_101)):
        with pytest.raises(ValueError, match="not within"):
            audio.read_samples(start, stop)


def test_samples_that_are_not_finite_are_silenced_and_counted(tmp_path: Path) -> None:
    song = make_song(1)
    song[0, 10], song[1, 20], song[0, 44_099], song[1, 5] = np.nan, np.inf, -np.inf, 3e30
    _, audio = take_in(write_wav(tmp_path / "in.wav", song), tmp_path / "s")
    samples = audio.read_samples(0, audio.n_samples)
    assert audio.repaired_samples == 4
    assert np.isfinite(samples).all()
    assert samples[0, 10] == samples[1, 20] == samples[0, 44_099] == samples[1, 5] == 0
    np.testing.assert_array_equal(samples[:, 21:44_000], song[:, 21:44_000])


def test_levels_above_full_scale_are_kept(tmp_path: Path) -> None:
    song = make_song(1, peak=3.6)
    _, audio = take_in(write_wav(tmp_path / "in.wav", song), tmp_path / "s")
    np.testing.assert_array_equal(audio.read_samples(0, audio.n_samples), song)


def test_a_stream_that_changes_its_channels_is_noted(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(1))
    first = convert(wav, tmp_path / "first.ogg", "-c:a", "libvorbis")
    second = convert(wav, tmp_path / "second.ogg", "-c:a", "libvorbis", "-ac", "1", "-serial_offset", "9")
    third = convert(wav, tmp_path / "third.ogg", "-c:a", "libvorbis", "-serial_offset", "9")
    (tmp_path / "alike.ogg").write_bytes(first.read_bytes() + third.read_bytes())
    (tmp_path / "changing.ogg").write_bytes(first.read_bytes() + second.read_bytes())
    _, audio = take_in(tmp_path / "alike.ogg", tmp_path / "s")
    assert not audio.broke_off
    assert audio.duration_seconds == pytest.approx(2, abs=0.1)
    _, audio = take_in(tmp_path / "changing.ogg", tmp_path / "t")
    assert audio.broke_off
    assert audio.duration_seconds == pytest.approx(1, abs=0.1)
