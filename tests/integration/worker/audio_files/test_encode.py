from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from shared.audio.formats import FORMATS, resolve
from shared.errors import ScratchFullError
from tests.fixtures.sounds.audio import decode, make_song
from worker.audio_files.channel_layouts import USUAL_LAYOUTS, change_layout
from worker.audio_files.encode import open_encoder, quantize_16_bit
from worker.audio_files.ffmpeg import bundled_ffmpeg
from worker.audio_files.headers.probe_log import channels_of_layout
from worker.audio_files.stem_files import StemFiles
from worker.run_support.task_pool import TaskPool

STEREO = change_layout("wav", USUAL_LAYOUTS[2])


def encode(
    folder: Path,
    song: np.ndarray,
    name: str,
    *,
    sample_rate_hz: int = 44_100,
    block: int = 30_011,
    mask: int = 0,
    **options: Any,
) -> Path:
    layout = change_layout(name, mask or USUAL_LAYOUTS[len(song)])
    encoding = resolve(name, options, sample_rate_hz=sample_rate_hz, channels=layout.channels)
    path = folder / f"song.{encoding.format.extension}"
    encoder = open_encoder(
        path,
        encoding,
        source_rate_hz=sample_rate_hz,
        layout=layout,
        n_samples=song.shape[1],
        seed=3,
        ffmpeg_path=None,
    )
    for start in range(0, song.shape[1], block):
        encoder.write_block(song[:, start : start + block])
    encoder.finish()
    return path


@pytest.mark.parametrize(
    ("name", "depth", "tolerance"),
    [("wav", 16, 2.0 / 2**15), ("wav", 24, 0.5001 / 2**23), ("flac", 16, 2.0 / 2**15), ("flac", 24, 0.5001 / 2**23)],
)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_integer_samples_are_as_exact_as_their_bit_depth_allows(
    tmp_path: Path, name: str, depth: int, tolerance: float, channels: int
) -> None:
    song = make_song(1.3, channels=channels)
    path = encode(tmp_path, song, name, bit_depth=depth)
    assert soundfile.info(path).subtype == f"PCM_{depth}"
    heard = decode(path, channels=channels)
    assert heard.shape == song.shape
    assert np.abs(heard - song).max() <= tolerance


def test_floats_are_exact_even_above_full_scale(tmp_path: Path) -> None:
    song = make_song(1, peak=2.5)
    np.testing.assert_array_equal(decode(encode(tmp_path, song, "wav", bit_depth=32), channels=2), song)


@pytest.mark.parametrize("name", [n for n, f in FORMATS.items() if f.bitrates_kbps])
@pytest.mark.parametrize("sample_rate_hz", [8_000, 22_050, 44_100, 48_000])
def test_lossy_files_are_gapless(tmp_path: Path, name: str, sample_rate_hz: int) -> None:
    song = make_song(2.3456, sample_rate_hz=sample_rate_hz)
    heard = decode(encode(tmp_path, song, name, sample_rate_hz=sample_rate_hz), channels=2)
    rate = resolve(name, {}, sample_rate_hz=sample_rate_hz, channels=2).sample_rate_hz
    assert heard.shape[1] == -(-song.shape[1] * rate // sample_rate_hz)
    if rate == sample_rate_hz:
        # In step with the source too, not only as long: a shift of one sample would halve this in the highs.
        for channel, original in zip(heard, song, strict=True):
            assert np.corrcoef(channel, original)[0, 1] > 0.9


@pytest.mark.parametrize(
    ("name", "channels"),
    [
        *((name, channels) for name in ("ogg", "m4a", "flac", "wav") for channels in range(3, 9)),
        *(("opus", channels) for channels in (3, 4, 6, 8)),
    ],
)
def test_channels_keep_their_places(tmp_path: Path, name: str, channels: int) -> None:
    t = np.arange(48_000) / 48_000
    # A low tone, since the fourth of six and more is the channel of low frequencies to codecs.
    tones = np.stack([np.sin(2 * np.pi * 40 * t) * 0.1 * (c + 1) for c in range(channels)]).astype(np.float32)
    heard = decode(encode(tmp_path, tones, name, sample_rate_hz=48_000), channels=channels)
    if name == "m4a" and channels == 7:
        # AAC knows 6.1 with the single one of the back in the last place.
        heard = heard[[0, 1, 2, 3, 6, 4, 5]]
    levels = np.sqrt(np.mean(heard**2, axis=1)) * np.sqrt(2)
    np.testing.assert_allclose(levels, 0.1 * np.arange(1, channels + 1), rtol=0.15)


def test_more_than_two_channels_are_mixed_down_for_mp3(tmp_path: Path) -> None:
    assert decode(encode(tmp_path, make_song(1, channels=6), "mp3"), channels=2).shape == (2, 44_100)


def test_dither_makes_the_error_independent_of_the_signal() -> None:
    quiet = np.full((200_000, 1), 0.3 / 2**15, dtype=np.float32)
    steps = quantize_16_bit(quiet, np.random.default_rng(1))
    # Rounding alone would give 0 everywhere; with dither the level survives in the mean.
    assert steps.mean() == pytest.approx(0.3, abs=0.01)
    assert np.std(steps - 0.3) == pytest.approx(np.sqrt(0.25), rel=0.05)


def test_dither_is_the_same_each_time_and_leaves_silence_alone(tmp_path: Path) -> None:
    song = make_song(1)
    first = encode(tmp_path, song, "wav", bit_depth=16).read_bytes()
    assert encode(tmp_path, song, "wav", bit_depth=16).read_bytes() == first
    silence = encode(tmp_path, np.zeros((2, 44_100), dtype=np.float32), "wav", bit_depth=16)
    assert not decode(silence, channels=2).any()


def test_full_scale_saturates_instead_of_wrapping(tmp_path: Path) -> None:
    song = np.array([[1.0, -1.0, 1.5, -1.5] * 100], dtype=np.float32)
    for depth in (16, 24):
        heard = decode(encode(tmp_path, song, "wav", bit_depth=depth), channels=1)
        np.testing.assert_allclose(heard, np.clip(song, -1, 1), atol=1e-4)


def stem_files(folder: Path, name: str) -> StemFiles:
    return StemFiles(
        folder,
        ["vocals", "accompaniment"],
        resolve(name, {}, sample_rate_hz=44_100, channels=2),
        source_rate_hz=44_100,
        layout=STEREO,
        n_samples=44_100,
        pool=TaskPool(1),
        ffmpeg_path=None,
    )


@pytest.mark.parametrize("name", ["flac", "mp3"])
def test_incomplete_files_are_deleted(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyboardInterrupt):  # noqa: SIM117, PT012 - what is raised within is the point
        with stem_files(tmp_path, name) as files:
            files.write_block(np.stack([make_song(1)] * 2))
            raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("channels", [5, 7])
def test_channel_layouts_that_opus_would_misplace_are_mixed_down(tmp_path: Path, channels: int) -> None:
    song = make_song(1, sample_rate_hz=48_000, channels=channels)
    path = encode(tmp_path, song, "opus", sample_rate_hz=48_000)
    assert decode(path, channels=channels - 1).shape == (channels - 1, 48_000)


@pytest.mark.parametrize("name", ["wav", "flac", "mp3"])
def test_a_full_disk_raises_scratch_full(tmp_path: Path, name: str) -> None:
    path = tmp_path / "song"
    path.symlink_to("/dev/full")
    with pytest.raises(ScratchFullError):
        encode_ten_seconds(path, name)


def encode_ten_seconds(path: Path, name: str) -> None:
    encoding = resolve(name, {}, sample_rate_hz=44_100, channels=2)
    options: Any = {"source_rate_hz": 44_100, "layout": STEREO, "n_samples": 441_000, "seed": 0}
    encoder = open_encoder(path, encoding, **options, ffmpeg_path=None)
    try:
        encoder.write_block(make_song(10))
        encoder.finish()
    finally:
        encoder.abort()


LAYOUTS = {
    "3.0": 0x7,
    "4.0": 0x107,
    "quad": 0x33,
    "5.0": 0x37,
    "5.0(side)": 0x607,
    "5.1": 0x3F,
    "5.1(side)": 0x60F,
    "6.0": 0x707,
    "6.0(front)": 0x6C3,
    "6.1": 0x70F,
    "7.0": 0x637,
    "7.1": 0x63F,
    "7.1(wide)": 0xFF,
}

# Layouts with one loudspeaker of a pair, without a front, or with loudspeakers above.
ODD_LAYOUTS = (0x1F, 0x7F, 0x105, 0x60D, 0x630, 0x2D033, 0x503F)

# The name of a loudspeaker by its bit, and the one that may stand for it in formats without loudspeakers at the sides.
SPEAKERS = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)


def tone_hz(bit: int) -> int:
    """Return the tone of a loudspeaker. That of the bass is low, since codecs keep nothing else in its channel."""
    return 60 if SPEAKERS[bit] == "LFE" else 300 + 200 * bit


def tone_per_channel(mask: int) -> np.ndarray:
    """Return one second in which each loudspeaker has a tone of its own."""
    t = np.arange(48_000) / 48_000
    tones = [0.5 * np.sin(2 * np.pi * tone_hz(bit) * t) for bit in range(len(SPEAKERS)) if mask >> bit & 1]
    return np.stack(tones).astype(np.float32)


def tones_heard(samples: np.ndarray) -> dict[str, float]:
    """Return the amplitude of each loudspeaker's tone in one channel."""
    middle = samples[12_000:36_000] * np.hanning(24_000)
    spectrum = np.abs(np.fft.rfft(middle)) / 6_000
    return {name: float(spectrum[tone_hz(bit) // 2]) for bit, name in enumerate(SPEAKERS)}


def heard_layout(path: Path) -> tuple[str, np.ndarray]:
    """Return ffmpeg's name for a file's layout, and its samples."""
    told = subprocess.run([bundled_ffmpeg(), "-i", str(path)], capture_output=True, text=True, check=False).stderr
    name = re.search(r"Hz, ([^,\n]+)", told.partition("Audio:")[2])
    assert name
    channels = channels_of_layout(name[1])
    return name[1], decode(path, channels=channels or 0)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["wav", "flac"])
def test_lossless_stems_name_the_loudspeakers_of_the_source(tmp_path: Path, name: str, layout: str) -> None:
    song = tone_per_channel(LAYOUTS[layout])
    path = encode(tmp_path, song, name, sample_rate_hz=48_000, mask=LAYOUTS[layout], bit_depth=24)
    heard, samples = heard_layout(path)
    assert heard == layout
    np.testing.assert_allclose(samples, song, atol=1e-6)


@pytest.mark.parametrize("mask", [*LAYOUTS.values(), *ODD_LAYOUTS], ids=hex)
@pytest.mark.parametrize("name", ["ogg", "opus", "m4a", "mp3"])
def test_each_loudspeaker_is_heard_where_it_belongs(tmp_path: Path, name: str, mask: int) -> None:
    """Every tone is loudest in channels on its own side, and no loudspeaker but the bass is lost."""
    path = encode(tmp_path, tone_per_channel(mask), name, sample_rate_hz=48_000, mask=mask)
    heard, samples = heard_layout(path)
    names = {"mono": ["FC"], "stereo": ["FL", "FR"]}.get(heard) or channel_names(heard)
    levels = {speaker: tones_heard(values) for speaker, values in zip(names, samples, strict=True)}
    for bit, speaker in enumerate(SPEAKERS):
        if not mask >> bit & 1 or (speaker == "LFE" and "LFE" not in names):
            continue
        loud = {
            other for other, tones in levels.items() if tones[speaker] > 0.5 * max(t[speaker] for t in levels.values())
        }
        assert max(tones[speaker] for tones in levels.values()) > 0.03, (speaker, levels)
        if speaker in names:
            assert loud == {speaker}, (speaker, levels)
        else:
            place = speaker.removeprefix("T")
            side = place[1] if len(place) > 1 and place[1] in "LR" else None
            allowed = {n for n in names if n != "LFE" and (side is None or n[1] in {side, "C"})}
            assert loud <= allowed, (speaker, levels)
            assert any(n.endswith("L") for n in loud) == any(n.endswith("R") for n in loud) or side, (speaker, levels)


def channel_names(layout: str) -> list[str]:
    """Return the loudspeakers of a layout by ffmpeg's name for it, in order."""
    listed = subprocess.run([bundled_ffmpeg(), "-v", "error", "-layouts"], capture_output=True, text=True, check=True)
    found = re.search(rf"^{re.escape(layout)} +(\S+)$", listed.stdout, re.MULTILINE)
    assert found, layout
    return found[1].split("+")
