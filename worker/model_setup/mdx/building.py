"""Builds a model folder from an MDX-Net file as its authors publish it: one ONNX file and six numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.mdx.family import FAMILY, check_parameters
from worker.engines.segments.manifest import SegmentManifest
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.mdx.flat_products import flatten_products
from worker.model_setup.mdx.memory_limit import limited_memory
from worker.model_setup.mdx.onnx_check import read_foreign_network
from worker.model_setup.mdx.upsampling import replace_upsampling
from worker.model_setup.model_entry import OTHER, REST, ModelEntry
from worker.model_setup.segment_forms import BFLOAT16, form_for
from worker.model_setup.segment_models import finish_model

STEMS = ("vocals", "accompaniment")
SAMPLE_RATE_HZ = 44_100
NETWORK_NAME = "network"
SETTINGS = ("n_fft", "hop_length", "dim_f", "dim_t", "compensate", "overlap")

OTHER_NAMES = {"instrumental": "accompaniment"}
"""What others call a stem, and its name here."""

STEM_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

TAKEN_STEM_NAMES = frozenset({"mixture", REST})
"""Names that no estimated stem may have. Pictures and reports call the song `mixture`."""


def build_mdx(
    file: Path, parameters: Mapping[str, Any], entry: ModelEntry, folder: Path, precision: str = "float32"
) -> SegmentManifest:
    """Build the model folder of an MDX-Net for this machine.

    Parameters
    ----------
    file
        The ONNX file. It is checked before anything runs it.
    parameters
        `n_fft`, `hop_length`, `dim_f`, `dim_t`, `compensate`, and `stem`, the stem that the network estimates:
        `vocals`, `instrumental`, or another one. `overlap` may be given, too; it is 0.25 otherwise.
    entry
        The model's names, licence and scores.
    folder
        An empty folder. The caller moves it to its place afterwards.
    precision
        As for `form_for`.

    Returns
    -------
    SegmentManifest
        As it was written. Raises ModelSetupError with one sentence; then the folder is as useless as before.
    """
    try:
        check_parameters(dict(parameters))
        stems, estimated = _stems(parameters.get("stem"))
    except (TypeError, ValueError) as error:
        raise ModelSetupError(f"The parameters of {entry.name} are refused: {error}.") from error
    form = form_for(precision, entry.name)
    settings = {name: parameters[name] for name in SETTINGS if name in parameters}
    manifest = SegmentManifest(
        family=FAMILY.name,
        name=entry.name,
        version=entry.version + form.version,
        title=entry.title,
        summary=entry.summary,
        licence=entry.licence,
        sample_rate_hz=SAMPLE_RATE_HZ,
        channels=2,
        stems=stems,
        remainder=next(stem for stem in stems if stem != estimated),
        networks=(f"{NETWORK_NAME}{form.suffix}",),
        precision=form.precision,
        files={},
        settings=settings,
        scores=entry.scores,
        scores_from=entry.scores_from,
        origin=entry.origin,
    )
    with limited_memory():
        model = read_foreign_network(file, (1, 4, settings["dim_f"], settings["dim_t"]))
        replace_upsampling(model)
        if form is BFLOAT16:
            flatten_products(model)
        form.write(model.SerializeToString(), folder / manifest.networks[0])
        return finish_model(folder, manifest, FAMILY)


def _stems(stem: object) -> tuple[tuple[str, str], str]:
    """Return the names of both stems in order, and the one that the network estimates. Raises ValueError."""
    if not isinstance(stem, str) or not STEM_NAME.fullmatch(stem):
        raise ValueError("stem must be a name such as vocals or instrumental")
    if stem in TAKEN_STEM_NAMES:
        raise ValueError(f"stem must be a name such as vocals or instrumental; {stem} stands for something else")
    name = OTHER_NAMES.get(stem, stem)
    if name in STEMS:
        return STEMS, name
    return (name, OTHER if name != OTHER else REST), name
