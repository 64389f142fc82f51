"""The forms in which a model that separates in segments can be built.

float32 with onnxruntime runs everywhere, and is as exact as the reference. bfloat16 with OpenVINO needs that package
and a processor with instructions for it. Set-up builds it only if MODEL_PRECISION asks for it: it is not as exact, and
a song at another level does not have the same stems to five digits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from worker.model_setup.errors import PrecisionUnavailableError
from worker.model_setup.openvino_files import BFLOAT16_VERSION, convert_graph, openvino_has_fast_bfloat16
from worker.model_setup.segment_models import optimise_graph


@dataclass(frozen=True)
class SegmentForm:
    """A precision, the suffix of its files, what it adds to the version of a model, and what writes a graph for it."""

    precision: str
    suffix: str
    version: str
    write: Callable[[bytes, Path], None]


FLOAT32 = SegmentForm("float32", ".onnx", "", optimise_graph)
BFLOAT16 = SegmentForm("bfloat16", ".xml", BFLOAT16_VERSION, convert_graph)


def form_for(precision: str, name: str) -> SegmentForm:
    """Return the form for MODEL_PRECISION, of the model `name`.

    Raises PrecisionUnavailableError if this machine cannot run it; an operator who forces a precision gets no other.
    """
    if precision != BFLOAT16.precision:
        return FLOAT32
    if not openvino_has_fast_bfloat16():
        raise PrecisionUnavailableError(
            f"{name} cannot be built in bfloat16 here: that needs a processor with instructions for it and the package "
            "openvino. Use MODEL_PRECISION=auto."
        )
    return BFLOAT16
