"""Builds models again after an upgrade or on another processor, from the files that are stored beside them.

Set-up does this at every start. A model whose files are not all there as they were is left as it is, and
`stemqueue-models list` says so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from worker.engines.errors import EngineUnavailableError
from worker.engines.machine import describe_machine
from worker.engines.model_folder import sha256_of
from worker.engines.segments.graph_files import packages_of
from worker.engines.segments.manifest import SegmentManifest, read_segment_manifest
from worker.model_setup.catalog.add import BUILD, BUILDERS, build_model
from worker.model_setup.catalog.fetch import Say
from worker.model_setup.catalog.model_folders import WEIGHTS, locked_folder, model_names
from worker.model_setup.errors import ModelSetupError
from worker.model_setup.model_entry import ModelEntry
from worker.model_setup.openvino_files import plain_version

DIGEST = re.compile(r"\(sha256 ([0-9a-f]{64})(, recognised by its \w+)?\)$")
"""How the entries of `origin` end that are about files."""


def rebuild_models(folder: Path, say: Say, precision: str = "float32") -> None:
    """Build each model in MODEL_FOLDER again that was built for another machine, precision, or in another way.

    `precision` is MODEL_PRECISION.

    Says what was built, and what cannot be built.
    """
    outdated = [manifest for name in model_names(folder) if (manifest := _outdated(folder / name, precision))]
    if not outdated:
        return
    try:
        with locked_folder(folder):
            for manifest in outdated:
                _rebuild(manifest, folder, say, precision)
    except (ModelSetupError, OSError) as error:
        say(f"Models were not built again: {error}")


def _outdated(folder: Path, precision: str) -> SegmentManifest | None:
    """Return the manifest of a model that was built for another machine or in another way, or None."""
    try:
        manifest = read_segment_manifest(folder)
    except EngineUnavailableError:
        return None
    is_ours = manifest.family in BUILDERS and "build" in manifest.origin
    if not is_ours:
        return None
    is_for_here = manifest.built_for == describe_machine(packages_of(manifest.networks))
    # Only bfloat16 has to be asked for.
    is_as_asked = manifest.precision == ("float32" if precision == "auto" else precision)
    is_current = is_for_here and is_as_asked and manifest.origin.get("build") == BUILD
    return None if is_current else manifest


def _rebuild(manifest: SegmentManifest, folder: Path, say: Say, precision: str) -> None:
    digests = _digests(manifest)
    weights = folder / WEIGHTS / manifest.name
    # Fewer files, or others, would give another model of the same name.
    lost = [name for name in digests if not _is_there(weights / name, digests[name])]
    if lost or not digests:
        say(
            f"{manifest.name} was built for another machine or version, and cannot be built again, because files are "
            f"gone or changed ({', '.join(lost) or 'all'}): add it again."
        )
        return
    try:
        files = [weights / name for name in digests]
        build_model(manifest.family, files, _parameters(manifest), _entry(manifest), folder, precision=precision)
    except ModelSetupError as error:
        say(f"{manifest.name} was built for another machine or version, and cannot be built again: {error}")
    else:
        say(f"{manifest.name} was built again for this machine.")


def _digests(manifest: SegmentManifest) -> Mapping[str, str]:
    """Return the SHA-256 of each file that a model was built from, in the order that its family wants."""
    found = {name: DIGEST.search(text) for name, text in manifest.origin.items()}
    return {name: match[1] for name, match in found.items() if match}


def _is_there(path: Path, digest: str) -> bool:
    return path.is_file() and sha256_of(path) == digest


def _parameters(manifest: SegmentManifest) -> Mapping[str, Any]:
    return {**manifest.settings, "stem": manifest.estimated_stems[0]}


def _entry(manifest: SegmentManifest) -> ModelEntry:
    return ModelEntry(
        name=manifest.name,
        title=manifest.title,
        summary=manifest.summary,
        licence=manifest.licence,
        version=f"{BUILD}-{plain_version(manifest.version).partition('-')[2]}",
        scores=manifest.scores,
        scores_from=manifest.scores_from,
        origin={**manifest.origin, "build": BUILD},
    )
