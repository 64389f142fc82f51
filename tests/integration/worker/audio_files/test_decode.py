from __future__ import annotations

import os
import shutil
import socket
import struct
import threading
from pathlib import Path

import numpy as np
import pytest

from shared.errors import (
    AudioEmptyError,
    AudioTooLongError,
    AudioTooShortError,
    AudioUnreadableError,
    AudioUnsupportedError,
    SeparationFailedError,
    StemqueueError,
)
from tests.fixtures.audio import convert, make_song, write_wav
from tests.fixtures.audio import decode as play
from worker.audio_files import packet_walk
from worker.audio_files.decode import decode_file
from worker.audio_files.decoded_audio import DecodedAudio
from worker.audio_files.ffmpeg import bundled_ffmpeg
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


@pytest.mark.parametrize("name", ["song.wav", "song.mp3", "song.ogg", "song.m4a"])
def test_an_excerpt_has_the_samples_of_the_whole(tmp_path: Path, name: str) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(4))
    path = wav if name.endswith("wav") else convert(wav, tmp_path / name)
    _, whole = take_in(path, tmp_path / "a")
    _, part = take_in(path, tmp_path / "b", span_seconds=(1.5, 2.25))
    assert (part.first_sample, part.n_samples) == (66_150, 33_075)
    np.testing.assert_array_equal(part.read_samples(0, part.n_samples), whole.read_samples(66_150, 99_225))


def cut_from_a_broadcast(path: Path) -> Path:
    """Leave the headers of an Ogg file, and its pages from the middle on."""
    pages = path.read_bytes().split(b"OggS")[1:]
    path.write_bytes(b"".join(b"OggS" + page for page in (*pages[:2], *pages[len(pages) // 2 :])))
    return path


@pytest.mark.parametrize(("codec", "name"), [("libvorbis", "radio.ogg"), ("libopus", "radio.opus")])
def test_audio_cut_from_an_ogg_broadcast_begins_with_sound(tmp_path: Path, codec: str, name: str) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(20, sample_rate_hz=48_000), 48_000)
    path = cut_from_a_broadcast(convert(wav, tmp_path / name, "-c:a", codec))
    _, whole = take_in(path, tmp_path / "a")
    samples = whole.read_samples(0, whole.n_samples)
    np.testing.assert_array_equal(samples, play(path, channels=2))
    assert np.abs(samples[:, 100:1000]).max() > 0.01
    _, part = take_in(path, tmp_path / "b", span_seconds=(1.0, 2.0))
    np.testing.assert_array_equal(part.read_samples(0, part.n_samples), samples[:, 48_000:96_000])


@pytest.mark.parametrize(
    ("start", "stop", "silent_from"), [(1.0, 3.0, 1.0), (2.5, 3.5, 0.0), (1.999, 3.0, 0.001), (3.0, 4.5, None)]
)
def test_an_excerpt_that_ends_in_a_gap_has_silence_there(
    tmp_path: Path, start: float, stop: float, silent_from: float | None
) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(4), 44_100)
    # Two seconds of sound, two of nothing, two of sound.
    film = convert(wav, tmp_path / "gap.mkv", "-af", "asetpts='PTS+gte(T,2)*2/TB'", "-c:a", "pcm_s16le")
    _, part = take_in(film, tmp_path / "s", span_seconds=(start, stop))
    assert part.n_samples == round((stop - start) * 44_100)
    samples = part.read_samples(0, part.n_samples)
    if silent_from is None:
        assert samples[:, -4410:].any()
    else:
        # Packets are 23 ms long.
        assert not samples[:, round((silent_from + 0.05) * 44_100) :].any()
        assert samples[:, : round(silent_from * 44_100)].any() == (silent_from > 0)


def test_an_excerpt_is_not_lengthened_beyond_the_end(tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(2), 44_100)
    film = convert(wav, tmp_path / "song.mkv", "-c:a", "pcm_s16le")
    _, part = take_in(film, tmp_path / "s", span_seconds=(1.0, 5.0))
    assert part.n_samples == pytest.approx(44_100, abs=100)
    with pytest.raises(AudioTooShortError, match="before the excerpt begins"):
        take_in(film, tmp_path / "t", span_seconds=(3.0, 5.0))


@pytest.mark.parametrize("name", ["late.mkv", "late.mov", "late.ts"])
def test_an_excerpt_of_late_audio_is_not_lengthened_either(tmp_path: Path, name: str) -> None:
    wav = write_wav(tmp_path / "in.wav", make_song(2), 44_100)
    picture = ("-f", "lavfi", "-i", "color=s=64x64:d=4", "-map", "1", "-map", "0", "-c:v", "mpeg2video")
    late = ("-af", "asetpts=PTS+1/TB", "-c:a", "aac" if name.endswith("ts") else "pcm_s16le")
    film = convert(wav, tmp_path / name, *picture, *late)
    _, part = take_in(film, tmp_path / "s", span_seconds=(2.0, 3.5))
    assert part.duration_seconds == pytest.approx(1.0, abs=0.1)


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


def test_a_header_that_declares_too_much_is_refused_before_decoding(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    with pytest.raises(AudioTooLongError, match="10 s long; the limit is 5 s"):
        take_in(path, tmp_path / "s", max_seconds=5)
    assert not (tmp_path / "s" / "mixture.wav").exists()


def test_a_header_that_declares_too_little_does_not_evade_the_limit(tmp_path: Path) -> None:
    path = write_wav(tmp_path / "in.wav", make_song(10), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    place = content.index(b"data") + 4
    content[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(content)
    with pytest.raises(AudioTooLongError):
        take_in(path, tmp_path / "s", max_seconds=5)


def test_audio_that_needs_more_disk_than_a_job_has_is_refused(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    with pytest.raises(AudioTooLongError, match="one job may use"):
        take_in(path, tmp_path / "s", max_bytes=1_000_000)


def test_the_decoder_is_stopped_at_the_disks_share_when_the_header_hides_the_length(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(10)), tmp_path / "song.flac")
    folder = tmp_path / "s"
    folder.mkdir()
    found = probe_file(path, workspace=Workspace(folder, max_bytes=GENEROUS), ffmpeg_path=None, max_seconds=3600)
    with pytest.raises(AudioTooLongError, match="more bytes than one job may use"):
        decode_file(
            path,
            found,
            workspace=Workspace(folder, max_bytes=1_000_000),
            ffmpeg_path=None,
            max_seconds=3600,
            progress=lambda _: None,
        )
    assert (folder / "mixture.wav").stat().st_size <= 1_000_000


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", AudioEmptyError),
        (b"<html>no</html>" * 100, AudioUnreadableError),
        (os.urandom(5000), AudioUnreadableError),
    ],
)
def test_files_that_are_not_audio_have_their_own_errors(
    tmp_path: Path, content: bytes, error: type[StemqueueError]
) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(error):
        take_in(path, tmp_path / "s")


def test_rates_and_channels_out_of_range_are_unsupported(tmp_path: Path) -> None:
    song = np.zeros((1, 3000), dtype=np.float32)
    with pytest.raises(AudioUnsupportedError, match="3000 Hz"):
        take_in(write_wav(tmp_path / "slow.wav", song, 3_000), tmp_path / "s")
    many = write_wav(tmp_path / "many.wav", np.zeros((9, 3000), dtype=np.float32))
    with pytest.raises(AudioUnsupportedError, match="9 channels"):
        take_in(many, tmp_path / "s")


def test_a_playlist_opens_neither_files_nor_connections(tmp_path: Path) -> None:
    write_wav(tmp_path / "secret.wav", make_song(1))
    server = socket.create_server(("127.0.0.1", 0))
    server.settimeout(0.2)
    port = server.getsockname()[1]
    asked = threading.Event()

    def accept() -> None:
        try:
            server.accept()[0].close()
            asked.set()
        except TimeoutError:
            return

    listener = threading.Thread(target=accept)
    listener.start()
    playlists = {
        "concat.mp3": f"ffconcat version 1.0\nfile '{tmp_path}/secret.wav'\n",
        "hls.m4a": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nhttp://127.0.0.1:{port}/a.ts\n",
        "local.mp3": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{tmp_path}/secret.wav\n",
    }
    for name, text in playlists.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(AudioUnreadableError):
            take_in(tmp_path / name, tmp_path / "s")
    listener.join()
    server.close()
    assert not asked.is_set()


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


def test_a_killed_decoder_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    killed = tmp_path / "ffmpeg"
    # STAND-IN for an ffmpeg that the kernel kills because memory is short, after a second of sound.
    killed.write_text("#!/usr/bin/perl\n$| = 1; print chr(0) x 100000; kill KILL => $$;\n")
    killed.chmod(0o755)
    song, folder = write_wav(tmp_path / "in.wav", make_song()), tmp_path / "s"
    folder.mkdir()
    workspace = Workspace(folder, max_bytes=GENEROUS)
    with pytest.raises(SeparationFailedError, match="from outside") as told:
        probe_file(song, workspace=workspace, ffmpeg_path=str(killed), max_seconds=60)
    assert told.value.retryable
    found = probe_file(song, workspace=workspace, ffmpeg_path=None, max_seconds=60)
    with pytest.raises(SeparationFailedError, match="from outside"):
        decode_file(song, found, workspace=workspace, ffmpeg_path=str(killed), max_seconds=60, progress=lambda _: None)


@pytest.mark.parametrize("content", [None, "no program", "#!/bin/sh\nexit 1\n"])
def test_a_missing_ffmpeg_is_not_blamed_on_the_file(tmp_path: Path, content: str | None) -> None:
    broken, folder = tmp_path / "ffmpeg", tmp_path / "s"
    folder.mkdir()
    if content is not None:
        broken.write_text(content)
        broken.chmod(0o755)
    song = write_wav(tmp_path / "in.wav", make_song())
    with pytest.raises(SeparationFailedError, match="cannot be started") as told:
        probe_file(song, workspace=Workspace(folder, max_bytes=GENEROUS), ffmpeg_path=str(broken), max_seconds=60)
    assert told.value.retryable


def waiting_ffmpeg(path: Path, seconds: float) -> str:
    # STAND-IN for an overloaded machine: the real ffmpeg, but late. It may run nothing from other folders, and
    # start no process beside itself.
    real = shutil.copy(bundled_ffmpeg(), path.with_name("real-ffmpeg"))
    path.write_text(f'#!/usr/bin/perl\nselect undef, undef, undef, {seconds}; exec "{real}", @ARGV;\n')
    path.chmod(0o755)
    return str(path)


def test_a_machine_too_busy_to_probe_is_not_blamed_on_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_walk, "PROBE_SECONDS", 0.3)
    song, folder = write_wav(tmp_path / "in.wav", make_song()), tmp_path / "s"
    folder.mkdir()
    workspace = Workspace(folder, max_bytes=GENEROUS)
    late = waiting_ffmpeg(tmp_path / "late", 1.0)
    assert probe_file(song, workspace=workspace, ffmpeg_path=late, max_seconds=60).sample_rate_hz == 44_100
    monkeypatch.setattr(packet_walk, "STARVED_SECONDS", 0.3)
    never = waiting_ffmpeg(tmp_path / "never", 60.0)
    with pytest.raises(SeparationFailedError, match="too busy") as told:
        probe_file(song, workspace=workspace, ffmpeg_path=never, max_seconds=60)
    assert told.value.retryable


def test_a_file_that_keeps_the_prober_busy_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packet_walk, "PROBE_SECONDS", 0.5)
    monkeypatch.setattr(packet_walk, "STARVED_PROCESSOR_SECONDS", 0.01)
    busy = tmp_path / "busy"
    # STAND-IN for an ffmpeg that a file sends into an endless loop.
    busy.write_text("#!/bin/sh\necho ffmpeg version 0 >&2\nwhile :; do :; done\n")
    busy.chmod(0o755)
    folder = tmp_path / "s"
    folder.mkdir()
    with pytest.raises(AudioUnreadableError):
        probe_file(
            write_wav(tmp_path / "in.wav", make_song()),
            workspace=Workspace(folder, max_bytes=GENEROUS),
            ffmpeg_path=str(busy),
            max_seconds=60,
        )
