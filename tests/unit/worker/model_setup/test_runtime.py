"""Which runtime set-up chooses. OpenVINO is an extra that tests do not install: a stub tells what a processor can."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from worker.model_setup.building import has_fast_bfloat16


def pretend_openvino(monkeypatch: pytest.MonkeyPatch, *capabilities: str) -> None:
    """Put a stub in OpenVINO's place that claims these capabilities for the processor."""
    core = SimpleNamespace(
        get_property=lambda device, name: {("CPU", "OPTIMIZATION_CAPABILITIES"): capabilities}[device, name]
    )
    monkeypatch.setitem(sys.modules, "openvino", SimpleNamespace(Core=lambda: core))


def test_openvino_is_chosen_where_the_processor_has_the_instructions(monkeypatch):
    pretend_openvino(monkeypatch, "FP32", "INT8", "BF16")
    assert has_fast_bfloat16()


def test_openvino_is_left_alone_where_bfloat16_would_be_slow(monkeypatch):
    pretend_openvino(monkeypatch, "FP32", "INT8")
    assert not has_fast_bfloat16()


def test_without_openvino_onnxruntime_is_chosen(monkeypatch):
    # None in its place makes the import fail, whether it is installed or not.
    monkeypatch.setitem(sys.modules, "openvino", None)
    assert not has_fast_bfloat16()
