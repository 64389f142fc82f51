"""Builds the network from its checkpoints and has onnxruntime optimise it for this machine."""

from __future__ import annotations

from pathlib import Path

import onnx
import onnxruntime

from worker.model_setup.checkpoint import read_checkpoint
from worker.model_setup.spleeter import SEGMENT_FRAMES
from worker.model_setup.spleeter_graph import build_model

NETWORK_NAME = "network.onnx"
WEIGHTS_NAME = "network.weights"


def build_network(checkpoints: dict[str, Path], folder: Path) -> dict[str, str]:
    """Write the network into a folder; return which file each runtime loads. Raises CheckpointError."""
    weights = {stem: read_checkpoint(path) for stem, path in checkpoints.items()}
    model = build_model(weights["vocals"], weights["accompaniment"], SEGMENT_FRAMES)
    optimise(model, folder)
    return {"onnxruntime": NETWORK_NAME}


def optimise(model: onnx.ModelProto, folder: Path) -> None:
    """Write the model as onnxruntime would run it here, weights apart so that processes share them in
    memory."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(folder / NETWORK_NAME)
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS_NAME)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    # It warns that the file fits this machine alone; that is what the manifest's `built_for` is for.
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
