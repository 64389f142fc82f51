"""Builds an ONNX graph node by node, with states that pass from one run to the next.

Not specific to any network. Tensors are (1, channels, rows, bins), where rows are time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from worker.engines.interface import FloatArray


class StreamGraph:
    """The nodes, constants and states so far. Nodes and constants are named by their number."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.states: dict[str, list[int]] = {}

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant; return its name."""
        name = f"w{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return the name of the output."""
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def rows(self, x: str, start: int, stop: int) -> str:
        """Take the rows `start` to `stop` of x."""
        limits = [self.constant(np.array([value], np.int64)) for value in (start, stop, 2)]
        return self.node("Slice", x, *limits)

    def state(self, name: str, shape: tuple[int, int, int]) -> str:
        """Declare a state of (channels, rows, bins); return its name."""
        self.states[name] = [1, *shape]
        return name

    def replace(self, state: str, x: str) -> None:
        """Make x the value of the state for the next chunk."""
        self.nodes.append(helper.make_node("Identity", [x], [f"next_{state}"], name=f"next_{state}"))

    def joined(self, name: str, x: str, shape: tuple[int, int, int]) -> str:
        """Put the rows kept in a state of shape (channels, rows, bins) before the rows of x."""
        return self.node("Concat", self.state(name, shape), x, axis=2)

    def keep(self, state: str, x: str, start: int, n_rows: int) -> None:
        """Keep rows of x, from `start`, for the next chunk."""
        self.replace(state, self.rows(x, start, start + n_rows))

    def delayed(self, name: str, x: str, shape: tuple[int, int, int], rows: int, n_rows: int) -> str:
        """Delay x by the rows of a state of shape (channels, rows, bins); return the first `n_rows` rows.

        `rows` is the number of rows by which a chunk moves on.
        """
        lag = shape[1]
        state = self.state(name, shape)
        if lag <= rows:
            self.keep(name, x, rows - lag, lag)
        else:
            self.replace(name, self.node("Concat", self.rows(state, rows, lag), self.rows(x, 0, rows), axis=2))
        if n_rows <= lag:
            return self.rows(state, 0, n_rows)
        return self.node("Concat", state, self.rows(x, 0, n_rows - lag), axis=2)

    def convolution(
        self, x: str, weight: FloatArray, bias: FloatArray | None, pads: Sequence[int], stride: int = 1
    ) -> str:
        """Add a convolution. `pads` are top, left, bottom, right."""
        inputs = [x, self.constant(weight)] + ([] if bias is None else [self.constant(bias)])
        kernel = list(weight.shape[2:])
        return self.node("Conv", *inputs, kernel_shape=kernel, pads=list(pads), strides=[stride, stride])

    def summed(self, inputs: list[tuple[str, int]], kernel: FloatArray, bias: FloatArray, pads: Sequence[int]) -> str:
        """Add the sum of convolutions. Each input is given with the first channel of its own part of the kernel."""
        ends = [first for _, first in inputs[1:]] + [kernel.shape[1]]
        y = ""
        for (x, first), end in zip(inputs, ends, strict=True):
            part = self.convolution(x, kernel[:, first:end], None if y else bias, pads)
            y = self.node("Add", y, part) if y else part
        return y

    def scaled(self, x: str, scale: FloatArray, shift: FloatArray) -> str:
        """Multiply each channel by its factor and add its term."""
        inputs = [x, self.constant(scale.reshape(-1, 1, 1, 1)), self.constant(shift)]
        return self.node("Conv", *inputs, kernel_shape=[1, 1], group=len(scale))

    def model(self, *, gains: str, magnitudes_shape: list[int]) -> onnx.ModelProto:
        """Return the model that turns `magnitudes` into `gains`. The argument `gains` names the output of a node."""
        self.nodes.append(helper.make_node("Identity", [gains], ["gains"], name="gains"))
        shapes = {"magnitudes": magnitudes_shape, **self.states}
        results = {"gains": magnitudes_shape} | {f"next_{name}": shape for name, shape in self.states.items()}
        inputs, outputs = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
            for values in (shapes, results)
        )
        graph = helper.make_graph(self.nodes, "stream", inputs, outputs, self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
