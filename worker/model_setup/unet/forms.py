"""The forms that a network can have on a machine, and which of them is the fastest here.

A form is a numeric precision and the package that computes in it. float32 with onnxruntime runs everywhere, and the
other forms are compared with it. Forms in bfloat16 exist only where the processor has instructions for it.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import onnxruntime

from worker.engines.machine import BFLOAT16_INSTRUCTIONS, has_instructions
from worker.engines.unet.network import RUNTIMES, Network
from worker.model_setup.errors import PrecisionUnavailableError
from worker.model_setup.openvino_files import convert_graph, openvino_has_fast_bfloat16
from worker.model_setup.unet.spleeter import BINS, CHANNELS, CHUNK_FRAMES

TURNS = 8
"""Number of chunks by which forms are compared. The forms take turns, and the fastest chunk of each counts."""

CLEAR_GAIN = 1.1
"""How many times faster than float32 another form must be to be chosen: less is not worth a different sound."""


@dataclass(frozen=True)
class NetworkForm:
    """A precision, the runtime that computes in it, the suffix of its files, and the function that writes a network.

    `write` takes the portable graph of a network, beside which its plan is, and the path of the network.
    """

    precision: str
    runtime: str
    suffix: str
    write: Callable[[Path, Path], None]

    @property
    def name(self) -> str:
        """A name that no other form has."""
        return self.precision if self.runtime != "openvino" else f"{self.precision}-openvino"

    def load(self, path: Path) -> Network:
        """Load a network of this form."""
        return RUNTIMES[self.runtime](path)


def forms_here() -> list[NetworkForm]:
    """Return the forms that this machine can run, float32 first."""
    forms = [NetworkForm("float32", "onnxruntime", ".onnx", _write_optimised)]
    if has_instructions(BFLOAT16_INSTRUCTIONS):
        forms.append(NetworkForm("bfloat16", "numba", ".json", _copy_plan))
    if openvino_has_fast_bfloat16():
        forms.append(NetworkForm("bfloat16", "openvino", ".xml", convert_graph))
    return forms


def choose_form(precision: str, source: Path, scratch: Path) -> NetworkForm:
    """Return the fastest form with the requested precision (`auto` allows any).

    `source` is the portable graph of one network. It is written into the folder `scratch` if there are forms to
    compare. Raises PrecisionUnavailableError if the processor has no instructions for the precision.
    """
    forms = [form for form in forms_here() if precision in {"auto", form.precision}]
    if not forms:
        raise PrecisionUnavailableError(
            f"UNET_PRECISION={precision} (or MODEL_PRECISION) is not possible: this processor has no instructions for "
            "it. Use auto."
        )
    if len(forms) == 1:
        return forms[0]
    seconds = _seconds_per_chunk(forms, source, scratch)
    if forms[0].precision == "float32":
        seconds[0] /= CLEAR_GAIN
    return forms[int(np.argmin(seconds))]


def _seconds_per_chunk(forms: Sequence[NetworkForm], source: Path, scratch: Path) -> list[float]:
    """Return the processor time of each form for a chunk. Wall time would depend on other programs."""
    networks, states = [], []
    for form in forms:
        path = (scratch / form.name).with_suffix(form.suffix)
        form.write(source, path)
        networks.append(form.load(path))
        states.append(networks[-1].empty_states())
    noise = np.random.default_rng(0).uniform(0, 10, (CHANNELS, CHUNK_FRAMES, BINS)).astype(np.float32)
    seconds = np.full((TURNS + 1, len(forms)), np.inf)
    for turn, number in product(range(TURNS + 1), range(len(forms))):
        started = time.process_time()
        _, states[number] = networks[number].step(noise, states[number])
        seconds[turn, number] = time.process_time() - started
    # The first turn includes loading and compiling.
    return list(seconds[1:].min(axis=0))


def _copy_plan(source: Path, path: Path) -> None:
    """Copy the plan of a network, and its file of numbers, which the plan names."""
    shutil.copyfile(source.with_suffix(".json"), path)
    numbers = source.with_suffix(".numbers")
    shutil.copyfile(numbers, path.with_name(numbers.name))


def _write_optimised(source: Path, path: Path) -> None:
    """Write a network as onnxruntime optimises it for this machine. The weights go to a separate file, which processes
    share in memory."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(path)
    numbers = path.with_suffix(".weights").name
    options.add_session_config_entry("session.optimized_model_external_initializers_file_name", numbers)
    options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", "1024")
    # onnxruntime would warn that the file fits only this machine. The manifest's `built_for` takes care of that.
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
