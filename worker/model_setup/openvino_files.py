"""Writes graphs for OpenVINO, and says whether it can be used: an optional package that computes fast in bfloat16.

Imports neither onnxruntime nor openvino before they are needed.
"""

from __future__ import annotations

from pathlib import Path

from worker.model_setup.errors import ModelSetupError

BFLOAT16_VERSION = "-bf16"
"""What the version of a model has behind it if its networks compute in bfloat16: the samples differ a little."""


def openvino_has_fast_bfloat16() -> bool:
    """Return whether OpenVINO is installed and reports that this processor computes in bfloat16."""
    try:
        import openvino  # noqa: PLC0415 - an optional package
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def plain_version(version: str) -> str:
    """Return the version of a model without what its form has added."""
    return version.removesuffix(BFLOAT16_VERSION)


def convert_graph(model: bytes | Path, target: Path) -> None:
    """Write a graph for OpenVINO, with 16-bit weights in a file beside it: bfloat16 has fewer digits than these.

    `model` is an ONNX graph, serialised or in a file. `target` ends in `.xml`. Raises ModelSetupError if OpenVINO
    refuses the graph.
    """
    import openvino  # noqa: PLC0415 - an optional package

    try:
        openvino.save_model(openvino.Core().read_model(model), target)
    except RuntimeError as error:
        raise ModelSetupError("openvino cannot load this network.") from error
