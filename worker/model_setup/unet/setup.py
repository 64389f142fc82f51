"""Makes the model folder of `unet` in a cache folder, once per machine.

The folder is built under another name and renamed when it is complete, so an engine never finds half of it.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from worker.engines.errors import EngineUnavailableError
from worker.engines.machine import describe_machine
from worker.engines.model_folder import sha256_of, verify_files
from worker.engines.unet import create
from worker.engines.unet.model_manifest import MaskManifest, read_manifest, write_manifest
from worker.engines.unet.network import RUNTIMES
from worker.model_setup.errors import PrecisionUnavailableError
from worker.model_setup.speed import measure_engine
from worker.model_setup.unet import spleeter
from worker.model_setup.unet.portable import portable_networks


def set_up(cache: Path, precision: str = "auto") -> tuple[Path, bool]:
    """Return the model folder in this cache, and whether it had to be built.

    `precision` is that of the numbers to compute in; `auto` means the fastest. Raises ModelSetupError if the weights
    are missing, OSError if the cache cannot be written. Raises PrecisionUnavailableError if this machine cannot compute
    in that precision; then there is no model, not even one in another precision.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / "unet"
    with _locked(cache):
        if _is_current(folder, precision):
            return folder, False
        with tempfile.TemporaryDirectory(prefix=".unet-", dir=cache) as scratch:
            built = Path(scratch) / "unet"
            built.mkdir()
            try:
                build_model(built, precision)
            except PrecisionUnavailableError:
                if folder.exists():
                    folder.rename(Path(scratch) / "old")
                raise
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            built.rename(folder)
    return folder, True


def build_model(folder: Path, precision: str) -> MaskManifest:
    """Build the networks and their manifest in an empty folder. Raises ModelSetupError as `set_up` does."""
    # onnxruntime takes 40 MB, which a set-up that finds everything done should not spend.
    from worker.model_setup.unet.building import build_networks  # noqa: PLC0415

    with portable_networks(folder.parent) as portable:
        form, networks, states = build_networks(portable, spleeter.CHECKPOINTS, folder, precision)
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    manifest = spleeter.make_manifest(
        files=files,
        requested_precision=precision,
        precision=form.precision,
        runtime=form.runtime,
        networks=networks,
        initial_states=states,
        built_for=describe_machine(tuple(RUNTIMES)),
    )
    write_manifest(folder, manifest)
    manifest = replace(
        manifest, real_time_factor=measure_engine(create(None, {}, model_folder=folder)).real_time_factor
    )
    write_manifest(folder, manifest)
    return manifest


def _is_current(folder: Path, precision: str) -> bool:
    """Return whether the folder holds, undamaged, what `build_model` would make with this requested precision."""
    try:
        found = read_manifest(folder)
        verify_files(folder, found.files)
        expected = spleeter.make_manifest(
            files=found.files,
            requested_precision=precision,
            precision=found.precision,
            runtime=found.runtime,
            networks=found.networks,
            initial_states=found.initial_states,
            built_for=describe_machine(tuple(RUNTIMES)),
        )
    except (EngineUnavailableError, KeyError):
        return False
    return replace(found, real_time_factor=None) == expected


@contextmanager
def _locked(cache: Path) -> Iterator[None]:
    """Allow one set-up at a time in a cache folder. The kernel frees the lock when the process ends in any way."""
    with (cache / ".set-up.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
