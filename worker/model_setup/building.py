"""Builds the networks from their checkpoints, in the form that suits this machine, and lets them settle."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worker.engine.unet.network import Network, States
from worker.model_setup.checkpoint import read_checkpoint
from worker.model_setup.forms import Form, choose_form
from worker.model_setup.spleeter import CHUNK_FRAMES, SETTLING_FRAMES
from worker.model_setup.spleeter_graph import BINS, CHANNELS

STATES_NAME = "silence.npz"


def build_networks(checkpoints: Mapping[str, Path], folder: Path, precision: str) -> tuple[Form, tuple[str, ...], str]:
    """Write a network for each stem into a folder, and the states that all begin with.

    Returns the form they have, the stems' files and the states' file. Raises CheckpointError, and SetupError when this
    machine cannot compute in the precision asked for.
    """
    weights = {stem: read_checkpoint(path) for stem, path in checkpoints.items()}
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        form = choose_form(precision, next(iter(weights.values())), Path(scratch))
    states = {}
    for stem, arrays in weights.items():
        network = (folder / stem).with_suffix(form.suffix)
        form.write(arrays, network)
        for name, value in _states_of_silence(form.load(network)).items():
            states[f"{stem}/{name}"] = value
    np.savez(folder / STATES_NAME, allow_pickle=False, **states)
    return form, tuple(f"{stem}{form.suffix}" for stem in checkpoints), STATES_NAME


def _states_of_silence(network: Network) -> States:
    """Return the states of a network after silence: what a track begins with, as if silence came before
    it."""
    silence, states = np.zeros((CHANNELS, CHUNK_FRAMES, BINS), np.float32), network.empty_states()
    # Long enough for what is kept of the last chunks to know nothing of the beginning.
    for _ in range(2 * -(-SETTLING_FRAMES // CHUNK_FRAMES) + 1):
        _, states = network.step(silence, states)
    return states
