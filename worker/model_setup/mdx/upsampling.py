"""Rewrites transposed convolutions that only enlarge: each input pixel becomes a block, and blocks do not overlap.

For such a layer onnxruntime fills a buffer as large as the result before it moves the numbers to their places. A plain
convolution with one channel for each pixel of a block, followed by `DepthToSpace`, computes the same sums. In MDX-Net
the first kind of layer sets the peak: without it a network of HQ_4's size takes 520 instead of 640 MiB.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper, numpy_helper

NO_EFFECT: Mapping[str, set[int]] = {"dilations": {1}, "pads": {0}, "output_padding": {0}}
"""Attributes that a block-wise convolution may have, and the values with which they change nothing."""


def replace_upsampling(model: onnx.ModelProto) -> int:
    """Rewrite the transposed convolutions whose blocks do not overlap, in place; return how many there were."""
    graph, replaced = model.graph, 0
    weights = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        if _is_blockwise(node, weights):
            nodes += _plain(node, weights, graph)
            replaced += 1
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return replaced


def _is_blockwise(node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto]) -> bool:
    if node.op_type != "ConvTranspose" or not all(name in weights for name in node.input[1:] if name):
        return False
    shape = tuple(weights[node.input[1]].dims)
    attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
    strides = attributes.pop("strides", [1, 1])
    group, kernel = attributes.pop("group", 1), attributes.pop("kernel_shape", list(shape[2:]))
    plain = set(attributes) <= set(NO_EFFECT) and all(set(attributes[name]) <= NO_EFFECT[name] for name in attributes)
    square = len(shape) == 4 and list(shape[2:]) == list(kernel) == list(strides) and shape[2] == shape[3] > 1
    return plain and square and group == 1


def _plain(
    node: onnx.NodeProto, weights: Mapping[str, onnx.TensorProto], graph: onnx.GraphProto
) -> list[onnx.NodeProto]:
    """Return the two nodes that replace a node. Their weights are added to the graph."""
    kernel = numpy_helper.to_array(weights[node.input[1]])
    inputs, block = kernel.shape[0], kernel.shape[2]
    # The channels of the new convolution are (row in the block, column in the block, channel).
    plain = np.ascontiguousarray(kernel.transpose(2, 3, 1, 0).reshape(-1, inputs, 1, 1))
    base = f"upsampling_{node.output[0]}"
    graph.initializer.append(numpy_helper.from_array(plain, f"{base}_kernel"))
    names = [node.input[0], f"{base}_kernel"]
    if len(node.input) > 2 and node.input[2]:
        bias = np.tile(numpy_helper.to_array(weights[node.input[2]]), block**2)
        graph.initializer.append(numpy_helper.from_array(bias, f"{base}_bias"))
        names.append(f"{base}_bias")
    return [
        helper.make_node("Conv", names, [f"{base}_blocks"], kernel_shape=[1, 1]),
        helper.make_node("DepthToSpace", [f"{base}_blocks"], [node.output[0]], blocksize=block),
    ]
