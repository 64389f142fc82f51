"""The form in which set-up builds a model that separates in segments.

What the processor can do cannot be chosen here, so some tests pretend it. Those that run OpenVINO are skipped where it
is not installed.
"""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.fixtures.stand_ins import tiny_htdemucs
from tests.fixtures.stand_ins.tiny_bfloat16 import make_bfloat16_mdx, skip_without_bfloat16
from tests.fixtures.stand_ins.tiny_mdx import PARAMETERS, make_tiny_mdx_model, tiny_network
from tests.unit.worker.engines.segments.conftest import noise, separated
from worker.engines import mdx
from worker.engines.errors import EngineUnavailableError
from worker.model_setup import openvino_files, segment_forms
from worker.model_setup.errors import PrecisionUnavailableError
from worker.model_setup.htdemucs import build_htdemucs
from worker.model_setup.htdemucs.arguments import read_arguments
from worker.model_setup.htdemucs.graph import build_graph
from worker.model_setup.htdemucs.graph_builder import FOR_ONNXRUNTIME, FOR_OPENVINO, GraphStyle
from worker.model_setup.mdx.building import build_mdx
from worker.model_setup.mdx.flat_products import flatten_products
from worker.model_setup.model_entry import ModelEntry
from worker.model_setup.segment_forms import BFLOAT16, FLOAT32, form_for

ENTRY = ModelEntry(name="tiny", title="Tiny", summary="For tests.", licence="None.", version="1-abc")


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_float32_is_built_unless_bfloat16_is_asked_for(precision, monkeypatch):
    monkeypatch.setattr(segment_forms, "openvino_has_fast_bfloat16", lambda: True)
    assert form_for(precision, "tiny") is FLOAT32
    assert form_for("bfloat16", "tiny") is BFLOAT16


def test_bfloat16_is_refused_where_it_is_not_possible(tmp_path, monkeypatch):
    monkeypatch.setattr(segment_forms, "openvino_has_fast_bfloat16", lambda: False)
    network = tmp_path / "network.onnx"
    onnx.save(tiny_network(), str(network))
    with pytest.raises(PrecisionUnavailableError, match="MODEL_PRECISION=auto"):
        build_mdx(network, PARAMETERS, ENTRY, tmp_path, "bfloat16")
    assert list(tmp_path.iterdir()) == [network]


def test_several_networks_are_not_built_in_bfloat16(tmp_path):
    weights = tiny_htdemucs.random_weights(tiny_htdemucs.SHORT)
    files = [
        tiny_htdemucs.write_safetensors(tmp_path / f"{number}.safetensors", tiny_htdemucs.SHORT, weights)
        for number in range(4)
    ]
    with pytest.raises(PrecisionUnavailableError, match="MODEL_PRECISION=auto"):
        build_htdemucs(files, ENTRY, tmp_path, "bfloat16")


def test_a_model_for_openvino_is_refused_in_a_sentence_where_it_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    folder = make_tiny_mdx_model(
        tmp_path / "model", networks=("network.xml",), files={"network.xml": "0" * 64}, built_for={"openvino": "1"}
    )
    with pytest.raises(EngineUnavailableError, match="another processor or another openvino; set it up again"):
        mdx.describe(folder)


def run(model: onnx.ModelProto, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)


def test_flat_products_compute_the_same():
    spectrum = np.random.default_rng(0).standard_normal((1, 4, 96, 33)).astype(np.float32)
    model = tiny_network()
    expected = run(model, {"input": spectrum})
    assert flatten_products(model) == 1
    (product,) = (node for node in model.graph.node if node.op_type == "MatMul")
    assert product.input[0].startswith("flat_")
    assert np.allclose(run(model, {"input": spectrum})[0], expected[0], atol=1e-5)


@pytest.mark.parametrize("style", [FOR_OPENVINO, GraphStyle(piece_numbers=1 << 10, has_attention=False)])
def test_a_graph_for_openvino_computes_what_that_for_onnxruntime_does(style):
    arguments = read_arguments((), tiny_htdemucs.SHORT)
    weights, rng = tiny_htdemucs.random_weights(tiny_htdemucs.SHORT), np.random.default_rng(0)
    inputs = {
        "spectrum": rng.standard_normal((arguments.frames, 2048, 4)).astype(np.float32),
        "waveform": rng.standard_normal((arguments.segment_samples, 2)).astype(np.float32),
    }
    plain, other = (run(build_graph(arguments, weights, None, which), inputs) for which in (FOR_ONNXRUNTIME, style))
    for a, b in zip(plain, other, strict=True):
        assert np.abs(a - b).max() < 1e-4 * np.abs(a).max()


def test_bfloat16_is_near_float32_and_its_version_says_so(tmp_path):
    folder = make_bfloat16_mdx(tmp_path / "model")
    y, plain = noise(2, 9_000), make_tiny_mdx_model(tmp_path / "plain" / "model")
    found, exact = (separated(mdx.create(None, {}, model_folder=model), y) for model in (folder, plain))
    assert 25 < 10 * np.log10(np.square(exact).sum() / np.square(found - exact).sum()) < 80
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (manifest["version"], manifest["precision"]) == ("1-bf16", "bfloat16")
    assert "openvino" in manifest["built_for"]


def test_a_run_in_openvino_can_be_stopped_and_run_again(tmp_path, monkeypatch):
    skip_without_bfloat16()
    from worker.engines.segments import openvino_graph

    monkeypatch.setattr(openvino_graph, "REPORT_SECONDS", 0.001)
    model = tiny_network(512, 256, width=32)
    flatten_products(model)
    openvino_files.convert_graph(model.SerializeToString(), tmp_path / "network.xml")
    graph = openvino_graph.OpenVinoGraph(tmp_path / "network.xml", 1)
    spectrum = np.random.default_rng(0).standard_normal((1, 4, 512, 256)).astype(np.float32)

    def stop(_fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graph.run({"input": spectrum}, stop)
    told: list[float] = []
    (out,) = graph.run({"input": spectrum}, told.append)
    assert out.shape == spectrum.shape
    assert np.isfinite(out).all()
    assert told == sorted(told)
    assert 0 < told[0] <= told[-1] < 1
