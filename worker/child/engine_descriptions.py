"""Finds out which engines can run here, in another process.

So the worker never imports the signal-processing stack. That process runs the modules of engines, so it has the sandbox
and the environment of a child.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from shared.settings import Settings, split_names
from worker.child.sandbox import child_environment, child_sandbox
from worker.sandbox import launch

PATIENCE_SECONDS = 120
"""How long the other process may take on a busy machine."""

State = frozenset[tuple[str, int, int]]
"""What identifies the models in a folder: name, inode and time of change of each manifest."""


def describe_engines(settings: Settings) -> list[dict[str, Any]]:
    """Return the descriptions of the engines that can run here. Raises OSError, SubprocessError, ValueError."""
    extra = [f"--extra={module}" for module in split_names(settings.extra_engines)]
    folder = f"--model-folder={settings.model_folder.resolve()}"
    command = [sys.executable, "-m", "worker.engines.registry", folder, *extra, *split_names(settings.worker_engines)]
    with tempfile.TemporaryDirectory(prefix="stemqueue-") as name:
        home = Path(name)
        sandbox = child_sandbox(
            home=home,
            model_folder=settings.model_folder,
            extra_engines=split_names(settings.extra_engines),
            ffmpeg_path=settings.ffmpeg_path,
        )
        environment = child_environment(threads=1, home=home)
        with launch.start(command, sandbox, environment=environment, stdout=subprocess.PIPE) as process:
            try:
                printed, _ = process.communicate(timeout=PATIENCE_SECONDS)
            finally:
                process.kill()
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return list(json.loads(printed))


def models_state(model_folder: Path) -> State:
    """Return what changes when a model is added, built again or removed."""
    found = set()
    with contextlib.suppress(OSError):
        for folder in model_folder.iterdir():
            # A folder may be unreadable, or disappear between two looks.
            with contextlib.suppress(OSError):
                status = (folder / "manifest.json").stat()
                found.add((folder.name, status.st_ino, status.st_mtime_ns))
    return frozenset(found)
