"""Makes the model folder of `unet` in a cache, once per machine.

The folder is built under a name of its own and renamed when it is whole, so an engine never finds half of
one.
"""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from worker.engine.errors import EngineUnavailableError
from worker.engine.unet.machine import this_machine
from worker.engine.unet.manifest import Manifest, read_manifest, sha256_of, verify_files, write_manifest
from worker.engine.unet.network import RUNTIMES
from worker.model_setup import spleeter
from worker.model_setup.speed import real_time_factor
from worker.model_setup.weights import find_weights


def set_up(cache: Path, precision: str = "auto") -> tuple[Path, bool]:
    """Return the model folder in this cache, and whether it had to be built.

    `precision` is that of the numbers to compute in, or `auto`: whatever is fastest. Raises SetupError when the weights
    are missing or this machine cannot compute in that precision, OSError when the cache cannot be written.
    """
    cache.mkdir(parents=True, exist_ok=True)
    folder = cache / "unet"
    with _lock(cache):
        if _is_current(folder, precision):
            return folder, False
        with tempfile.TemporaryDirectory(prefix=".unet-", dir=cache) as scratch:
            built = Path(scratch) / "unet"
            built.mkdir()
            build(built, precision)
            if folder.exists():
                folder.rename(Path(scratch) / "old")
            built.rename(folder)
    return folder, True


def build(folder: Path, precision: str) -> Manifest:
    """Build the network and its manifest into an empty folder. Raises SetupError as `set_up` does."""
    paths = find_weights(spleeter.DISTRIBUTION, spleeter.CHECKPOINTS, spleeter.DIGESTS)
    # onnx costs 60 MB and half a second, which a set-up that finds all done should not pay.
    from worker.model_setup.building import build_networks  # noqa: PLC0415

    form, networks, states = build_networks(paths, folder, precision)
    files = {path.name: sha256_of(path) for path in sorted(folder.iterdir())}
    manifest = spleeter.manifest(
        files=files,
        asked=precision,
        precision=form.precision,
        runtime=form.runtime,
        networks=networks,
        initial_states=states,
        built_for=this_machine(tuple(RUNTIMES)),
    )
    write_manifest(folder, manifest)
    manifest = replace(manifest, real_time_factor=real_time_factor(folder))
    write_manifest(folder, manifest)
    return manifest


def _is_current(folder: Path, precision: str) -> bool:
    """Tell whether the folder holds what `build` would make, or what it found to be the fastest, undamaged."""
    try:
        found = read_manifest(folder)
        verify_files(folder, found)
        expected = spleeter.manifest(
            files=found.files,
            asked=precision,
            precision=found.precision,
            runtime=found.runtime,
            networks=found.networks,
            initial_states=found.initial_states,
            built_for=this_machine(tuple(RUNTIMES)),
        )
    except (EngineUnavailableError, KeyError):
        return False
    return replace(found, real_time_factor=None) == expected


@contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """Let one set-up work in a cache at a time; the kernel frees the lock when its process ends, however
    it ends."""
    with (cache / ".set-up.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
