"""Inference: magnitudes in, masks out, by onnxruntime on one thread a call.

The parallelism lies above, over segments: two calls on a thread each take a third less time than one call
on two threads, the result does not depend on the number of threads, and no idle thread spins on another
job's core.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np

from worker.engine.errors import EngineUnavailableError
from worker.engine.interface import FloatArray
from worker.engine.unet.machine import this_machine
from worker.engine.unet.manifest import Manifest, verify_files

RUNTIMES = ("onnxruntime",)
"""The packages that can run a network."""


class MaskNetwork(Protocol):
    """A loaded network. Threads may call it at once."""

    def masks(self, magnitudes: FloatArray) -> FloatArray:
        """Turn magnitudes (channels, frames, bins) into masks (masked stems, channels, frames, bins)."""


class OnnxNetwork:
    """A network in onnxruntime.

    Raises EngineUnavailableError when onnxruntime is missing or does not take the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            # 40 MB and 0.1 s, which only a worker that runs this engine should pay.
            import onnxruntime  # noqa: PLC0415
        except ImportError as error:
            raise EngineUnavailableError("This engine needs the package onnxruntime.") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        # Set-up has optimised the graph already; to do it again costs seconds and a second copy of the
        # weights.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        # Both off: memory goes back after each node, which halves the peak at no cost in time.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except (RuntimeError, ValueError) as error:
            raise EngineUnavailableError(f"onnxruntime cannot load {path.name}; set the model up again.") from error

    def masks(self, magnitudes: FloatArray) -> FloatArray:
        """Turn magnitudes (channels, frames, bins) into masks (masked stems, channels, frames, bins)."""
        (masks,) = self._session.run(["masks"], {"magnitudes": magnitudes[None]})
        return np.asarray(masks, dtype=np.float32)


def open_network(folder: Path, manifest: Manifest) -> MaskNetwork:
    """Check the files of a model folder and load its network.

    Raises EngineUnavailableError when a file is missing or damaged, or when they were optimised on
    another machine.
    """
    if manifest.built_for and this_machine(RUNTIMES) != manifest.built_for:
        raise EngineUnavailableError(
            f"The model in {folder} was optimised for another processor or other packages; set it up again."
        )
    verify_files(folder, manifest)
    return OnnxNetwork(folder / manifest.networks["onnxruntime"])
