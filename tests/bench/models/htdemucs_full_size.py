"""HT-Demucs at full size against the reference implementation, side by side: the same samples, and at what cost.

The weights are random (the cost does not depend on them) and stirred, in the publisher's file format. The reference
needs torch, so it runs in an environment of its own, which `REFERENCE_PYTHON` names; `htdemucs_reference.py` says how
to make it. Without it only the engine is measured. With the package demucs-onnx in the same environment, the network
as that package exports and runs it is measured too (`htdemucs_onnx_package.py`).

    python -m tests.bench.models.htdemucs_full_size engine FOLDER STEMS.npy SECONDS [START]
    REFERENCE_PYTHON -m tests.bench.models.htdemucs_full_size reference NETWORK.th STEMS.npy SECONDS

each print a line of JSON: the processor seconds (user and system) for the song without loading the network, and the
peak of memory.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from tests.bench.models import htdemucs_onnx_package
from tests.bench.peak import peak_mebibytes
from tests.fixtures.stand_ins.tiny_htdemucs import noise_song, random_weights, write_torch_file

RATE_HZ = 44_100
SECONDS, HOUR = 30, 3600
THREADS = 2

HOP_SECONDS = 0.75 * 39 / 5
A_MINUTE = 60 / HOP_SECONDS / math.ceil(SECONDS / HOP_SECONDS)
"""What makes a minute of a long song of the time for `SECONDS`, which has more segments for its length. All three
programs cut a song into the same segments."""

STEMS = ("drums", "bass", "other", "vocals")
NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "htdemucs": {"sources": [*STEMS], "dconv_mode": 3, "bottom_channels": 512, "segment": Fraction(39, 5)},
    "htdemucs_6s": {"sources": [*STEMS, "guitar", "piano"], "dconv_mode": 3, "segment": Fraction(39, 5)},
}
"""The arguments of the published networks that differ from the defaults of the class."""

Row = Mapping[str, str | float]


class LongSong:
    """A song of any length: the same seconds again and again, at -40 dB where they are quiet."""

    sample_rate_hz = RATE_HZ
    channels = 2

    def __init__(self, seconds: int, level: float = 1.0) -> None:
        self.n_samples = seconds * RATE_HZ
        self._y = noise_song(SECONDS * RATE_HZ) * np.float32(level)

    def read_samples(self, start: int, stop: int) -> np.ndarray:
        return np.take(self._y, np.arange(start, stop), axis=1, mode="wrap")


def measured() -> list[Row]:
    """Return the rows of `make bench FAMILIES=models` for HT-Demucs."""
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as scratch:
        for name, arguments in NETWORKS.items():
            rows += _rows_of(name, arguments, Path(scratch) / name)
    return rows


def _rows_of(name: str, arguments: Mapping[str, Any], scratch: Path) -> list[Row]:
    scratch.mkdir()
    file, folder = scratch / "network.th", scratch / "model"
    folder.mkdir()
    write_torch_file(file, arguments, random_weights(arguments))
    built = _run(sys.executable, "build", file, folder)
    rows: list[Row] = [_row(f"{name}: build", built["seconds"], "cpu s", peak_mib=built["peak"])]
    ours = _run(sys.executable, "engine", folder, scratch / "ours.npy", SECONDS)
    rows.append(_row(f"{name}: engine, a minute", A_MINUTE * ours["seconds"], "cpu s", peak_mib=ours["peak"]))
    hour = _run(sys.executable, "engine", folder, scratch / "hour.npy", HOUR, HOUR - 2)
    rows.append(_row(f"{name}: engine, the end of an hour", hour["peak"], "MiB at peak"))
    rows += _bfloat16_rows(name, file, scratch, ours, arguments["sources"])
    reference_python = os.environ.get("REFERENCE_PYTHON")
    if not reference_python:
        rows.append(_row(f"{name}: reference", 0, "not run", reason="REFERENCE_PYTHON names no Python with torch"))
        return rows
    theirs = _run(reference_python, "reference", file, scratch / "theirs.npy", SECONDS)
    rows += _beside(f"{name}: reference in torch", theirs, ours)
    rows += _comparison(f"{name}: 30 s", scratch / "ours.npy", scratch / "theirs.npy", arguments["sources"])
    return [*rows, *_onnx_package(name, reference_python, scratch, ours, len(arguments["sources"]))]


def _bfloat16_rows(name: str, file: Path, scratch: Path, float32: Mapping[str, float], sources: list[str]) -> list[Row]:
    """Return the rows of the engine in bfloat16 and how near it is to float32, if this machine has it."""
    from worker.model_setup.openvino_files import openvino_has_fast_bfloat16

    if not openvino_has_fast_bfloat16():
        return []
    folder, stems = scratch / "model-bfloat16", scratch / "bfloat16.npy"
    folder.mkdir()
    _run(sys.executable, "build-bfloat16", file, folder)
    found = _run(sys.executable, "engine", folder, stems, SECONDS)
    pairs = zip(np.load(stems), np.load(scratch / "ours.npy"), strict=True)
    worst = min(_sdr(a.astype(np.float64), b.astype(np.float64)) for a, b in pairs)
    return [
        _row(f"{name}: engine in bfloat16, a minute", A_MINUTE * found["seconds"], "cpu s", peak_mib=found["peak"]),
        _row(f"{name}: bfloat16 is faster than float32 by", float32["seconds"] / found["seconds"], "times"),
        _row(f"{name}: bfloat16 against float32, worst of {len(sources)} stems", worst, "dB SDR"),
    ]


def _onnx_package(name: str, python: str, scratch: Path, ours: Mapping[str, float], n_stems: int) -> list[Row]:
    """Return the rows of demucs-onnx with the network in `scratch`."""
    what, exported, stems = f"{name}: demucs-onnx", scratch / "exported.onnx", scratch / "exported.npy"
    if subprocess.run([python, "-c", "import demucs_onnx"], stderr=subprocess.DEVNULL, check=False).returncode:
        return [_row(what, 0, "not run", reason="demucs-onnx is not installed there")]
    _run(python, "export", scratch / "network.th", exported)
    rows = _beside(what, _run(python, "demucs-onnx", exported, stems, SECONDS, n_stems, 1), ours)
    rows += _beside(f"{what}, no spinning", _run(python, "demucs-onnx", exported, stems, SECONDS, n_stems, 0), ours)
    likeness = _sdr(np.load(stems), np.load(scratch / "theirs.npy"))
    return [*rows, _row(f"{what} against the reference, 30 s", likeness, "dB SDR")]


def _beside(what: str, theirs: Mapping[str, float], ours: Mapping[str, float]) -> list[Row]:
    """Return the rows of another program, and by how much the engine is faster."""
    return [
        _row(f"{what}, a minute", A_MINUTE * theirs["seconds"], "cpu s", peak_mib=theirs["peak"]),
        _row(f"{what}: the engine is faster by", theirs["seconds"] / ours["seconds"], "times"),
    ]


def _comparison(what: str, ours: Path, theirs: Path, sources: list[str]) -> list[Row]:
    """Return how near the engine's stems are to the reference's, over the song and in its last seconds."""
    order = sorted(sources, key=lambda stem: stem != "vocals")
    mine, reference = np.load(ours), np.load(theirs)
    rows = []
    for stem in sources:
        a, b = mine[order.index(stem)].astype(np.float64), reference[sources.index(stem)].astype(np.float64)
        tail = slice(-5 * RATE_HZ, None)
        rows.append(_row(f"{what}, {stem}", _sdr(a, b), "dB SDR", last_5_s=_sdr(a[:, tail], b[:, tail])))
    return rows


def _sdr(y: np.ndarray, reference: np.ndarray) -> float:
    return round(float(10 * np.log10(np.square(reference).sum() / np.square(reference - y).sum())), 1)


def _row(what: str, value: float, unit: str, **notes: Any) -> Row:
    return {"what": what, "value": round(value, 2), "unit": unit, **notes}


def _run(python: str, *arguments: object) -> dict[str, float]:
    """Run a part of this module in a process of its own; return what it prints."""
    command = [python, "-m", "tests.bench.models.htdemucs_full_size", *(str(argument) for argument in arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def build(file: Path, folder: Path, precision: str = "float32") -> None:
    """Build a model folder."""
    from worker.model_setup.htdemucs import build_htdemucs
    from worker.model_setup.model_entry import ModelEntry

    build_htdemucs([file], ModelEntry(folder.parent.name, "Random", "Random weights.", "None."), folder, precision)


def separate(folder: Path, stems: Path, seconds: int, start: int = 0) -> float:
    """Separate a song with the engine; store the stems. Return the processor time when the network was loaded."""
    from worker.engines.htdemucs import create
    from worker.run_support.process_memory import use_one_heap

    use_one_heap()
    engine = create(None, {}, model_folder=folder)
    engine._loaded_network(THREADS)
    started = time.process_time()
    blocks = engine.separate(LongSong(seconds), start=start * RATE_HZ, threads=THREADS)
    shape = (len(engine.stems), 2, (seconds - start) * RATE_HZ)
    stored = np.lib.format.open_memmap(stems, "w+", np.float32, shape)
    position = 0
    for block in blocks:
        stored[..., position : position + block.shape[2]] = block
        position += block.shape[2]
    return started


def refer(file: Path, stems: Path, seconds: int) -> float:
    """Do the same with the reference."""
    import torch
    from demucs.states import load_model

    from tests.bench.models.htdemucs_reference import reference_song

    torch.set_num_threads(THREADS)
    model, y = load_model(file).eval(), LongSong(seconds).read_samples(0, seconds * RATE_HZ)
    started = time.process_time()
    np.save(stems, reference_song(model, y))
    return started


def run_exported(network: Path, stems: Path, seconds: int, n_stems: int, spinning: int) -> float:
    """Do the same with a network that demucs-onnx has exported, as that package runs it."""
    session = htdemucs_onnx_package.session(network, THREADS, spinning=bool(spinning))
    y = LongSong(seconds).read_samples(0, seconds * RATE_HZ)
    started = time.process_time()
    np.save(stems, htdemucs_onnx_package.separated(session, y, n_stems))
    return started


def main() -> None:
    """Run the part that the command line names, and print its cost."""
    part, source, target, *numbers = sys.argv[1:]
    parts: Mapping[str, Any] = {
        "build": build,
        "build-bfloat16": lambda file, folder: build(file, folder, "bfloat16"),
        "engine": separate,
        "reference": refer,
        "export": htdemucs_onnx_package.export,
        "demucs-onnx": run_exported,
    }
    started = parts[part](Path(source), Path(target), *(int(number) for number in numbers)) or 0.0
    print(json.dumps({"seconds": time.process_time() - started, "peak": peak_mebibytes()}))


if __name__ == "__main__":
    main()
