"""Builds an ONNX graph node by node, with states that pass from one run to the next.

Not specific to any network. Tensors are (1, channels, rows, bins), where rows are time.

The constants of float32 (the trained ones, and nothing else) are in a file beside the graph. Only the graph needs the
package `onnx`. Where there is none, the constants can still be written, for a graph that was made elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from worker.engines.interface import FloatArray

if TYPE_CHECKING:
    import onnx


@dataclass(frozen=True)
class _Node:
    kind: str
    inputs: Sequence[str]
    output: str
    attributes: dict[str, Any]


class StreamGraph:
    """The nodes, constants and states so far. Nodes and constants are named by their number."""

    def __init__(self) -> None:
        self.nodes: list[_Node] = []
        self.constants: list[NDArray[Any]] = []
        self.states: dict[str, list[int]] = {}

    def constant(self, values: NDArray[Any]) -> str:
        """Add a constant; return its name."""
        self.constants.append(np.ascontiguousarray(values))
        return f"w{len(self.constants) - 1}"

    def node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output; return the name of the output."""
        name = f"{kind}{len(self.nodes)}"
        self.nodes.append(_Node(kind, inputs, name, attributes))
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
        self.nodes.append(_Node("Identity", [x], f"next_{state}", {}))

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

    def write_constants(self, path: Path) -> None:
        """Write the constants of float32 one after another."""
        with path.open("wb") as file:
            file.writelines(values.tobytes() for values in self.constants if values.dtype == np.float32)

    def model(self, *, gains: str, magnitudes_shape: list[int], constants_name: str) -> onnx.ModelProto:
        """Return the model that turns `magnitudes` into `gains`. The argument `gains` names the output of a node.

        `constants_name` is the name of the file that `write_constants` writes, in the folder of the model.
        """
        from onnx import TensorProto, helper  # noqa: PLC0415 - an image that only runs networks has no onnx

        shapes = {"magnitudes": magnitudes_shape, **self.states}
        results = {"gains": magnitudes_shape} | {f"next_{name}": shape for name, shape in self.states.items()}
        inputs, outputs = (
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in values.items()]
            for values in (shapes, results)
        )
        nodes = [
            helper.make_node(node.kind, node.inputs, [node.output], name=node.output, **node.attributes)
            for node in (*self.nodes, _Node("Identity", [gains], "gains", {}))
        ]
        graph = helper.make_graph(nodes, "stream", inputs, outputs, self._tensors(constants_name))
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)

    def _tensors(self, constants_name: str) -> list[onnx.TensorProto]:
        """Return the constants: integers as they are, and where the others are in their file."""
        from onnx import StringStringEntryProto, TensorProto, numpy_helper  # noqa: PLC0415 - see `model`

        tensors, offset = [], 0
        for number, values in enumerate(self.constants):
            name = f"w{number}"
            if values.dtype != np.float32:
                tensors.append(numpy_helper.from_array(values, name))
                continue
            place = {"location": constants_name, "offset": str(offset), "length": str(values.nbytes)}
            tensors.append(
                TensorProto(
                    name=name,
                    dims=values.shape,
                    data_type=TensorProto.FLOAT,
                    data_location=TensorProto.EXTERNAL,
                    external_data=[StringStringEntryProto(key=key, value=value) for key, value in place.items()],
                )
            )
            offset += values.nbytes
        return tensors
