"""Foreign ONNX files: what a network for separation needs is accepted, everything else is refused in one sentence."""

from __future__ import annotations

import resource
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, tiny_network
from worker.model_setup.errors import ModelSetupError, UnsafeModelError
from worker.model_setup.mdx import building as mdx
from worker.model_setup.mdx import memory_limit, onnx_check
from worker.model_setup.mdx.building import build_mdx
from worker.model_setup.mdx.onnx_check import read_foreign_network
from worker.model_setup.model_entry import ModelEntry

SHAPE = (1, 4, 96, 33)
ENTRY = ModelEntry("tiny", "Tiny", "For tests.", "The project's own.")


def _first(model: onnx.ModelProto, **changes: object) -> None:
    for name, value in changes.items():
        setattr(model.graph.node[0], name, value)


def _external(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": "../../../../etc/passwd", "offset": "0", "length": "64"}.items():
        tensor.external_data.add(key=key, value=value)


def _hidden_in_a_constant(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32))
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/proc/self/environ")
    model.graph.node.insert(0, helper.make_node("Constant", [], ["secret"], value=tensor))


def _loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["n", "go"], ["z"], body=body))


def _graph_in_an_accepted_operator(model: onnx.ModelProto) -> None:
    body = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "body", [], [])
    model.graph.node[0].attribute.append(helper.make_attribute("body", body))


def _function(model: onnx.ModelProto) -> None:
    function = helper.make_function("", "Conv", ["x"], ["y"], [helper.make_node("Identity", ["x"], ["y"])], [])
    model.functions.append(function)


def _custom_domain(model: onnx.ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    _first(model, domain="com.evil")


def _grows(model: onnx.ModelProto) -> None:
    """A small file whose values would take terabytes."""
    weights = np.ones((60_000, 4, 1, 1), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(weights, "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 60_000, 1, 1), np.float32), "back"))
    nodes = [helper.make_node("Conv", ["input", "wide"], ["x"]), helper.make_node("Conv", ["x", "back"], ["output"])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _products_of_weights(model: onnx.ModelProto) -> None:
    """A file of some kB whose constants onnxruntime would multiply to 268 GB before it runs anything."""
    for name, shape in {"row": (1, 11_585), "column": (11_585, 1)}.items():
        model.graph.initializer.append(numpy_helper.from_array(np.ones(shape, np.float32), name))
    for number in range(500):
        model.graph.node.insert(number, helper.make_node("Mul", ["column", "row"], [f"product{number}"]))


def _many_large_values(model: onnx.ModelProto) -> None:
    """Each value is within the bounds, and depends on the input."""
    model.graph.initializer.append(numpy_helper.from_array(np.ones((10_000, 4, 1, 1), np.float32), "wide"))
    for number in range(280):
        model.graph.node.insert(number, helper.make_node("Conv", ["input", "wide"], [f"large{number}"]))


def _wrong_shape(model: onnx.ModelProto) -> None:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[2].dim_value = 3072


def _lies_about_its_output(model: onnx.ModelProto) -> None:
    model.graph.node[-1].input[1] = "first"


def _fewer_weights_than_said(model: onnx.ModelProto) -> None:
    tensor = next(t for t in model.graph.initializer if t.name == "linear")
    tensor.raw_data = tensor.raw_data[:-4]


def _negative_dimension(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].dims[0] = -8


def _strings(model: onnx.ModelProto) -> None:
    model.graph.initializer.append(helper.make_tensor("text", TensorProto.STRING, [1], [b"x"]))


def _open_shape(model: onnx.ModelProto) -> None:
    for value in (model.graph.input[0], model.graph.output[0]):
        value.type.tensor_type.shape.dim[3].dim_param = "frames"


def _second_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, [1]))


def _huge_padding(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("pads", [2**40] * 4))


def _infinite_attribute(model: onnx.ModelProto) -> None:
    node = helper.make_node("LeakyRelu", ["a"], ["b"], alpha=float("inf"))
    model.graph.node[1].CopyFrom(node)


def _unknown_version(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = 99


def _cycle(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "h"


def _sparse(model: onnx.ModelProto) -> None:
    model.graph.sparse_initializer.add()


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], object], str]] = {
    "weights in another file": (_external, "weights lie in another file"),
    "a constant in another file": (_hidden_in_a_constant, "weights lie in another file"),
    "a loop": (_loop, "operator 'Loop'"),
    "a graph in an attribute": (_graph_in_an_accepted_operator, "holds a graph"),
    "an operator of its own": (_custom_domain, "'com.evil'"),
    "onnxruntime's own operators": (lambda m: _first(m, domain="com.microsoft"), "'com.microsoft'"),
    "an unknown operator": (lambda m: _first(m, op_type="If\x1b[2J"), r"operator 'If\\x1b\[2J'"),
    "a function": (_function, "defines functions"),
    "values of terabytes": (_grows, "too large"),
    "hundreds of GB of its weights alone": (_products_of_weights, "from its weights alone would be too large"),
    "many large values": (_many_large_values, "too large together"),
    "another shape than the parameters say": (_wrong_shape, "1 x 4 x 3072 x 33|open x 4 x 3072 x 33"),
    "a shape that is left open": (_open_shape, "has the shape"),
    "another output than it says": (_lies_about_its_output, "do not fit together|another shape"),
    "fewer weights than it says": (_fewer_weights_than_said, "another size"),
    "a negative dimension": (_negative_dimension, "impossible dimensions"),
    "text as weights": (_strings, "type that is not accepted"),
    "a second input": (_second_input, "one input named 'input'"),
    "a huge padding": (_huge_padding, "too large values"),
    "an infinite attribute": (_infinite_attribute, "not finite"),
    "an unknown version": (_unknown_version, "version 99"),
    "a cycle": (_cycle, "do not fit together"),
    "sparse weights": (_sparse, "does not need"),
    "no operators": (lambda m: m.graph.ClearField("node"), "no network"),
}


def saved(folder: Path, model: onnx.ModelProto | bytes) -> Path:
    path = folder / "foreign.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_network_is_refused_in_one_sentence_and_leaves_nothing_behind(tmp_path, kind):
    change, reason = HOSTILE[kind]
    model = tiny_network()
    change(model)
    folder = tmp_path / "model"
    folder.mkdir()
    with pytest.raises(UnsafeModelError, match=reason) as caught:
        build_mdx(saved(tmp_path, model), PARAMETERS, ENTRY, folder)
    assert str(caught.value).count("\n") == 0
    assert str(caught.value).isprintable()
    assert list(folder.iterdir()) == []


GOOD = tiny_network().SerializeToString()

RAW = {
    "empty": b"",
    "text": b"<html>404 Not Found</html>" * 50,
    "a pickle": b"\x80\x02cposix\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.",
    "truncated": GOOD[: len(GOOD) // 2],
    "swapped bytes": GOOD[:64] + GOOD[64:128][::-1] + GOOD[128:],
    "a million empty operators": b"\x3a\xc0\x84\x3d" + b"\x0a\x00" * 500_000,
    "endless varint": b"\x08" + b"\xff" * 1000,
    "nested too deep": b"\x0a\x7f" * 60,
}


@pytest.mark.parametrize("kind", RAW)
def test_a_file_that_is_no_network_is_refused_in_one_sentence(tmp_path, kind):
    with pytest.raises(UnsafeModelError, match=r"^foreign\.onnx is refused: .*\.$"):
        read_foreign_network(saved(tmp_path, RAW[kind]), SHAPE)


def test_a_file_is_not_parsed_if_it_has_too_many_fields(tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_check.onnx.ModelProto, "ParseFromString", None, raising=False)
    with pytest.raises(UnsafeModelError, match="too many fields"):
        read_foreign_network(saved(tmp_path, RAW["a million empty operators"]), SHAPE)


def test_a_file_that_is_too_large_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "foreign.onnx"
    with path.open("wb") as file:
        file.truncate(onnx_check.MAX_FILE_BYTES + 1)
    with pytest.raises(UnsafeModelError, match="larger than"):
        read_foreign_network(path, SHAPE)


def test_a_file_that_is_missing_is_told(tmp_path):
    with pytest.raises(UnsafeModelError, match=r"foreign\.onnx cannot be read: No such file"):
        read_foreign_network(tmp_path / "foreign.onnx", SHAPE)


def test_a_network_that_returns_no_finite_numbers_is_refused(tmp_path):
    model = tiny_network()
    tensor = next(t for t in model.graph.initializer if t.name == "conv")
    tensor.CopyFrom(numpy_helper.from_array(np.full((8, 8, 3, 3), np.nan, np.float32), "conv"))
    (tmp_path / "model").mkdir()
    with pytest.raises(ModelSetupError, match="not finite"):
        build_mdx(saved(tmp_path, model), PARAMETERS, ENTRY, tmp_path / "model")


def test_products_of_small_weights_are_accepted(tmp_path):
    model = tiny_network()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((100, 1), np.float32), "column"))
    model.graph.node.insert(0, helper.make_node("Mul", ["column", "column"], ["product"]))
    read_foreign_network(saved(tmp_path, model), SHAPE)


def test_a_network_that_takes_more_memory_than_building_may_is_refused(tmp_path, monkeypatch):
    model = tiny_network()
    model.graph.initializer.append(numpy_helper.from_array(np.ones((20_000, 4, 1, 1), np.float32), "wide"))
    model.graph.initializer.append(numpy_helper.from_array(np.ones((4, 20_000, 1, 1), np.float32), "back"))
    nodes = [helper.make_node("Conv", ["input", "wide"], ["x"]), helper.make_node("Conv", ["x", "back"], ["output"])]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    path = saved(tmp_path, model)
    before = resource.getrlimit(resource.RLIMIT_AS)
    for name, bound in {"refused": 150_000_000, "accepted": 8_000_000_000}.items():
        monkeypatch.setattr(mdx, "limited_memory", partial(memory_limit.limited_memory, bound))
        (tmp_path / name).mkdir()
        with pytest.raises(ModelSetupError) if name == "refused" else nullcontext():
            build_mdx(path, PARAMETERS, ENTRY, tmp_path / name)
        assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_memory_is_limited_within_the_block_only():
    def take() -> int:
        return len(bytearray(400_000_000))

    with pytest.raises(ModelSetupError, match=r"takes more than 0\.2 GB"), memory_limit.limited_memory(200_000_000):
        take()
    assert take()


def test_a_good_network_passes_with_its_batch_set_to_one(tmp_path):
    checked = read_foreign_network(saved(tmp_path, GOOD), SHAPE)
    dims = [d.dim_value for d in checked.graph.input[0].type.tensor_type.shape.dim]
    assert dims == list(SHAPE)
    assert checked.graph.initializer == tiny_network().graph.initializer
