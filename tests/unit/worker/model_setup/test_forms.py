"""Which form of the network set-up chooses.

The tests pretend what the processor can do and how fast it is, because neither can be chosen here. OpenVINO is an extra
that the tests do not install, so a stub replaces it.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from worker.engines.unet.model_manifest import read_manifest
from worker.model_setup.__main__ import main
from worker.model_setup.errors import PrecisionUnavailableError, WeightsMissingError
from worker.model_setup.unet import forms
from worker.model_setup.unet.forms import choose_form, forms_here
from worker.model_setup.unet.setup import set_up

FLOAT32, BFLOAT16, BY_OPENVINO = "float32", "bfloat16", "bfloat16-openvino"


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    """Pretend a machine with no special instructions; return a function that changes that."""

    def pretend(*, instructions: bool = False, openvino: tuple[str, ...] | None = None) -> None:
        monkeypatch.setattr(forms, "has_instructions", lambda _: instructions)
        # None in its place makes the import fail, whether it is installed or not.
        stub = None
        if openvino is not None:
            known = {("CPU", "OPTIMIZATION_CAPABILITIES"): openvino}
            core = SimpleNamespace(get_property=lambda device, name: known[device, name])
            stub = SimpleNamespace(Core=lambda: core)
        monkeypatch.setitem(sys.modules, "openvino", stub)

    pretend()
    return pretend


@pytest.fixture
def takes(monkeypatch):
    """Return a function that pretends how many seconds each form takes for a chunk."""

    def pretend(**seconds: float) -> None:
        names = {name.replace("_", "-"): value for name, value in seconds.items()}
        monkeypatch.setattr(forms, "_seconds_per_chunk", lambda chosen, *_: [names[form.name] for form in chosen])

    return pretend


def names():
    return [form.name for form in forms_here()]


def test_without_the_instructions_only_float32_is_available(machine):
    assert names() == [FLOAT32]
    machine(openvino=("FP32", "INT8"))
    assert names() == [FLOAT32]


def test_bfloat16_is_available_if_the_processor_has_the_instructions(machine):
    machine(instructions=True)
    assert names() == [FLOAT32, BFLOAT16]
    machine(instructions=True, openvino=("FP32", "INT8", "BF16"))
    assert names() == [FLOAT32, BFLOAT16, BY_OPENVINO]


def test_auto_chooses_the_fastest_form(machine, takes, tmp_path):
    machine(instructions=True, openvino=("BF16",))
    takes(float32=3, bfloat16=1, bfloat16_openvino=2)
    assert choose_form("auto", {}, tmp_path).name == BFLOAT16
    takes(float32=3, bfloat16=2, bfloat16_openvino=1)
    assert choose_form("auto", {}, tmp_path).name == BY_OPENVINO


def test_auto_keeps_float32_if_other_forms_are_hardly_faster(machine, takes, tmp_path):
    machine(instructions=True)
    takes(float32=1.05, bfloat16=1)
    assert choose_form("auto", {}, tmp_path).name == FLOAT32


def test_float32_can_be_forced_on_any_machine(machine, tmp_path):
    machine(instructions=True, openvino=("BF16",))
    assert choose_form("float32", {}, tmp_path).name == FLOAT32


def test_bfloat16_is_refused_without_the_instructions(tmp_path):
    with pytest.raises(PrecisionUnavailableError, match="UNET_PRECISION=bfloat16"):
        choose_form("bfloat16", {}, tmp_path)


def test_a_precision_that_the_machine_lacks_is_reported_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("UNET_PRECISION", "bfloat16")
    monkeypatch.setattr("worker.model_setup.__main__.compile_loops", lambda _: False)
    assert main(["--cache", str(tmp_path)]) == 1
    told = capsys.readouterr().err
    if "weights are missing" in told:
        pytest.skip(told)
    assert told.count("\n") == 1
    assert "UNET_PRECISION=bfloat16" in told


def test_another_precision_rebuilds_the_model_and_the_manifest_names_the_form(tmp_path):
    try:
        folder, built = set_up(tmp_path, "auto")
    except WeightsMissingError as error:
        pytest.skip(str(error))
    assert built
    assert set_up(tmp_path, "float32") == (folder, True)
    manifest = read_manifest(folder)
    assert (manifest.precision, manifest.runtime, manifest.version) == ("float32", "onnxruntime", "4")
    assert set_up(tmp_path, "float32") == (folder, False)
    # An operator who forces a precision gets no other one.
    with pytest.raises(PrecisionUnavailableError):
        set_up(tmp_path, "bfloat16")
    assert sorted(path.name for path in tmp_path.iterdir()) == [".set-up.lock"]
