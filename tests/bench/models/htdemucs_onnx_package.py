"""Development only: HT-Demucs as the package demucs-onnx 0.3.4 exports and runs it.

Runs in the environment that `htdemucs_reference.py` describes. The package publishes networks on a hub only, so the
one with random weights is exported here with the package's own `export_to_onnx`, and given to the function that its
`separate` calls once a network has been downloaded.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np


def export(file: Path, target: Path) -> None:
    """Export a network from the publisher's file. Takes minutes, and needs torch and demucs."""
    import torch
    from demucs.states import load_model
    from demucs_onnx.export import export_to_onnx

    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "model.th"
        torch.save(load_model(file).eval(), whole)
        export_to_onnx(whole, target, parity_check=False, verbose=False)


def session(network: Path, threads: int, *, spinning: bool) -> Any:
    """Load an exported network with the package's options, but for the number of threads.

    It lets idle threads spin, which costs processor time. `spinning=False` does not, for a second comparison.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = threads
    if not spinning:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(network), options, providers=["CPUExecutionProvider"])


def separated(loaded: Any, y: np.ndarray, n_stems: int) -> np.ndarray:
    """Return the stems of a song, shape (n_stems, 2, n), in the network's order.

    The song's level is that of the reference: less its mean and divided by its deviation. The package leaves that out.
    """
    from demucs_onnx.inference import _chunked_separate_single

    middle = y.mean(axis=0)
    mean, deviation = middle.mean(), middle.std(ddof=1) + np.float32(1e-8)
    sources = [str(number) for number in range(n_stems)]
    stems = _chunked_separate_single(loaded, sources, (y - mean) / deviation, progress=False)
    return np.stack([stems[source] for source in sources]) * deviation
