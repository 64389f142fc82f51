"""Builds an ONNX graph node by node. Not specific to any network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.engines.interface import FloatArray

MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class GraphStyle:
    """What suits the package that runs a graph.

    Tensors of more than `piece_numbers` numbers are computed in pieces where that is possible. `has_attention` says
    whether there is an operator for attention with several heads; otherwise it is written in plain operators.
    """

    piece_numbers: int
    has_attention: bool


FOR_ONNXRUNTIME = GraphStyle(piece_numbers=1 << 21, has_attention=True)
"""A piece of 8 MB stays in the processor's cache, and what a layer holds beside its input and output stays small."""

FOR_OPENVINO = GraphStyle(piece_numbers=1 << 23, has_attention=False)
"""bfloat16 takes half the memory, and OpenVINO joins small layers. Each node costs time while the graph is loaded."""


class GraphBuilder:
    """The nodes and constants so far. Nodes and constants are named by their number."""

    def __init__(self, style: GraphStyle = FOR_ONNXRUNTIME) -> None:
        self.style = style
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._known: dict[tuple[Any, ...], str] = {}

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant; return its name. Floats become float32. Constants that are equal are added once."""
        values = np.ascontiguousarray(values, np.float32 if values.dtype.kind == "f" else None)
        key = (values.dtype.str, values.shape, hashlib.blake2b(values.tobytes()).digest())
        if key not in self._known:
            self._known[key] = f"c{len(self._constants)}"
            self._constants.append(numpy_helper.from_array(values, self._known[key]))
        return self._known[key]

    def whole(self, *values: int) -> str:
        """Add a constant list of whole numbers; return its name."""
        return self.constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        """Add a constant number; return its name."""
        return self.constant(np.array(value, np.float32))

    def node(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output. Outputs after the first have that name with `_1`, `_2` behind."""
        name = f"{kind}{len(self._nodes)}"
        names = [name, *(f"{name}_{number}" for number in range(1, outputs))]
        self._nodes.append(helper.make_node(kind, inputs, names, name=name, domain=domain, **attributes))
        return name

    def reshaped(self, x: str, *shape: int) -> str:
        """Give x another shape. One length may be -1."""
        return self.node("Reshape", x, self.whole(*shape))

    def part(self, x: str, axis: int, start: int, stop: int) -> str:
        """Take the places `start` to `stop` of an axis."""
        return self.node("Slice", x, *(self.whole(value) for value in (start, stop, axis)))

    def padded(self, x: str, axis: int, before: int, after: int) -> str:
        """Put zeros before and after an axis; negative numbers take places away."""
        return self.node("Pad", x, self.whole(before, after), "", self.whole(axis))

    def split(self, x: str, axis: int, parts: int) -> tuple[str, ...]:
        """Cut an axis into equal parts."""
        first = self.node("Split", x, outputs=parts, axis=axis, num_outputs=parts)
        return (first, *(f"{first}_{number}" for number in range(1, parts)))

    def linear(self, x: str, weight: NDArray[Any], bias: NDArray[Any] | None = None) -> str:
        """Multiply the rows of x, shape (n, before), with a constant (before, after), and add a constant (after,)."""
        constants = [self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        return self.node("Gemm", x, *constants)

    def model(self, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]]) -> onnx.ModelProto:
        """Return the model. `inputs` and `outputs` map names to shapes; `output` has said which tensors come out."""
        given, made = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape)) for name, shape in group.items()]
            for group in (inputs, outputs)
        )
        graph = helper.make_graph(self._nodes, "htdemucs", given, made, self._constants)
        opsets = [helper.make_opsetid("", 20), helper.make_opsetid(MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)

    def output(self, x: str, name: str) -> None:
        """Make x an output of the model."""
        self._nodes.append(helper.make_node("Identity", [x], [name], name=name))


Weights = Mapping[str, FloatArray]
"""The parameters of a network by their names in the reference."""
