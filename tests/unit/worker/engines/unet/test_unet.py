"""The real network: the same result as a plain graph, no seams, and no sound from silence."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.fixtures.stand_ins.plain_spleeter import plain_session
from worker.engines.unet import MaskEngine
from worker.engines.unet.chunks import Chunk, ChunkMasker
from worker.engines.unet.masks import MaskRule
from worker.engines.unet.model_manifest import read_manifest
from worker.engines.unet.network import load_model
from worker.model_setup.unet import spleeter
from worker.model_setup.unet.checkpoint import read_checkpoint
from worker.model_setup.unet.weights import find_weights

AUDIO = Path(os.environ.get("STEMQUEUE_AUDIO") or Path(__file__).parents[6] / "shared" / "audio")
SEEN_FRAMES = 256
"""How far a frame of the output sees to each side; nearer to the end of a segment a plain graph sees padding."""


@pytest.fixture(params=["caesium_30s", "sodium_30s"])
def song(request, array_source):
    path = AUDIO / "songs" / request.param / "mixture.flac"
    if not path.exists():
        pytest.skip(f"no audio at {path}")
    y, sample_rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return array_source(np.ascontiguousarray(y.T[:, : 20 * sample_rate_hz]), sample_rate_hz)


def magnitudes(frames: int) -> np.ndarray:
    """Return magnitudes with partials and noise, loud and soft, shape (1, 2, frames, 1024)."""
    rng = np.random.default_rng(0)
    noise = np.abs(rng.standard_normal((2, frames, 1024))) * 10 ** rng.uniform(-2, 1, (1, frames, 1))
    partials = 30 * (rng.uniform(size=(1, 1, 1024)) < 0.03) * rng.uniform(0, 1, (1, frames, 1))
    return (noise + partials)[None].astype(np.float32)


def test_the_stream_gives_the_same_masks_as_one_long_segment(unet_folder):
    frames = 1024
    S = magnitudes(frames)
    manifest = read_manifest(unet_folder)
    model = load_model(unet_folder, manifest)
    streamed = []
    for network, initial in zip(model.networks, model.initial_states.take_states(), strict=True):
        states, parts = initial, []
        for first in range(0, frames, manifest.chunk_frames):
            gains, states = network.step(S[0, :, first : first + manifest.chunk_frames], states)
            parts.append(gains)
        streamed.append(np.concatenate(parts, axis=1)[:, manifest.delay_frames :])
    weights = find_weights(spleeter.DISTRIBUTION, spleeter.CHECKPOINTS, spleeter.DIGESTS)
    plain = [
        plain_session(read_checkpoint(path), frames, 1).run(["gains"], {"magnitudes": S})[0][0]
        for path in weights.values()
    ]
    inner = slice(SEEN_FRAMES, frames - SEEN_FRAMES)
    S = S[0, :, inner]
    found, expected = (
        MaskRule.from_manifest(manifest).compute_masks(S, [g[:, inner] for g in gains]) for gains in (streamed, plain)
    )
    assert np.abs(found - expected).max() < 1e-4


def test_the_plain_graph_gives_the_same_masks_as_torch():
    torch = pytest.importorskip("torch", reason="torch is for developers who compare with it")
    weights = find_weights(spleeter.DISTRIBUTION, spleeter.CHECKPOINTS, spleeter.DIGESTS)
    S = magnitudes(128)
    for path in weights.values():
        arrays = read_checkpoint(path)
        expected = _torch_gains(torch, {name: torch.from_numpy(a) for name, a in arrays.items()}, S)
        found = plain_session(arrays, 128, 1).run(["gains"], {"magnitudes": S})[0]
        assert np.abs(found - expected).max() < 1e-4


def test_a_song_moved_by_half_a_chunk_gives_the_same_vocals(unet, song, array_source):
    vocals = song.separated(unet, threads=2)[0]
    moved_by = read_manifest(unet._folder).chunk_frames * 1024 // 2
    moved = array_source(np.pad(song.y, ((0, 0), (moved_by, 0))), song.sample_rate_hz)
    difference = moved.separated(unet, threads=2)[0][:, moved_by:] - vocals
    # One of 30 dB would be heard as a seam by nobody; this is the rounding of float32.
    assert 10 * np.log10(np.sum(vocals**2) / max(np.sum(difference**2), 1e-30)) > 100


def test_the_stems_of_a_song_sum_to_it_and_two_runs_are_identical(unet, song):
    first = song.separated(unet, threads=2)
    assert np.array_equal(first[1], song.y - first[0])
    assert np.array_equal(first, song.separated(unet))


@pytest.mark.parametrize("level_db", [6, -6, -20, -40])
def test_a_song_at_another_level_has_the_same_stems_at_that_level(unet, song, array_source, level_db, request):
    gain = np.float32(10 ** (level_db / 20))
    vocals = song.separated(unet, threads=2)[0]
    found = array_source(song.y * gain, song.sample_rate_hz).separated(unet, threads=2)[0] / gain
    # A tenth of a dB of SDR needs far less. In bfloat16 magnitudes may round the other way: 55 to 57 dB were seen.
    least_db = 50 if "bfloat16" in request.node.callspec.id else 60
    assert 10 * np.log10(np.sum(vocals**2) / np.sum((found - vocals) ** 2)) > least_db


def test_a_song_with_the_peak_of_a_master_is_fed_as_it_is(unet, song, array_source):
    y = song.y / np.abs(song.y).max()
    plain = create_with(unet._folder, fed_peak=None)
    assert np.array_equal(array_source(y, 48_000).separated(unet), array_source(y, 48_000).separated(plain))


def create_with(folder, **changes):
    """Return the engine of a folder as if its manifest had these values."""
    return MaskEngine(folder, replace(read_manifest(folder), **changes))


def test_an_excerpt_of_a_song_equals_that_part_of_the_whole(unet, song):
    start, stop = 17 * song.sample_rate_hz + 5, 19 * song.sample_rate_hz
    whole = song.separated(unet, threads=2)[:, :, start:stop]
    assert np.abs(song.separated(unet, start=start, stop=stop) - whole).max() < 1e-5


def test_silence_has_no_stems_and_memory_stays_within_what_is_declared(unet, array_source):
    silence = array_source(np.zeros((2, 44_100), np.float32), 44_100)
    assert not silence.separated(unet).any()
    declared = unet.peak_bytes(sample_rate_hz=44_100, channels=2, n_samples=10**9)
    assert 150e6 < declared < 400e6


def test_a_mask_fades_out_above_what_the_network_models(unet_folder):
    manifest = read_manifest(unet_folder)
    masker = ChunkMasker(manifest, load_model(unet_folder, manifest), 2)
    rng = np.random.default_rng(0)
    chunk, later = Chunk(), Chunk()
    y = rng.standard_normal((2, manifest.chunk_frames * 1024 + 3072)).astype(np.float32)
    masker.analyse(chunk, y)
    later.gains = [np.ones_like(chunk.S), np.zeros_like(chunk.S)]
    (vocals,) = masker.synthesise(chunk, later)
    spectrum = np.abs(np.fft.rfft(vocals[:, 4096:-4096])) / np.abs(np.fft.rfft(y[:, 4096:-4096]))
    hz = np.fft.rfftfreq(vocals.shape[1] - 8192, 1 / 44_100)
    share = [np.median(spectrum[:, (hz > low) & (hz < low + 500)]) for low in (5_000, 13_300, 17_000)]
    assert share == pytest.approx([1, 0.5, 0], abs=0.06)


def _torch_gains(torch, weights, S):
    """Compute the gains with torch's own layers."""
    F = torch.nn.functional

    def normalised(x, name):
        names = ("running_mean", "running_var", "weight", "bias")
        return F.batch_norm(x, *(weights[f"{name}.{part}"] for part in names), eps=1e-3)

    with torch.inference_mode():
        x, skips = torch.from_numpy(S), []
        for level in range(1, 7):
            name = f"down{level}_conv.1"
            padded = F.pad(x, (1, 2, 1, 2))
            x = F.conv2d(padded, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2)
            skips.append(x)
            x = F.leaky_relu(normalised(x, f"down{level}_act.0"), 0.2)
        y = skips.pop()
        for level in range(1, 7):
            y = y if level == 1 else torch.cat([skips.pop(), y], dim=1)
            name = f"up{level}.0"
            y = F.conv_transpose2d(y, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2)
            y = normalised(F.relu(y[:, :, 1:-2, 1:-2]), f"up{level}.3")
        y = F.conv2d(y, weights["up7.0.weight"], weights["up7.0.bias"], dilation=2, padding=3)
        return torch.sigmoid(y).numpy()
