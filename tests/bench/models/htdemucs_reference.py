"""Development only, needs torch: runs tiny networks through the reference implementation and stores what comes out.

    python3 -m venv REFERENCE
    REFERENCE/bin/pip install torch demucs==4.1.0 onnx onnxruntime psutil scipy soxr
    REFERENCE/bin/pip install --no-deps demucs-onnx==0.3.4                             # only for `make bench`
    REFERENCE/bin/python -m tests.bench.models.htdemucs_reference

This writes `tests/fixtures/stand_ins/htdemucs/`: `reference.npz` with some samples of one segment and of short songs
for each network of `tests/fixtures/stand_ins/tiny_htdemucs.py`, and `by_torch.th` and `by_safetensors.safetensors`, the
smallest network as the publisher's own tools write it. The tests of CI compare these with the engine. Inputs and
weights come from seeds, so only outputs are stored.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from tests.fixtures.stand_ins.tiny_htdemucs import NETWORKS, noise_song, random_weights, write_torch_file

STORED = Path(__file__).parents[2] / "fixtures" / "stand_ins" / "htdemucs"
STEP = 29

SONGS: Mapping[str, tuple[float, float]] = {"long": (3.2, 1.0), "quiet": (1.3, 0.01), "short": (0.3, 1.0)}
"""The songs, in segments and with their level: several segments, one at -40 dB, and one shorter than a segment."""

OFFSET = 0.02
"""The mean of a song, times its level. Outside the song the network sees zeros, not this offset."""

SMALLEST: Mapping[str, Any] = {
    "sources": ["drums", "vocals"],
    "channels": 8,
    "depth": 1,
    "dconv_mode": 1,
    "t_layers": 1,
    "t_heads": 1,
    "segment": 0.25,
}
"""For the file formats; small enough to be stored."""


def segment_samples(arguments: Mapping[str, Any]) -> int:
    """Return the length of a network's segments."""
    return int(arguments["segment"] * 44_100)


def song_of(arguments: Mapping[str, Any], name: str) -> np.ndarray:
    """Return one of `SONGS` for a network, shape (2, n), float32."""
    segments, level = SONGS[name]
    return (noise_song(int(segments * segment_samples(arguments)), seed=1) + np.float32(OFFSET)) * np.float32(level)


def reference_model(arguments: Mapping[str, Any], weights: Mapping[str, np.ndarray]) -> Any:
    """Return the reference's model, read by itself from a file as the publisher writes it."""
    from demucs.states import load_model

    with tempfile.TemporaryDirectory() as folder:
        return load_model(write_torch_file(Path(folder) / "network.th", arguments, weights)).eval()


def reference_song(model: Any, y: np.ndarray) -> np.ndarray:
    """Return the reference's stems of a song, shape (n_stems, 2, n), without random shifts.

    They are those of `demucs.api`, less the song's mean, which it adds to every stem.
    """
    import torch
    from demucs.apply import apply_model

    middle = torch.tensor(y).mean(0)
    mean, deviation = middle.mean(), middle.std() + 1e-8
    with torch.no_grad():
        out = apply_model(model, ((torch.tensor(y) - mean) / deviation)[None], shifts=0, split=True, overlap=0.25)
    stems: np.ndarray = (out[0] * deviation).numpy()
    return stems


def reference_segment(model: Any, y: np.ndarray) -> np.ndarray:
    """Return the reference's stems of one segment, shape (n_stems, 2, n), at the level at which it comes."""
    import torch

    with torch.no_grad():
        stems: np.ndarray = model(torch.tensor(y)[None])[0].numpy()
    return stems


def main() -> None:
    """Write the stored outputs and files."""
    STORED.mkdir(exist_ok=True)
    stored = {}
    for network, arguments in NETWORKS.items():
        model = reference_model(arguments, random_weights(arguments))
        segment = noise_song(segment_samples(arguments))
        stored[f"{network}/segment"] = reference_segment(model, segment)[..., ::STEP]
        for name in SONGS:
            stored[f"{network}/{name}"] = reference_song(model, song_of(arguments, name))[..., :: STEP * 2]
    np.savez_compressed(STORED / "reference.npz", **stored)  # type: ignore[arg-type]
    _write_small_files()
    for path in STORED.iterdir():
        print(path.name, path.stat().st_size)


def _write_small_files() -> None:
    import torch
    from demucs.htdemucs import HTDemucs
    from safetensors.torch import save_file

    model = HTDemucs(**SMALLEST)
    state = {name: torch.tensor(values).half() for name, values in random_weights(SMALLEST).items()}
    package = {
        "klass": HTDemucs,
        "args": (),
        "kwargs": SMALLEST,
        "state": state,
        "training_args": {"lr": 3e-4, "seed": 42},
    }
    model.load_state_dict({name: values.float() for name, values in state.items()})
    torch.save(package, STORED / "by_torch.th")
    metadata = {"klass": "demucs.htdemucs.HTDemucs", "args": "[]", "kwargs": json.dumps(SMALLEST)}
    save_file(state, STORED / "by_safetensors.safetensors", metadata=metadata)


if __name__ == "__main__":
    main()
