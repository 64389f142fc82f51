"""Checks an ONNX file from elsewhere before onnxruntime sees it. Such a file is as hostile as a program.

Only operators that separation networks use are accepted, each with plain attributes. No operator can refer to a file,
or hold a graph of its own. Some can make large values of small ones, such as a product of a row and a column. So the
size of every value must be known in advance, and there are bounds for each value, for all together, and for all that
onnxruntime computes when it loads the network. How much memory it really takes is bounded by `memory_limit.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import AttributeProto, TensorProto, ValueInfoProto

from worker.model_setup.errors import UnsafeModelError
from worker.model_setup.mdx.protobuf_fields import FieldsError, check_fields

OPERATORS = frozenset(
    {
        *("Conv", "ConvTranspose", "MatMul", "Gemm", "BatchNormalization", "InstanceNormalization"),
        *("LayerNormalization", "Relu", "LeakyRelu", "PRelu", "Sigmoid", "Tanh", "Add", "Sub", "Mul", "Div"),
        *("Concat", "Slice", "Split", "Reshape", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Constant"),
    }
)
"""The operators that are accepted: those of convolutional networks whose shapes are fixed."""

MAX_FILE_BYTES = 300_000_000
MAX_FIELDS = 200_000
MAX_FIELD_BYTES = 1 << 20
MAX_NODES = 5_000
MAX_VALUE_ELEMENTS = 1 << 27
"""The largest value between two operators; 0.5 GB in float32. MDX-Net's have up to 0.2 GB."""

MAX_SUM_ELEMENTS = 1 << 33
"""All values of a network together; 34 GB in float32. MDX-Net's have 8 GB, of which few are held at a time."""

MAX_CONSTANT_ELEMENTS = 1 << 26
"""All values together that do not depend on `input`; 0.3 GB in float32. onnxruntime computes them when it loads a
network, and keeps them. Published files have next to none."""

MAX_ATTRIBUTE = 1 << 16
"""The largest number in an attribute, such as a kernel's width or a padding."""

MAX_ATTRIBUTE_VALUES = 32
MAX_DIMENSIONS = 8
OPSETS = range(7, 29)
HIGHEST_IR_VERSION = 14

ELEMENT_BYTES: Mapping[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.FLOAT16: 2,
    TensorProto.INT64: 8,
    TensorProto.INT32: 4,
}
"""The types that weights may have, and the bytes of an element."""

PLAIN_ATTRIBUTES = frozenset({AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.INTS, AttributeProto.FLOATS})
DEFAULT_DOMAINS = frozenset({"", "ai.onnx"})


def read_foreign_network(path: Path, shape: Sequence[int]) -> onnx.ModelProto:
    """Return a checked network from `input` to `output`, both float32 of this shape.

    A first dimension that the file leaves open is set to `shape[0]`. Raises UnsafeModelError with one sentence.
    """
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise UnsafeModelError(f"{path.name} is refused: it is larger than {MAX_FILE_BYTES // 10**6} MB.")
        data = path.read_bytes()
    except OSError as error:
        raise UnsafeModelError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    try:
        return _checked(data, shape)
    except RefusedError as error:
        raise UnsafeModelError(f"{path.name} is refused: {error}.") from error


class RefusedError(ValueError):
    """The message says why, and follows a colon."""


def _checked(data: bytes, shape: Sequence[int]) -> onnx.ModelProto:
    model = _parse(data)
    _check_model(model)
    graph = model.graph
    for node in graph.node:
        _check_node(node)
    for tensor in graph.initializer:
        _check_tensor(tensor)
    _fix_shapes(graph, shape)
    _check_inferred_shapes(model, shape)
    return model


def _parse(data: bytes) -> onnx.ModelProto:
    bulk = frozenset({"raw_data", "float_data"})
    try:
        check_fields(data, onnx.ModelProto.DESCRIPTOR, max_fields=MAX_FIELDS, max_bytes=MAX_FIELD_BYTES, bulk=bulk)
    except FieldsError as error:
        raise RefusedError(f"it is not an ONNX file of a network: {error}") from error
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except Exception as error:
        raise RefusedError("it is not an ONNX file") from error
    return model


def _check_model(model: onnx.ModelProto) -> None:
    if not model.graph.node:
        raise RefusedError("it holds no network")
    if len(model.graph.node) > MAX_NODES:
        raise RefusedError(f"it has more than {MAX_NODES} operators")
    if not 1 <= model.ir_version <= HIGHEST_IR_VERSION:
        raise RefusedError("its format version is unknown")
    for opset in model.opset_import:
        if opset.domain not in DEFAULT_DOMAINS:
            raise RefusedError(f"it uses operators of {_quoted(opset.domain)}; only the standard ones are accepted")
        if opset.version not in OPSETS:
            raise RefusedError(f"it uses version {opset.version} of the operators; accepted are 7 to {OPSETS.stop - 1}")
    if model.functions:
        raise RefusedError("it defines functions")
    if model.training_info or model.graph.sparse_initializer or model.graph.quantization_annotation:
        raise RefusedError("it has parts that a network for separation does not need")


def _check_node(node: onnx.NodeProto) -> None:
    if node.domain not in DEFAULT_DOMAINS:
        raise RefusedError(f"it uses an operator of {_quoted(node.domain)}; only the standard ones are accepted")
    if node.op_type not in OPERATORS or node.overload:
        raise RefusedError(f"it uses the operator {_quoted(node.op_type)}, which is not accepted")
    for attribute in node.attribute:
        if attribute.ref_attr_name or attribute.HasField("g") or attribute.graphs or attribute.tensors:
            raise RefusedError(f"an attribute of {node.op_type} holds a graph or a reference")
        if attribute.HasField("sparse_tensor") or attribute.sparse_tensors or attribute.strings:
            raise RefusedError(f"an attribute of {node.op_type} is of a kind that is not accepted")
        if node.op_type == "Constant" and attribute.name == "value":
            _check_tensor(attribute.t)
        elif attribute.type == AttributeProto.STRING and attribute.name == "auto_pad":
            continue
        elif attribute.type not in PLAIN_ATTRIBUTES or attribute.HasField("t"):
            raise RefusedError(f"the attribute {_quoted(attribute.name)} of {node.op_type} is not accepted")
        _check_numbers(node, attribute)


def _check_numbers(node: onnx.NodeProto, attribute: onnx.AttributeProto) -> None:
    values = [*attribute.ints, attribute.i]
    if len(attribute.ints) + len(attribute.floats) > MAX_ATTRIBUTE_VALUES or max(map(abs, values)) > MAX_ATTRIBUTE:
        raise RefusedError(f"the attribute {_quoted(attribute.name)} of {node.op_type} has too large values")
    if not all(map(math.isfinite, [*attribute.floats, attribute.f])):
        raise RefusedError(f"the attribute {_quoted(attribute.name)} of {node.op_type} is not finite")


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.external_data or tensor.data_location != TensorProto.DEFAULT:
        raise RefusedError("its weights lie in another file")
    if tensor.data_type not in ELEMENT_BYTES or tensor.HasField("segment"):
        raise RefusedError("its weights are of a type that is not accepted")
    if len(tensor.dims) > MAX_DIMENSIONS or any(size < 0 for size in tensor.dims):
        raise RefusedError("its weights have impossible dimensions")
    n = math.prod(tensor.dims)
    present = len(tensor.raw_data) // ELEMENT_BYTES[tensor.data_type]
    present += len(tensor.float_data) + len(tensor.int64_data) + len(tensor.int32_data)
    if n != present or len(tensor.raw_data) % ELEMENT_BYTES[tensor.data_type]:
        raise RefusedError("its weights have another size than their dimensions say")


def _fix_shapes(graph: onnx.GraphProto, shape: Sequence[int]) -> None:
    """Check the shapes of input and output, and replace open dimensions."""
    constants = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in constants]
    if [value.name for value in inputs] != ["input"] or [value.name for value in graph.output] != ["output"]:
        raise RefusedError("it must have one input named 'input' and one output named 'output'")
    for value in (inputs[0], graph.output[0]):
        tensor = value.type.tensor_type
        found = [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]
        if tensor.elem_type != TensorProto.FLOAT or len(found) != len(shape):
            raise RefusedError(f"{value.name} is not float32 with {len(shape)} dimensions")
        if any(n not in {None, right} for n, right in zip(found, shape, strict=True)) or None in found[1:]:
            said = " x ".join("open" if size is None else str(size) for size in found)
            raise RefusedError(
                f"{value.name} has the shape {said}, but the parameters say {' x '.join(map(str, shape))}"
            )
        for dimension, size in zip(tensor.shape.dim, shape, strict=True):
            dimension.dim_value = size
    # What the file says of other values may be wrong, or left over from another batch size.
    del graph.value_info[:]


def _check_inferred_shapes(model: onnx.ModelProto, shape: Sequence[int]) -> None:
    """Check that each value has a known, bounded size, and that the result has the shape of the input."""
    (output,) = model.graph.output
    declared = ValueInfoProto()
    declared.CopyFrom(output)
    try:
        onnx.checker.check_model(model)
        # Otherwise inference would believe what the file says.
        output.type.tensor_type.ClearField("shape")
        inferred = onnx.shape_inference.infer_shapes(model, check_type=True, strict_mode=True).graph
    except Exception as error:
        raise RefusedError("its operators do not fit together") from error
    sizes = dict(_sizes([*inferred.value_info, *inferred.output]))
    _check_sizes(model.graph.node, sizes)
    if sizes["output"] != tuple(shape):
        raise RefusedError("its output has another shape than its input")
    output.CopyFrom(declared)


def _check_sizes(nodes: Sequence[onnx.NodeProto], sizes: Mapping[str, tuple[int, ...]]) -> None:
    """Check what the nodes return: each value, all together, and all that does not depend on `input`.

    The nodes are in an order in which they can run; onnx's checker has seen to that.
    """
    changing, n_all, n_constant = {"input"}, 0, 0
    for node in nodes:
        depends_on_input = not changing.isdisjoint(node.input)
        for name in filter(None, node.output):
            if name not in sizes:
                raise RefusedError(f"the size of what {node.op_type} returns is not known in advance")
            n = math.prod(sizes[name])
            if n > MAX_VALUE_ELEMENTS:
                raise RefusedError(f"what {node.op_type} returns would be too large")
            n_all += n
            if depends_on_input:
                changing.add(name)
            else:
                n_constant += n
    if n_constant > MAX_CONSTANT_ELEMENTS:
        raise RefusedError("what it computes from its weights alone would be too large")
    if n_all > MAX_SUM_ELEMENTS:
        raise RefusedError("what its operators return would be too large together")


def _sizes(values: Sequence[onnx.ValueInfoProto]) -> Iterator[tuple[str, tuple[int, ...]]]:
    for value in values:
        tensor = value.type.tensor_type
        if tensor.HasField("shape") and all(d.HasField("dim_value") for d in tensor.shape.dim):
            yield value.name, tuple(d.dim_value for d in tensor.shape.dim)


def _quoted(text: str) -> str:
    """Return a name from the file so that it is harmless in a terminal."""
    return repr(text[:40])
