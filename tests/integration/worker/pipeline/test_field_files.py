"""What real files are like that are no plain songs: late, with gaps, of studios, cameras and recorders."""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shared.errors import AudioEmptyError, AudioUnsupportedError
from tests.fixtures.sounds.audio import convert, make_song, write_wav
from tests.integration.worker.pipeline.test_run import heard, run
from worker.audio_files.ffmpeg import bundled_ffmpeg

RATE_HZ = 44_100
PICTURE = ("-f", "lavfi", "-i", "color=s=32x32:r=10:d={seconds}", "-map", "1:v", "-map", "0:a")
DAMAGE = re.compile("damage|truncate|missing|cannot be read")


def ffmpeg(*arguments: str | Path) -> None:
    subprocess.run([bundled_ffmpeg(), "-v", "error", "-y", *map(str, arguments)], check=True)


def picture(seconds: float) -> Sequence[str]:
    return [word.format(seconds=seconds) for word in PICTURE]


# Formats of studios and recorders.


def write_dsf(path: Path, *, times: int = 64, channels: int = 2, seconds: float = 0.5, family: int = 44_100) -> Path:
    """Write a sine of 1 kHz as DSD, by a modulator of the first order."""
    rate = times * family
    t = np.arange(int(seconds * rate) // 32_768 * 32_768) / rate
    total, bits = 0.0, np.empty(t.size, dtype=np.uint8)
    for n, value in enumerate(0.4 * np.sin(2 * np.pi * 1000 * t)):
        total += value
        bits[n] = total > 0
        total -= 1.0 if bits[n] else -1.0
    blocks = np.packbits(bits, bitorder="little").reshape(-1, 4096)
    data = np.repeat(blocks[:, None], channels, axis=1).tobytes()
    form = struct.pack("<4sQIIIIIIQII", b"fmt ", 52, 1, 0, channels, channels, rate, 1, t.size, 4096, 0)
    path.write_bytes(
        struct.pack("<4sQQQ", b"DSD ", 28, 92 + len(data), 0)
        + form
        + struct.pack("<4sQ", b"data", 12 + len(data))
        + data
    )
    return path


@pytest.mark.parametrize(("times", "family", "rate_hz"), [(64, 44_100, 88_200), (128, 48_000, 96_000)])
def test_dsd_is_converted_and_separated(tmp_path: Path, times: int, family: int, rate_hz: int) -> None:
    path = write_dsf(tmp_path / "song.dsf", times=times, family=family, seconds=0.3)
    outcome = run(tmp_path, path, format="wav", format_options={"bit_depth": 32})
    report = outcome.report
    assert report["source"]["file_sample_rate_hz"] == times * family
    assert report["source"]["sample_rate_hz"] == report["stems"]["vocals"]["sample_rate_hz"] == rate_hz
    assert f"The source is DSD at {times * family:,} Hz; it was converted to {rate_hz:,} Hz." in report["notes"]
    samples = heard(tmp_path, outcome, "accompaniment")[0]
    middle = samples[samples.size // 4 : samples.size * 3 // 4]
    spectrum = np.abs(np.fft.rfft(middle * np.hanning(middle.size)))
    assert spectrum.argmax() * rate_hz / middle.size == pytest.approx(1000, abs=20)


def test_dsd256_is_taken_and_dsd512_is_refused(tmp_path: Path) -> None:
    assert run(tmp_path, write_dsf(tmp_path / "a.dsf", times=256, channels=1, seconds=0.02)).report["notes"]
    with pytest.raises(AudioUnsupportedError, match="sample rate"):
        run(tmp_path, write_dsf(tmp_path / "b.dsf", times=512, channels=1, seconds=0.02))


@pytest.mark.parametrize(("rate", "converted"), [(352_800, 176_400), (384_000, 192_000), (768_000, 192_000)])
def test_pcm_of_high_rates_is_converted_and_separated(tmp_path: Path, rate: int, converted: int) -> None:
    song = make_song(0.5, sample_rate_hz=rate)
    report = run(tmp_path, write_wav(tmp_path / "song.wav", song, rate)).report
    assert report["source"]["file_sample_rate_hz"] == rate
    assert report["stems"]["vocals"]["sample_rate_hz"] == converted
    assert report["stems"]["vocals"]["duration_seconds"] == pytest.approx(0.5, abs=0.001)


def id3v2(n_bytes: int, *, footer: bool = False) -> bytes:
    """Return an ID3v2 tag of padding."""
    size = bytes((n_bytes >> shift) & 0x7F for shift in (21, 14, 7, 0))
    version, flags = (b"\x04\0", 0x10) if footer else (b"\x03\0", 0)
    end = b"3DI" + version + bytes([flags]) + size if footer else b""
    return b"ID3" + version + bytes([flags]) + size + bytes(n_bytes) + end


@pytest.mark.parametrize("tags", [id3v2(100), id3v2(5_000) + id3v2(70_000), id3v2(300, footer=True)])
@pytest.mark.parametrize("name", ["song.wv", "song.tta", "song.flac", "song.wav", "song.aiff"])
def test_a_tag_before_a_file_that_has_no_place_for_it_is_skipped(tmp_path: Path, name: str, tags: bytes) -> None:
    plain = convert(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / name)
    path = tmp_path / "behind"
    path.write_bytes(tags + plain.read_bytes())
    assert run(tmp_path, path).report["stems"]["vocals"]["n_samples"] == RATE_HZ


def test_no_samples_are_lost_to_a_tag_before_bare_packets(tmp_path: Path) -> None:
    plain = convert(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / "song.ac3")
    tagged = tmp_path / "tagged.ac3"
    tagged.write_bytes(id3v2(100) + plain.read_bytes())
    report = run(tmp_path, tagged).report
    assert report["notes"] == []
    assert report["stems"]["vocals"]["n_samples"] == run(tmp_path, plain).report["stems"]["vocals"]["n_samples"]


def test_text_behind_a_tag_is_still_no_audio(tmp_path: Path) -> None:
    path = tmp_path / "song.ape"
    path.write_bytes(id3v2(100) + b"these are words\n" * 500)
    with pytest.raises(Exception, match="cannot be read as audio"):
        run(tmp_path, path)


@pytest.mark.parametrize(
    "tail", [b"TAG" + bytes(125), id3v2(300), b"APETAGEX" + bytes(24), b"LYRICSBEGIN" + bytes(90) + b"LYRICS200"]
)
def test_wavpack_with_a_tag_at_its_end_is_not_called_broken(tmp_path: Path, tail: bytes) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(2)), tmp_path / "song.wv")
    path.write_bytes(path.read_bytes() + tail)
    assert run(tmp_path, path).report["notes"] == []


@pytest.mark.parametrize("tail", [b"TAG" + b"Song".ljust(125, b"\0"), bytes(70_000)])
def test_flac_with_a_tag_or_padding_at_its_end_is_not_called_damaged(tmp_path: Path, tail: bytes) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(2)), tmp_path / "song.flac")
    path.write_bytes(path.read_bytes() + tail)
    assert run(tmp_path, path).report["notes"] == []


def test_a_packet_that_is_lost_within_a_file_is_told(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(4)), tmp_path / "song.flac")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 2_000] = bytes(2_000)
    path.write_bytes(content)
    assert any("could not be decoded" in note for note in run(tmp_path, path).report["notes"])


def test_wavpack_that_is_cut_off_is_still_called_damaged(tmp_path: Path) -> None:
    path = convert(write_wav(tmp_path / "in.wav", make_song(8)), tmp_path / "song.wv")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert any(DAMAGE.search(note) for note in run(tmp_path, path).report["notes"])


@pytest.mark.parametrize("scheme", ["cenc", "drms"])
def test_an_encrypted_file_is_called_encrypted(tmp_path: Path, scheme: str) -> None:
    song, path = write_wav(tmp_path / "in.wav", make_song(2)), tmp_path / "song.m4a"
    if scheme == "cenc":
        key = ("-encryption_scheme", "cenc-aes-ctr", "-encryption_key", "76" * 16, "-encryption_kid", "a7" * 16)
        convert(song, path, *key)
    else:
        path.write_bytes(convert(song, path).read_bytes().replace(b"mp4a", b"drms"))
    with pytest.raises(AudioUnsupportedError, match="encrypted"):
        run(tmp_path, path)


# Layouts of loudspeakers, and files of no samples.


@pytest.mark.parametrize("mask", [0x7, 0x107, 0x37, 0x607, 0x63F, 0x637])
@pytest.mark.parametrize("name", ["wav", "flac"])
def test_stems_have_the_loudspeakers_of_the_source(tmp_path: Path, mask: int, name: str) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(0.5, channels=mask.bit_count()), subtype="PCM_16")
    content = bytearray(source.read_bytes())
    struct.pack_into("<I", content, content.index(b"fmt ") + 28, mask)
    source.write_bytes(content)
    outcome = run(tmp_path, source, format=name)
    told = subprocess.run(
        [bundled_ffmpeg(), "-i", tmp_path / "out" / f"vocals.{name}", "-f", "wav", "-c:a", "pcm_s16le", "pipe:1"],
        capture_output=True,
        check=True,
    ).stdout
    assert struct.unpack_from("<I", told, told.index(b"fmt ") + 28)[0] == mask
    assert outcome.report["notes"] == []


def test_folded_channels_are_noted(tmp_path: Path) -> None:
    source = write_wav(tmp_path / "song.wav", make_song(0.5, channels=6))
    (note,) = run(tmp_path, source, format="mp3").report["notes"]
    assert note == "mp3 does not support this layout of 6 loudspeakers: the stems were mixed down to 2 channels."


def test_a_file_of_no_samples_is_still_empty(tmp_path: Path) -> None:
    with pytest.raises(AudioEmptyError):
        run(tmp_path, write_wav(tmp_path / "song.wav", np.zeros((2, 0), dtype=np.float32)))


# Sample rate or channels that change within a file.


def joined(folder: Path, name: str, *parts: tuple[int, int], codec: str) -> Path:
    """Return the files of one second with these sample rates and channels, one behind the other."""
    path = folder / name
    with path.open("wb") as whole:
        for number, (rate, channels) in enumerate(parts):
            song = write_wav(folder / "in.wav", make_song(1, sample_rate_hz=rate, channels=channels), rate)
            serial = ("-serial_offset", str(number)) if name.endswith(("ogg", "opus")) else ()
            whole.write(convert(song, folder / f"part{path.suffix}", "-c:a", codec, *serial).read_bytes())
    return path


@pytest.mark.parametrize(("name", "codec"), [("song.aac", "aac"), ("song.mp3", "libmp3lame"), ("song.ac3", "ac3")])
@pytest.mark.parametrize("parts", [((32_000, 1), (48_000, 2)), ((48_000, 2), (32_000, 1))])
def test_parts_of_other_rates_and_channels_are_whole_and_told(
    tmp_path: Path, name: str, codec: str, parts: Sequence[tuple[int, int]]
) -> None:
    report = run(tmp_path, joined(tmp_path, name, *parts, codec=codec)).report
    assert report["stems"]["vocals"]["duration_seconds"] == pytest.approx(2.0, abs=0.15)
    assert report["source"]["gaps"] == []
    notes = [note for note in report["notes"] if "change within the recording" in note]
    assert len(notes) == 1
    if codec != "libmp3lame":
        # The first packets of an MP3 need those before them.
        assert report["notes"] == notes


@pytest.mark.parametrize(("name", "codec"), [("song.ogg", "libvorbis"), ("song.opus", "libopus")])
def test_the_part_of_an_ogg_file_that_cannot_be_read_is_told(tmp_path: Path, name: str, codec: str) -> None:
    parts = ((48_000, 2), (48_000, 1))
    notes = run(tmp_path, joined(tmp_path, name, *parts, codec=codec)).report["notes"]
    assert len(notes) == 1
    assert re.fullmatch(r"The codec, the sample rate or the channels .* change at 1\.0\d s; .* is missing\.", notes[0])


def test_the_part_of_an_ogg_file_in_another_codec_is_told(tmp_path: Path) -> None:
    song = write_wav(tmp_path / "in.wav", make_song(1))
    vorbis = convert(song, tmp_path / "part.ogg", "-c:a", "libvorbis").read_bytes()
    opus = convert(song, tmp_path / "part.opus", "-serial_offset", "1").read_bytes()
    path = tmp_path / "song.ogg"
    path.write_bytes(vorbis + opus)
    notes = run(tmp_path, path).report["notes"]
    assert len(notes) == 1
    assert re.fullmatch(r"The codec, .* change at 1\.0\d s; .* is missing\.", notes[0])


def test_words_of_the_decoder_in_a_tag_are_not_believed(tmp_path: Path) -> None:
    words = "Error during demuxing: No space left on device: File too large, Sample rate change is not supported"
    path = convert(write_wav(tmp_path / "in.wav", make_song(1)), tmp_path / "song.flac", "-metadata", f"title={words}")
    assert run(tmp_path, path).report["notes"] == []


@pytest.mark.parametrize(("channels", "mask"), [(3, 0x7), (4, 0x33), (7, 0x70F)])
@pytest.mark.parametrize("name", ["song.wav", "song.aiff"])
def test_channels_that_nobody_names_have_the_usual_layout_and_none_is_lost(
    tmp_path: Path, channels: int, mask: int, name: str
) -> None:
    song = np.zeros((channels, RATE_HZ), dtype=np.float32)
    song[2] = make_song(1, channels=1)[0]
    soundfile.write(tmp_path / name, song.T, RATE_HZ, subtype="PCM_16")
    outcome = run(tmp_path, tmp_path / name, format="wav")
    stem = (tmp_path / "out" / "vocals.wav").read_bytes()
    assert struct.unpack_from("<I", stem, stem.index(b"fmt ") + 28)[0] == mask
    if channels == 3:
        outcome = run(tmp_path, tmp_path / name, format="mp3")
        assert np.abs(heard(tmp_path, outcome, "accompaniment")).max() > 0.05
