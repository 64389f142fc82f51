"""The engine against what the reference implementation made of the same tiny networks and songs.

`tests/bench/models/htdemucs_reference.py` stored these outputs. `make bench FAMILIES=models` compares networks of full
size.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.bench.models.htdemucs_reference import SONGS, STEP, STORED, segment_samples, song_of
from tests.fixtures.stand_ins import tiny_htdemucs as tiny
from worker.engines import htdemucs
from worker.engines.errors import EngineUnavailableError
from worker.engines.htdemucs.family import FAMILY
from worker.engines.htdemucs.network import HTDemucsNetwork
from worker.engines.interface import FloatArray
from worker.engines.segments.manifest import read_segment_manifest
from worker.model_setup.htdemucs import build_htdemucs
from worker.model_setup.htdemucs.arguments import read_arguments
from worker.model_setup.htdemucs.building import stem_order
from worker.model_setup.htdemucs.graph import build_graph
from worker.model_setup.model_entry import ModelEntry


class Song:
    """A source in memory."""

    sample_rate_hz = 44_100

    def __init__(self, y: FloatArray) -> None:
        self._y = y
        self.channels, self.n_samples = y.shape

    def read_samples(self, start: int, stop: int) -> FloatArray:
        return self._y[:, start:stop].copy()


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """Model folders of all tiny networks."""
    folder = tmp_path_factory.mktemp("models")
    return {name: tiny.make_tiny_htdemucs_model(folder / name, arguments) for name, arguments in tiny.NETWORKS.items()}


@pytest.fixture(scope="module")
def stored() -> Iterator[Mapping[str, FloatArray]]:
    """What the reference gave."""
    with np.load(STORED / "reference.npz") as arrays:
        yield arrays


def in_reference_order(network: str, stems: FloatArray) -> FloatArray:
    """Return stems of the engine in the order of the network's file."""
    arguments = read_arguments((), tiny.NETWORKS[network])
    order = stem_order(arguments)
    return stems[[order.index(stem) for stem in arguments.stems]]


def separated(folder: Path, y: FloatArray, **options: Any) -> FloatArray:
    """Return all stems that the engine makes."""
    engine = htdemucs.create(None, {}, model_folder=folder)
    return np.concatenate(list(engine.separate(Song(y), **options)), axis=2)


def relative_error(y: FloatArray, reference: FloatArray) -> float:
    """Return the root of the mean square of the difference, relative to the reference."""
    difference = y.astype(np.float64) - reference
    return float(np.sqrt(np.square(difference).mean() / np.square(reference.astype(np.float64)).mean()))


@pytest.mark.parametrize("network", tiny.NETWORKS)
def test_one_segment(models: Mapping[str, Path], stored: Mapping[str, FloatArray], network: str) -> None:
    folder = models[network]
    loaded = FAMILY.load(folder, read_segment_manifest(folder), 1)
    y = tiny.noise_song(segment_samples(tiny.NETWORKS[network]))
    stems = in_reference_order(network, loaded.separate_segment(y, lambda _: None))
    for stem, expected in zip(stems[..., ::STEP], stored[f"{network}/segment"], strict=True):
        assert relative_error(stem, expected) < 1e-5


@pytest.mark.parametrize("song", SONGS)
@pytest.mark.parametrize("network", tiny.NETWORKS)
def test_songs(models: Mapping[str, Path], stored: Mapping[str, FloatArray], network: str, song: str) -> None:
    """80 dB is the promise; without the centred last segments 30 dB are reached, without the song's level 40."""
    stems = in_reference_order(network, separated(models[network], song_of(tiny.NETWORKS[network], song)))
    for stem, expected in zip(stems[..., :: STEP * 2], stored[f"{network}/{song}"], strict=True):
        assert relative_error(stem, expected) < 1e-4


def test_a_bag_has_a_network_for_each_stem(models: Mapping[str, Path], tmp_path: Path) -> None:
    """Each stem comes from its own file, in the order of the file's stems."""
    files = [
        tiny.write_torch_file(tmp_path / f"{seed}.th", tiny.FOUR, tiny.random_weights(tiny.FOUR, seed))
        for seed in (1, 0, 2, 3)
    ]
    folder = tmp_path / "bag"
    folder.mkdir()
    manifest = build_htdemucs(files, ModelEntry(name="bag", title="", summary="", licence=""), folder)
    assert manifest.networks == ("vocals.onnx", "drums.onnx", "bass.onnx", "other.onnx")
    y = song_of(tiny.FOUR, "quiet")
    stems, alone = separated(folder, y), separated(models["four"], y)
    assert relative_error(stems[2], alone[2]) < 1e-5  # bass, from the file with seed 0
    assert all(relative_error(stems[number], alone[number]) > 0.1 for number in (0, 1, 3))


def test_a_model_that_changes_within_a_song_is_not_mixed_with_the_one_before(tmp_path: Path) -> None:
    """The networks of a bag are loaded again for each segment."""
    paths = [tmp_path / "drums.onnx", tmp_path / "vocals.onnx"]
    for path in paths:
        path.touch()
    network = HTDemucsNetwork(paths, segment_samples(tiny.FOUR), threads=1)
    paths[0].with_suffix(".new").touch()
    paths[0].with_suffix(".new").rename(paths[0])
    with pytest.raises(EngineUnavailableError, match="changed or removed"):
        network.separate_segment(np.ones((2, segment_samples(tiny.FOUR)), np.float32), lambda _: None)
    paths[0].unlink()
    with pytest.raises(EngineUnavailableError, match="changed or removed"):
        network.separate_segment(np.ones((2, segment_samples(tiny.FOUR)), np.float32), lambda _: None)


def test_threads_and_excerpts_do_not_change_a_bit(models: Mapping[str, Path]) -> None:
    y = song_of(tiny.FOUR, "long")
    whole = separated(models["four"], y, threads=1)
    assert np.array_equal(whole, separated(models["four"], y, threads=3))
    assert np.array_equal(whole[..., 20_000:41_000], separated(models["four"], y, start=20_000, stop=41_000, threads=2))


def test_stems_and_their_order(models: Mapping[str, Path]) -> None:
    assert htdemucs.describe(models["four"]).stems == ("vocals", "drums", "bass", "other")
    assert htdemucs.describe(models["six"]).stems == ("vocals", "drums", "bass", "other", "guitar", "piano")


def test_settings_that_are_not_possible(models: Mapping[str, Path]) -> None:
    import dataclasses

    from worker.engines.segments.manifest import write_segment_manifest

    folder = models["four"]
    manifest = read_segment_manifest(folder)
    try:
        for changes in ({"settings": {"segment_samples": 1 << 30}}, {"settings": {}}, {"channels": 1}):
            write_segment_manifest(folder, dataclasses.replace(manifest, **changes))
            with pytest.raises(EngineUnavailableError, match="not valid"):
                htdemucs.describe(folder)
    finally:
        write_segment_manifest(folder, manifest)


def test_every_parameter_matters() -> None:
    """The comparison above can fail: of no parameter does the network's result not depend, except the keys' bias."""
    onnxruntime = pytest.importorskip("onnxruntime")
    arguments = read_arguments((), {**tiny.FOUR, "segment": 0.25})
    weights = tiny.random_weights(tiny.FOUR)
    rng = np.random.default_rng(0)
    inputs = {
        "spectrum": rng.standard_normal((arguments.frames, 2048, 4)).astype(np.float32),
        "waveform": rng.standard_normal((arguments.segment_samples, 2)).astype(np.float32),
    }

    def outputs(weights: Mapping[str, FloatArray]) -> list[FloatArray]:
        session = onnxruntime.InferenceSession(
            build_graph(arguments, weights).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        result: list[FloatArray] = session.run(None, inputs)
        return result

    before = outputs(weights)
    changed = [
        "encoder.0.dconv.layers.0.0.weight",
        "encoder.3.dconv.layers.1.4.bias",
        "tdecoder.1.dconv.layers.1.6.scale",
        "tencoder.2.dconv.layers.0.3.bias",
        "freq_emb.embedding.weight",
        "crosstransformer.layers_t.1.cross_attn.in_proj_bias",
        "crosstransformer.layers.0.norm_out.bias",
        "channel_downsampler.bias",
    ]
    for name in changed:
        after = outputs({**weights, name: weights[name] * 1.5 + np.float32(0.1)})
        assert max(relative_error(a, b) for a, b in zip(after, before, strict=True)) > 1e-4, name
