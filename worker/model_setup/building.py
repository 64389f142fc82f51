"""Builds the networks from their checkpoints, has onnxruntime optimise them for this machine, and lets
them settle."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from worker.engine.interface import FloatArray
from worker.engine.unet.network import RUNTIMES, Network, States
from worker.model_setup.checkpoint import read_checkpoint
from worker.model_setup.spleeter import CHUNK_FRAMES, SETTLING_FRAMES
from worker.model_setup.spleeter_graph import build_network

STATES_NAME = "silence.npz"


def build_networks(checkpoints: Mapping[str, Path], folder: Path) -> tuple[str, tuple[str, ...], str]:
    """Write a network for each stem into a folder, and the states that all begin with.

    Returns the runtime that suits this machine best, the stems' files and the states' file. Raises CheckpointError.
    """
    runtime, suffix, write = "onnxruntime", ".onnx", optimise
    if has_fast_bfloat16():
        runtime, suffix, write = "openvino", ".xml", convert
    states = {}
    for stem, path in checkpoints.items():
        model = build_network(read_checkpoint(path))
        network = (folder / stem).with_suffix(suffix)
        write(model, network)
        for name, value in _states_of_silence(model, RUNTIMES[runtime](network)).items():
            states[f"{stem}/{name}"] = value
    np.savez_compressed(folder / STATES_NAME, allow_pickle=False, **states)
    return runtime, tuple(f"{stem}{suffix}" for stem in checkpoints), STATES_NAME


def has_fast_bfloat16() -> bool:
    """Tell whether OpenVINO is installed and says that this processor computes in bfloat16."""
    try:
        import openvino  # noqa: PLC0415 - an extra that few have
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def convert(model: onnx.ModelProto, path: Path) -> None:
    """Write the model for OpenVINO, its weights in 16 bits: bfloat16 has fewer digits than they."""
    import openvino  # noqa: PLC0415 - an extra that few have

    openvino.save_model(openvino.Core().read_model(model.SerializeToString(), b""), path)


def optimise(model: onnx.ModelProto, path: Path) -> None:
    """Write the model as onnxruntime would run it here; the weights apart, so that processes share them
    in memory."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(path)
    weights = path.with_suffix(".weights").name
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", weights)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    # It warns that the file fits this machine alone; that is what the manifest's `built_for` is for.
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _states_of_silence(model: onnx.ModelProto, network: Network) -> States:
    """Return the states of a network after silence: what a track begins with, as if silence came before
    it."""
    inputs: dict[str, FloatArray] = {
        value.name: np.zeros([size.dim_value for size in value.type.tensor_type.shape.dim], np.float32)
        for value in model.graph.input
    }
    silence = inputs.pop("magnitudes")[0]
    states: States = inputs
    for _ in range(-(-SETTLING_FRAMES // CHUNK_FRAMES) + 1):
        _, states = network.step(silence, states)
    return states
