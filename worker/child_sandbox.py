"""What a child may do, and the environment that it gets: enough for numpy, networks, pictures and ffmpeg, and no more.

A child parses what ffmpeg made of a stranger's file, in large libraries. It reads the system, Python and the models,
writes into its own folder and those of jobs, and reaches no network and no process but those that it started.
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

from worker import ffmpeg
from worker.sandbox.launch import LOADER_FILES, SYSTEM_FOLDERS, Sandbox

INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "OPENBLAS_CORETYPE")
"""The only variables of the worker's environment that a child sees."""

READ = (
    "/etc/localtime",
    "/etc/fonts",
    # hashlib's OpenSSL gives up if it may not read them.
    *("/etc/ssl/openssl.cnf", "/etc/pki/tls/openssl.cnf", "/etc/crypto-policies"),
    # Of other processes the kernel shows here only what any user may see: it keeps a confined process from the rest.
    "/proc",
    *("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)
WRITE = (
    "/dev/null",
    # Has the kernel forget the highest memory (memory.py).
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
    """Return the sandbox of a child whose own folder is `home`; `readable` are paths beside the usual ones."""
    work = [home, *([jobs_folder] if jobs_folder else [])]
    read = [*LOADER_FILES, *map(Path, READ), *([model_folder] if model_folder else []), *readable]
    program = Path(ffmpeg_path or ffmpeg.bundled_ffmpeg()).resolve()
    return Sandbox(
        allowed=[
            *(("run", folder) for folder in (*SYSTEM_FOLDERS, program.parent)),
            *_python(),
            *(("read", place) for name in ("worker", "shared", *extra_engines) for place in _places(name)),
            *(("read", path.absolute()) for path in read),
            *(("write", Path(path)) for path in WRITE),
            *(("work", folder.absolute()) for folder in work),
        ]
    )


def child_environment(*, threads: int, home: Path) -> dict[str, str]:
    """Return the environment of a child: no credentials, its share of threads, and its own folder for what it keeps."""
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
    """What set-up has made ready for this machine beside models: numba's compiled loops and matplotlib's font list.

    Without it each child takes some 20 s to compile, and 1.5 s to look for fonts.
    """

    loops: Path
    fonts: Path

    @classmethod
    def beside(cls, model_folder: Path) -> Prepared:
        """Return where it lies: with the models, unless the packages' own variables name other places."""
        folder = model_folder.resolve()
        loops, fonts = os.environ.get("NUMBA_CACHE_DIR"), os.environ.get("MPLCONFIGDIR")
        return cls(Path(loops or folder / "numba"), Path(fonts or folder / "matplotlib"))

    def environment(self) -> dict[str, str]:
        """Return the variables by which the two packages find it; to be set before either is imported."""
        return {"NUMBA_CACHE_DIR": str(self.loops), "MPLCONFIGDIR": str(self.fonts)}

    def copy_to(self, home: Path) -> None:
        """Give a child its own copy.

        numba must be able to write to its cache, and runs what it reads there. A child with the cache of all could
        leave something for the next set-up to run, which knows the credentials.
        """
        (home / "numba").mkdir(parents=True, exist_ok=True)
        # What cannot be copied is made again.
        with contextlib.suppress(OSError, shutil.Error):
            shutil.copytree(self.loops, home / "numba", dirs_exist_ok=True)
        for fonts in self.fonts.glob("fontlist-*.json"):
            with contextlib.suppress(OSError):
                shutil.copy(fonts, home)


def _python() -> Iterator[tuple[str, Path]]:
    """Yield what this interpreter needs of itself and of the folders in which it finds modules."""
    libraries = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    own = (sys.prefix, sys.base_prefix, str(Path(sys.executable).resolve().parent))
    for name in (*own, *filter(None, libraries)):
        yield "run", Path(name).absolute()
    private = [Path.cwd(), Path(os.environ.get("HOME", "/"))]
    for entry in _search_path():
        folder = Path(entry).absolute()
        # A clone holds its servers' keys too, a home anything: there Python may look for names, and read what
        # `_places` tells.
        is_private = any(path.is_relative_to(folder) for path in private)
        yield "list" if is_private else "read", folder


def _search_path() -> list[str]:
    """Return where a child looks for modules: as `python -m` does, in the working folder too."""
    return [str(Path.cwd()), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep)), *sys.path]


def _places(module: str) -> list[Path]:
    """Return where the package that holds a module lies, or the file of a module outside of packages."""
    package = module.partition(".")[0]
    # Of an editable installation only Python's own search knows.
    spec = PathFinder.find_spec(package, _search_path()) or importlib.util.find_spec(package)
    if spec is None:
        return []
    places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    return [Path(place).absolute() for place in places]
