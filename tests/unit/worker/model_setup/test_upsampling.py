"""Transposed convolutions whose blocks do not overlap, rewritten: the same numbers, and no other layer is touched."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from worker.model_setup.mdx.upsampling import replace_upsampling


def enlarging(width: int = 2, *, bias: bool = True, group: int = 1, **attributes: Any) -> onnx.ModelProto:
    """Return a network of one transposed convolution from 6 to 4 channels."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((6, 4 // group, width, width), np.float32), "kernel")]
    weights += [numpy_helper.from_array(rng.standard_normal(4, np.float32), "bias")] if bias else []
    names = ["input", *(tensor.name for tensor in weights)]
    if group > 1:
        attributes["group"] = group
    node = helper.make_node("ConvTranspose", names, ["output"], **attributes)
    ends = [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 6, 5, 7])]
    ends.append(helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 4, "h", "w"]))
    graph = helper.make_graph([node], "enlarging", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=7)


def result(model: onnx.ModelProto) -> np.ndarray:
    x = np.random.default_rng(1).standard_normal((1, 6, 5, 7), np.float32)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"input": x})[0]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("width", "attributes"),
    [
        (2, {"strides": [2, 2]}),
        (2, {"strides": [2, 2], "kernel_shape": [2, 2], "pads": [0] * 4, "dilations": [1, 1], "group": 1}),
        (3, {"strides": [3, 3]}),
    ],
)
def test_blocks_that_do_not_overlap_become_a_plain_convolution_with_the_same_result(bias, width, attributes):
    model = enlarging(width, bias=bias, **attributes)
    expected = result(model)
    assert replace_upsampling(model) == 1
    assert [node.op_type for node in model.graph.node] == ["Conv", "DepthToSpace"]
    onnx.checker.check_model(model)
    found = result(model)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-5


@pytest.mark.parametrize(
    "model",
    [
        enlarging(3, strides=[2, 2]),
        enlarging(2, strides=[1, 1]),
        enlarging(2),
        enlarging(1),
        enlarging(2, strides=[2, 2], pads=[1, 1, 1, 1]),
        enlarging(2, strides=[2, 2], output_padding=[1, 1]),
        enlarging(2, strides=[2, 2], group=2),
        enlarging(2, strides=[2, 2], auto_pad="SAME_UPPER"),
        enlarging(2, strides=[2, 2], output_shape=[10, 14]),
    ],
    ids=[
        "overlap",
        "stride 1",
        "no stride",
        "1 x 1",
        "padding",
        "output padding",
        "groups",
        "auto_pad",
        "output shape",
    ],
)
def test_every_other_transposed_convolution_stays(model):
    before = model.SerializeToString()
    assert replace_upsampling(model) == 0
    assert model.SerializeToString() == before
