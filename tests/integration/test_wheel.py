"""The wheel: a plain install is the client alone, small and complete; the other commands name the extra they need."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MAX_INSTALLED_BYTES = 20_000_000
NO_REGISTRY = re.compile(
    "No module named pip|Retrying|connection error|ConnectionError|Could not fetch URL|name resolution", re.IGNORECASE
)
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a virtual environment that holds the wheel and what it depends on, nothing else."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("api", "worker", "shared", "deploy"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("node_modules", "__pycache__"))
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, source)
    (wheel,) = folder.glob("*.whl")
    _pip("--python", environment / "bin" / "python", "install", "--only-binary", ":all:", wheel)
    return environment


def _pip(*arguments: str | Path) -> None:
    command = [sys.executable, "-m", "pip", "--no-input", "--disable-pip-version-check", "--retries", "1", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode and NO_REGISTRY.search(done.stdout + done.stderr):
        pytest.skip(f"no pip, or no package registry can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr


def run(environment: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program, *arguments = command
    return subprocess.run(
        [environment / "bin" / program, *arguments], capture_output=True, text=True, check=False, cwd="/", env={}
    )


@pytest.mark.parametrize(
    "arguments", [["--version"], ["--help"], ["run", "--help"], ["catalog", "--help"], ["catalog", "run", "--help"]]
)
def test_a_plain_install_is_a_client_that_works(environment: Path, arguments: list[str]) -> None:
    done = run(environment, "stemqueue", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("stemqueue" if arguments == ["--version"] else "Usage: stemqueue") in done.stdout


def test_it_says_that_no_server_answers(environment: Path) -> None:
    done = run(environment, "stemqueue", "--url", "http://127.0.0.1:9", "list")
    assert done.returncode == 4, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("command", "extra"), [("stemqueue-separate", "worker"), ("stemqueue-admin", "api"), ("stemqueue-models", "models")]
)
def test_the_other_commands_name_the_extra_that_they_need(environment: Path, command: str, extra: str) -> None:
    done = run(environment, command, "--help")
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert f"pip install 'stemqueue[{extra}]'" in done.stderr


def test_a_plain_install_is_small(environment: Path) -> None:
    (packages,) = environment.glob("lib/python*/site-packages")
    size = sum(path.stat().st_size for path in packages.rglob("*") if path.is_file())
    assert size <= MAX_INSTALLED_BYTES, f"{size:,} bytes"


def names(requirements: Iterator[str] | list[str]) -> set[str]:
    """Return the packages' names, with those of our own extras in their place."""
    found: set[str] = set()
    for requirement in requirements:
        if own := re.fullmatch(r"stemqueue\[([\w,]+)\]", requirement):
            for extra in own[1].split(","):
                found |= names(PROJECT["optional-dependencies"][extra])
        elif requirement:
            found.add(re.split(r"[\[<>=!~ ]", requirement, maxsplit=1)[0].lower())
    return found


def locked(name: str) -> set[str]:
    """Return the packages that one of requirements/*.in names."""
    lines = [line.partition("#")[0].strip() for line in (ROOT / "requirements" / f"{name}.in").read_text().splitlines()]
    others = [locked(line.removeprefix("-r ").removesuffix(".in")) for line in lines if line.startswith("-r ")]
    return names([line for line in lines if not line.startswith("-r ")]).union(*others)


@pytest.mark.parametrize(("lock", "extra"), [("api", "api"), ("worker", "worker"), ("stack", "embedded")])
def test_an_extra_brings_what_the_image_is_locked_to(lock: str, extra: str) -> None:
    client = names(PROJECT["dependencies"])
    assert client | names(PROJECT["optional-dependencies"][extra]) >= locked(lock) - {"setuptools"}
    if lock != "worker":  # its image has no client
        assert client <= locked(lock)
