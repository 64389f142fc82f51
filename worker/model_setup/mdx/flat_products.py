"""Rewrites products of an image with a matrix as products of two matrices.

OpenVINO computes a product with a constant matrix in bfloat16 only if both have two axes; with an image of four axes it
takes float32, which is three times as slow in MDX-Net's linear layers.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper, numpy_helper


def flatten_products(model: onnx.ModelProto) -> int:
    """Rewrite the products with constant matrices, in place; return how many there were.

    The batch becomes 1, since the shapes must be known. A product whose shape cannot be inferred stays as it is.
    """
    graph = model.graph
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    shapes = _known_shapes(model)
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    nodes, flattened = [], 0
    for node in graph.node:
        known = node.op_type == "MatMul" and node.input[1] in matrices and set(node.output) <= shapes.keys()
        if known and len(shapes[node.output[0]]) > 2:
            nodes += _flat(node, shapes[node.output[0]], graph)
            flattened += 1
        else:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    return flattened


def _known_shapes(model: onnx.ModelProto) -> dict[str, list[int]]:
    """Return the shapes of the tensors for which all lengths can be inferred."""
    inferred = onnx.shape_inference.infer_shapes(model)
    shapes = {value.name: value.type.tensor_type.shape.dim for value in inferred.graph.value_info}
    return {name: [dim.dim_value for dim in dims] for name, dims in shapes.items() if all(d.dim_value for d in dims)}


def _flat(node: onnx.NodeProto, shape: list[int], graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """Return the three nodes that replace a product. The shapes that they need are added to the graph."""
    base = f"flat_{node.output[0]}"
    rows = int(np.prod(shape[:-1]))
    graph.initializer.append(numpy_helper.from_array(np.array([rows, -1], np.int64), f"{base}_rows"))
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), f"{base}_shape"))
    return [
        helper.make_node("Reshape", [node.input[0], f"{base}_rows"], [f"{base}_input"]),
        helper.make_node("MatMul", [f"{base}_input", node.input[1]], [f"{base}_product"]),
        helper.make_node("Reshape", [f"{base}_product", f"{base}_shape"], [node.output[0]]),
    ]
