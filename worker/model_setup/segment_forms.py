"""The forms in which a model that separates in segments can be built, and which of them is the best on this machine.

float32 with onnxruntime runs everywhere, and is as exact as the reference. bfloat16 with OpenVINO exists only where
that package is installed and the processor has instructions for it. It is built too then, and chosen if it is clearly
faster and true to float32.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from worker.engines.interface import FloatArray
from worker.engines.segments.engine import create_engine
from worker.engines.segments.family import SegmentFamily
from worker.engines.segments.manifest import SegmentManifest
from worker.model_setup.errors import ModelSetupError, PrecisionUnavailableError
from worker.model_setup.openvino_files import (
    BFLOAT16_VERSION,
    choice_here,
    convert_graph,
    openvino_has_fast_bfloat16,
    plain_version,
)
from worker.model_setup.segment_models import finish_model, optimise_graph
from worker.model_setup.speed import Noise

CLEAR_GAIN = 1.1
"""How many times faster than float32 bfloat16 must be to be chosen: less is not worth a different sound."""

LEAST_LIKENESS_DB = 20.0
"""The stems of noise in bfloat16 must be as near as this to those in float32. Networks of full size with random weights
have 35 to 40 dB."""


@dataclass(frozen=True)
class SegmentForm:
    """A precision, the suffix of its files, what it adds to the version of a model, and what writes a graph for it."""

    precision: str
    suffix: str
    version: str
    write: Callable[[bytes, Path], None]


FLOAT32 = SegmentForm("float32", ".onnx", "", optimise_graph)
BFLOAT16 = SegmentForm("bfloat16", ".xml", BFLOAT16_VERSION, convert_graph)

WriteNetworks = Callable[[SegmentForm, Path], tuple[str, ...]]
"""Writes all networks of a model in a form into a folder, and returns the names of their files."""


def build_best_form(
    folder: Path, manifest: SegmentManifest, family: SegmentFamily, precision: str, write_networks: WriteNetworks
) -> SegmentManifest:
    """Build a model in the forms that are possible here, and leave the best of them in a folder.

    Parameters
    ----------
    folder
        An empty folder.
    manifest
        What is true for every form. Its version, precision, networks and what `finish_model` measures are filled in.
    family
        The family of the model.
    precision
        `float32`, `bfloat16`, or `auto` for the faster of both.
    write_networks
        Writes the networks in a form.

    Returns
    -------
    SegmentManifest
        As it was written. Raises ModelSetupError if no form can be built, PrecisionUnavailableError if the precision
        is not possible here.
    """
    forms = [form for form in forms_here() if precision in {"auto", form.precision}]
    if not forms:
        raise PrecisionUnavailableError(
            f"{manifest.name} cannot be built in bfloat16 here: that needs a processor with instructions for it and "
            "the package openvino. Use MODEL_PRECISION=auto."
        )
    manifest = replace(manifest, origin={**manifest.origin, "precision": choice_here(precision)})
    built: list[tuple[Path, SegmentManifest]] = []
    for form in forms:
        place = folder / form.precision
        place.mkdir()
        try:
            built.append((place, _build(form, place, manifest, family, write_networks)))
        except ModelSetupError:
            if not built:
                shutil.rmtree(place)
                raise
    place, chosen = built[0]
    if len(built) > 1 and _is_better(built[0], built[1], family):
        place, chosen = built[1]
    for path in place.iterdir():
        path.rename(folder / path.name)
    for form in forms:
        shutil.rmtree(folder / form.precision)
    return chosen


def forms_here() -> list[SegmentForm]:
    """Return the forms that this machine can run, float32 first."""
    return [FLOAT32, BFLOAT16] if openvino_has_fast_bfloat16() else [FLOAT32]


def _build(
    form: SegmentForm, place: Path, manifest: SegmentManifest, family: SegmentFamily, write_networks: WriteNetworks
) -> SegmentManifest:
    networks = write_networks(form, place)
    version = plain_version(manifest.version) + form.version
    return finish_model(place, replace(manifest, networks=networks, precision=form.precision, version=version), family)


def _is_better(
    float32: tuple[Path, SegmentManifest], bfloat16: tuple[Path, SegmentManifest], family: SegmentFamily
) -> bool:
    """Return whether bfloat16 is clearly faster, true to float32, and the same with any number of threads."""
    speeds = [manifest.real_time_factor or 0.0 for _, manifest in (float32, bfloat16)]
    if speeds[1] < CLEAR_GAIN * speeds[0]:
        return False
    exact, first, other = (
        _stems_of_noise(place, family, threads)
        for place, threads in ((float32[0], 1), (bfloat16[0], 1), (bfloat16[0], 2))
    )
    error = np.square(first - exact, dtype=np.float64).sum()
    signal = np.square(exact, dtype=np.float64).sum()
    return bool(np.array_equal(first, other) and error <= signal * 10 ** (-LEAST_LIKENESS_DB / 10))


def _stems_of_noise(place: Path, family: SegmentFamily, threads: int) -> FloatArray:
    """Return the stems of a segment of noise, without the remainder, which takes up the error of the others."""
    engine = create_engine(None, {}, model_folder=place, family=family)
    manifest = engine.manifest
    noise = Noise(family.grid(manifest).segment_samples)
    stems = np.concatenate(list(engine.separate(noise, threads=threads)), axis=2)
    engine.release_memory()
    kept: FloatArray = stems[[manifest.stems.index(stem) for stem in manifest.estimated_stems]]
    return kept
