"""Networks of the sizes of published MDX-Nets, with random weights, in the same file format.

The network is KUIELab's ConvTDFNet: 11 blocks of three 3x3 convolutions and a narrow linear layer along the bins. The
weights are random, because the cost does not depend on them. The files have the sizes of the published ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

LEVELS = 5
CONVOLUTIONS = 3
BOTTLENECK = 8


@dataclass(frozen=True)
class MdxSize:
    """The numbers of a published network. `growth` is the number of channels that each level adds."""

    n_fft: int
    dim_f: int
    growth: int
    dim_t: int = 256
    hop_length: int = 1024

    def parameters(self) -> dict[str, Any]:
        """Return the parameters in the form that set-up reads."""
        return {
            "n_fft": self.n_fft,
            "hop_length": self.hop_length,
            "dim_f": self.dim_f,
            "dim_t": self.dim_t,
            "stem": "instrumental",
            "compensate": 1.019,
        }


HQ_4 = MdxSize(5120, 2560, 48)
KUIELAB = MdxSize(6144, 2048, 32)
VOC_FT = MdxSize(7680, 3072, 48)


def random_network(size: MdxSize) -> onnx.ModelProto:
    """Return a ConvTDFNet from and to (batch, 4, dim_f, dim_t)."""
    return _Builder(size).model()


class _Builder:
    def __init__(self, size: MdxSize) -> None:
        self._size = size
        self._rng = np.random.default_rng(0)
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def model(self) -> onnx.ModelProto:
        growth, bins = self._size.growth, self._size.dim_f
        channels = growth
        x = self._convolved("input", 4, channels, 1)
        x = self._node("Transpose", x, perm=[0, 1, 3, 2])
        skips = []
        for _ in range(LEVELS):
            x = self._block(x, channels, bins)
            skips.append(x)
            x = self._convolved(x, channels, channels + growth, 2, stride=2)
            channels, bins = channels + growth, bins // 2
        x = self._block(x, channels, bins)
        for skip in reversed(skips):
            weight = self._weight(channels, channels - growth, 2, 2, fan=channels)
            x = self._node(
                "ConvTranspose", x, weight, self._bias(channels - growth), kernel_shape=[2, 2], strides=[2, 2]
            )
            x = self._node("Mul", self._node("Relu", x), skip)
            channels, bins = channels - growth, bins * 2
            x = self._block(x, channels, bins)
        x = self._node("Transpose", x, perm=[0, 1, 3, 2])
        self._nodes.append(helper.make_node("Conv", [x, self._weight(4, channels, 1, 1)], ["output"]))
        shape = ["batch_size", 4, self._size.dim_f, self._size.dim_t]
        ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("input", "output")]
        graph = helper.make_graph(self._nodes, "conv_tdf_net", ends[:1], ends[1:], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)

    def _block(self, x: str, channels: int, bins: int) -> str:
        for _ in range(CONVOLUTIONS):
            x = self._convolved(x, channels, channels, 3)
        y = self._linear(x, channels, bins, bins // BOTTLENECK)
        return self._node("Add", x, self._linear(y, channels, bins // BOTTLENECK, bins))

    def _convolved(self, x: str, channels: int, outputs: int, width: int, stride: int = 1) -> str:
        pads = [(width - 1) // 2 if stride == 1 else 0] * 4
        weight = self._weight(outputs, channels, width, width)
        options = {"kernel_shape": [width, width], "pads": pads, "strides": [stride, stride]}
        return self._node("Relu", self._node("Conv", x, weight, self._bias(outputs), **options))

    def _linear(self, x: str, channels: int, bins: int, outputs: int) -> str:
        x = self._node("MatMul", x, self._weight(bins, outputs, fan=bins))
        normalisation = [self._numbers(np.full(channels, value)) for value in (1.0, 0.01, 0.02, 1.1)]
        return self._node("Relu", self._node("BatchNormalization", x, *normalisation, epsilon=1e-5))

    def _node(self, kind: str, *inputs: str, **attributes: Any) -> str:
        name = f"{kind}{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def _weight(self, *shape: int, fan: int | None = None) -> str:
        deviation = np.sqrt(2 / (fan or np.prod(shape[1:])))
        return self._numbers(self._rng.standard_normal(shape, np.float32) * np.float32(deviation))

    def _bias(self, n: int) -> str:
        return self._numbers(self._rng.uniform(-0.05, 0.05, n))

    def _numbers(self, values: Any) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.asarray(values, np.float32), name))
        return name
