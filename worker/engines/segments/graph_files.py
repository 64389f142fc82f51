"""Loads the graph of a network in the package that set-up has built it for. The ending of the file tells which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Protocol

from worker.engines.interface import FloatArray, Progress
from worker.engines.segments.onnx_graph import OnnxGraph
from worker.engines.segments.openvino_graph import OpenVinoGraph

OPENVINO_SUFFIX = ".xml"
"""The ending of files for OpenVINO. All others are for onnxruntime."""


class Graph(Protocol):
    """A loaded graph. Each run waits for the one before to end."""

    def run(self, inputs: Mapping[str, FloatArray], progress: Progress) -> list[FloatArray]:
        """Return the outputs in their order; they may be overwritten by the next run.

        `progress` is called several times a second with an estimate below 1. If it raises, the run ends after its
        current layer, and the error passes on.
        """


def open_graph(path: Path, threads: int) -> Graph:
    """Load a graph for this number of threads, which changes no bit of the result.

    Raises EngineUnavailableError if the package is missing or cannot load the file.
    """
    return OpenVinoGraph(path, threads) if path.suffix == OPENVINO_SUFFIX else OnnxGraph(path, threads)


def packages_of(networks: Iterable[str]) -> tuple[str, ...]:
    """Return the packages that run these files. Their versions are a part of what the files were built for."""
    return ("openvino",) if any(name.endswith(OPENVINO_SUFFIX) for name in networks) else ("onnxruntime",)
