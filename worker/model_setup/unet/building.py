"""Builds the networks in the form that is best for this machine, with their initial states."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from worker.engines.unet.network import Network, States
from worker.model_setup.unet.forms import NetworkForm, choose_form
from worker.model_setup.unet.spleeter import BINS, CHANNELS, CHUNK_FRAMES, SETTLING_FRAMES

STATES_NAME = "silence.npz"


def build_networks(
    portable: Path, stems: Iterable[str], folder: Path, precision: str
) -> tuple[NetworkForm, tuple[str, ...], str]:
    """Write a network for each stem, and the states that all networks begin a track with, into a folder.

    `portable` has the files that each network is made from. Returns the form of the networks, their file names and the
    file name of the states. Raises PrecisionUnavailableError.
    """
    sources = {stem: portable / f"{stem}.onnx" for stem in stems}
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        form = choose_form(precision, next(iter(sources.values())), Path(scratch))
    states = {}
    for stem, source in sources.items():
        network = (folder / stem).with_suffix(form.suffix)
        form.write(source, network)
        for name, value in _states_after_silence(form.load(network)).items():
            states[f"{stem}/{name}"] = value
    np.savez(folder / STATES_NAME, allow_pickle=False, **states)
    return form, tuple(f"{stem}{form.suffix}" for stem in sources), STATES_NAME


def _states_after_silence(network: Network) -> States:
    """Return the states of a network after silence. Each track begins with them, as if silence came before it."""
    silence, states = np.zeros((CHANNELS, CHUNK_FRAMES, BINS), np.float32), network.empty_states()
    # Long enough that nothing from before the silence is left in the states.
    for _ in range(2 * -(-SETTLING_FRAMES // CHUNK_FRAMES) + 1):
        _, states = network.step(silence, states)
    return states
