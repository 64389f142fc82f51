"""The forms that networks can take on a machine, and which of them this one computes fastest.

A form is a numeric precision and the package that runs it. float32 in onnxruntime runs everywhere and is what others
are held against; a form in bfloat16 is only there where the processor has instructions for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime

from worker.engine.interface import FloatArray
from worker.engine.unet.machine import BFLOAT16_INSTRUCTIONS, has_instructions
from worker.engine.unet.network import RUNTIMES, Network
from worker.model_setup.errors import SetupError
from worker.model_setup.spleeter import CHUNK_FRAMES
from worker.model_setup.spleeter_graph import BINS, CHANNELS, build_network
from worker.model_setup.spleeter_plan import write_network

Weights = Mapping[str, FloatArray]

TURNS = 8
"""Chunks by which forms are compared, one form after the other in each turn; the fastest of each counts."""

CLEAR_GAIN = 1.1
"""By how much another form must be faster than float32 to be taken: less is not worth another sound."""


@dataclass(frozen=True)
class Form:
    """A precision, the runtime that computes in it, the suffix of its files, and how a network is written."""

    precision: str
    runtime: str
    suffix: str
    write: Callable[[Weights, Path], None]

    @property
    def name(self) -> str:
        """What tells this form from all others."""
        return self.precision if self.runtime != "openvino" else f"{self.precision}-openvino"

    def load(self, path: Path) -> Network:
        """Load a network of this form."""
        return RUNTIMES[self.runtime](path)


def forms_here() -> list[Form]:
    """Return the forms that this machine can run, float32 first."""
    forms = [Form("float32", "onnxruntime", ".onnx", _write_optimised)]
    if has_instructions(BFLOAT16_INSTRUCTIONS):
        forms.append(Form("bfloat16", "numba", ".json", write_network))
    if _openvino_has_fast_bfloat16():
        forms.append(Form("bfloat16", "openvino", ".xml", _write_converted))
    return forms


def choose_form(precision: str, weights: Weights, scratch: Path) -> Form:
    """Return the form to build: of those with the precision asked for (or `auto`: any) the fastest here.

    The weights are those of one network, written into the folder `scratch` if there is anything to compare. Raises
    SetupError when the processor has no instructions for what is asked.
    """
    forms = [form for form in forms_here() if precision in {"auto", form.precision}]
    if not forms:
        raise SetupError(f"UNET_PRECISION={precision}: this processor has no instructions for it; auto does without.")
    if len(forms) == 1:
        return forms[0]
    seconds = _seconds_a_chunk(forms, weights, scratch)
    if forms[0].precision == "float32":
        seconds[0] /= CLEAR_GAIN
    return forms[int(np.argmin(seconds))]


def _seconds_a_chunk(forms: Sequence[Form], weights: Weights, scratch: Path) -> list[float]:
    """Return the processor time that each form takes for a chunk; wall time would tell of other programs too."""
    networks, states = [], []
    for form in forms:
        path = (scratch / form.name).with_suffix(form.suffix)
        form.write(weights, path)
        networks.append(form.load(path))
        states.append(networks[-1].empty_states())
    noise = np.random.default_rng(0).uniform(0, 10, (CHANNELS, CHUNK_FRAMES, BINS)).astype(np.float32)
    seconds = np.full((TURNS + 1, len(forms)), np.inf)
    for turn, number in product(range(TURNS + 1), range(len(forms))):
        began = time.process_time()
        _, states[number] = networks[number].step(noise, states[number])
        seconds[turn, number] = time.process_time() - began
    # The first turn loads and compiles.
    return list(seconds[1:].min(axis=0))


def _openvino_has_fast_bfloat16() -> bool:
    """Tell whether OpenVINO is installed and says that this processor computes in bfloat16."""
    try:
        import openvino  # noqa: PLC0415 - an extra that few have
    except ImportError:
        return False
    return "BF16" in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _write_converted(weights: Weights, path: Path) -> None:
    """Write a network for OpenVINO, its weights in 16 bits: bfloat16 has fewer digits than they."""
    import openvino  # noqa: PLC0415 - an extra that few have

    model = build_network(weights).SerializeToString()
    openvino.save_model(openvino.Core().read_model(model, b""), path)


def _write_optimised(weights: Weights, path: Path) -> None:
    """Write a network as onnxruntime would run it here; the weights apart, so that processes share them in
    memory."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(path)
    numbers = path.with_suffix(".weights").name
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", numbers)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    # It warns that the file fits this machine alone; that is what the manifest's `built_for` is for.
    options.log_severity_level = 3
    model = build_network(weights).SerializeToString()
    onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
