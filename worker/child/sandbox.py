"""The sandbox and the environment of a child: enough for numpy, networks, pictures and ffmpeg, and no more.

A child handles what ffmpeg decoded from a stranger's file, with large libraries. It may read the system, Python and the
models, and write to its own folder and to those of jobs. It has no network, and no access to processes that it did not
start.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import PathFinder
from pathlib import Path

from worker.audio_files import ffmpeg
from worker.sandbox.launch import LOADER_FILES, SYSTEM_FOLDERS, Sandbox

INHERITED = (
    *("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OPENBLAS_CORETYPE"),
    *("PYTHONPATH", "PYTHONPYCACHEPREFIX"),
)
"""The only variables of the worker's environment that a child inherits."""

READ = (
    "/etc/localtime",
    "/etc/fonts",
    # The OpenSSL of hashlib fails if it may not read these.
    *("/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies"),
    # The kernel shows a confined process only what any user may see of other processes.
    "/proc",
    *("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage"),
    # ONNX Runtime looks for graphics cards when it is imported, and warns if it may not.
    "/sys/bus/pci/devices",
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)
WRITE = (
    "/dev/null",
    # Resets the kernel's record of the peak memory (process_memory.py).
    "/proc/self/clear_refs",
)


def child_sandbox(
    *,
    home: Path,
    jobs_folder: Path | None = None,
    model_folder: Path | None = None,
    extra_engines: Sequence[str] = (),
    ffmpeg_path: str | None = None,
    readable: Sequence[Path] = (),
) -> Sandbox:
    """Return the sandbox of a child whose own folder is `home`; `readable` are further paths that it may read."""
    work = [home, *([jobs_folder] if jobs_folder else [])]
    # Where the worker keeps the modules that it has compiled, for installations that hold none. The child writes none.
    compiled = [Path(sys.pycache_prefix)] if sys.pycache_prefix else []
    read = [*LOADER_FILES, *map(Path, READ), *([model_folder] if model_folder else []), *compiled, *readable]
    program = Path(ffmpeg_path or ffmpeg.bundled_ffmpeg()).resolve()
    return Sandbox(
        allowed=[
            *(("run", folder) for folder in (*SYSTEM_FOLDERS, program.parent)),
            *_python_folders(),
            *(("read", place) for name in ("worker", "shared", *extra_engines) for place in _module_paths(name)),
            *(("read", path.absolute()) for path in read),
            *(("write", Path(path)) for path in WRITE),
            *(("work", folder.absolute()) for folder in work),
        ]
    )


def child_environment(*, threads: int, home: Path) -> dict[str, str]:
    """Return the environment of a child: no credentials, its share of threads, and caches in its own folder."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA"):
        environment[f"{name}_NUM_THREADS"] = str(threads)
    environment["TMPDIR"] = environment["MPLCONFIGDIR"] = str(home)
    environment["NUMBA_CACHE_DIR"] = str(home / "numba")
    environment["ORT_DISABLE_TELEMETRY"] = "1"
    environment["PYTHONUNBUFFERED"] = "1"
    return environment


@dataclass(frozen=True)
class Prepared:
    """Caches that set-up has filled for this machine: numba's compiled loops and matplotlib's font list.

    Without them each child compiles for some 20 s and searches for fonts for 1.5 s.
    """

    loops: Path
    fonts: Path

    @classmethod
    def beside(cls, model_folder: Path) -> Prepared:
        """Return the caches beside the models, unless NUMBA_CACHE_DIR or MPLCONFIGDIR name other folders."""
        folder = model_folder.resolve()
        loops, fonts = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("MPLCONFIGDIR")
        return cls(Path(loops or folder / "numba"), Path(fonts or folder / "matplotlib"))

    def environment(self) -> dict[str, str]:
        """Return the variables by which numba and matplotlib find them; set these before either is imported."""
        return {"NUMBA_CACHE_DIR": str(self.loops), "MPLCONFIGDIR": str(self.fonts)}

    def copy_to(self, home: Path) -> None:
        """Copy the caches for one child.

        numba must be able to write to its cache, and runs what it reads there. A child with write access to the shared
        cache could leave code in it for the next set-up to run, which has the credentials.
        """
        (home / "numba").mkdir(parents=True, exist_ok=True)
        # What cannot be copied is computed again.
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(self.loops, home / "numba", dirs_exist_ok=True)
        for fonts in self.fonts.glob("fontlist-*.json"):
            with contextlib.suppress(OSError):
                shutil.copy(fonts, home)


def _python_folders() -> Iterator[tuple[str, Path]]:
    """Yield the folders that this interpreter needs, each with the access that it needs."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    own = (sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent))
    for name in (*own, *filter(None, libraries)):
        yield "run", Path(name).absolute()
    private = [Path.cwd(), Path(os.environ.get("HOME", "/"))]
    for entry in _search_path():
        folder = Path(entry).absolute()
        # The working folder and the home folder may hold secrets. There Python may list names, and read only what
        # `_module_paths` returns.
        is_private = any(path.is_relative_to(folder) for path in private)
        yield "list" if is_private else "read", folder


def _search_path() -> list[str]:
    """Return where a child searches for modules: like `python -m`, in the working folder too."""
    return [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path]


def _module_paths(module: str) -> list[Path]:
    """Return the folders of a module's package, or the module's file if it is in no package."""
    package = module.partition(".")[0]
    # Only Python's own search finds an editable installation.
    spec = PathFinder.find_spec(package, _search_path()) or importlib.util.find_spec(package)
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    return [Path(place).absolute() for place in places]
