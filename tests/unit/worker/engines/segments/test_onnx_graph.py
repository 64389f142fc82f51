"""A graph that runs: its progress, how it is ended, and that threads change no bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from tests.fixtures.stand_ins.tiny_mdx import tiny_network
from worker.engines.segments import onnx_graph
from worker.engines.segments.onnx_graph import OnnxGraph

SHAPE = (1, 4, 512, 256)
"""Large enough that a run takes many times `REPORT_SECONDS` as set here."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(onnx_graph, "REPORT_SECONDS", 0.0005)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(tiny_network(*SHAPE[2:], width=32), str(tmp_path / "network.onnx"))
    return tmp_path / "network.onnx"


@pytest.fixture
def spectrum() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE, np.float32)


def test_progress_is_told_while_the_graph_runs_and_stays_below_one(path, spectrum):
    graph, told = OnnxGraph(path, 1), []
    graph.run({"input": spectrum}, told.append)
    assert len(told) > 3
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] < 1


def test_an_error_in_progress_ends_the_run_and_the_graph_can_run_again(path, spectrum, monkeypatch):
    graph, options, new_options = OnnxGraph(path, 1), [], onnxruntime.RunOptions
    monkeypatch.setattr(onnxruntime, "RunOptions", lambda: options.append(new_options()) or options[-1])

    def stop(_fraction: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        graph.run({"input": spectrum}, stop)
    assert options[0].terminate
    (out,) = graph.run({"input": spectrum}, lambda _: None)
    assert out.shape == SHAPE


@pytest.mark.parametrize("threads", [2, 3, 5])
def test_threads_change_no_bit_of_a_large_graph(path, spectrum, threads):
    first, other = (OnnxGraph(path, n).run({"input": spectrum}, lambda _: None)[0] for n in (1, threads))
    assert np.array_equal(first, other)
