"""Nothing tells anybody anything: a whole job, from setting the models up, in a network that leads nowhere."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deploy.local.servers.seaweedfs import PORT_OFFSETS
from tests.fixtures.loops import prepared
from tests.fixtures.network import lonely_network
from tests.fixtures.ports import find_free
from tests.fixtures.sounds.audio import make_song, write_wav

pytestmark = pytest.mark.timeout(600)

# A session of ONNX Runtime alone, kept for a while: its reports go out in the background.
SESSION = """
import sys, time
{before}
import numpy, onnx, onnxruntime
from onnx import TensorProto, helper
value = lambda name: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1])
graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [value("x")], [value("y")])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
session.run(None, {{"x": numpy.ones(1, numpy.float32)}})
time.sleep(30)
"""


def run(
    folder: Path, command: list[str], **settings: str
) -> tuple[subprocess.CompletedProcess[str], list[Any], list[str]]:
    """Run a command alone; return it, whom it tried to reach, and what it left in the user's folders."""
    home = folder / "home"
    home.mkdir()
    environment = {
        **{name: os.environ[name] for name in ("PATH", "OPENBLAS_CORETYPE") if name in os.environ},
        "HOME": str(home),
        "XDG_CACHE_HOME": str(home / "cache"),
        "XDG_CONFIG_HOME": str(home / "config"),
        **settings,
    }
    alone = [sys.executable, lonely_network.__file__, str(folder / "report"), *command]
    done = subprocess.run(alone, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == lonely_network.NOT_ALLOWED:
        pytest.skip("this machine allows no network of one's own")
    left = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    return done, json.loads((folder / "report").read_text()), left


def test_onnx_runtime_left_alone_would_report(tmp_path: Path) -> None:
    """So the next tests can fail. Should it have ceased to, worker/__init__.py can forget about it."""
    _, reached, left = run(tmp_path, [sys.executable, "-c", SESSION.format(before="")])
    assert reached
    assert left


def test_onnx_runtime_after_any_module_of_ours_does_not(tmp_path: Path) -> None:
    done, reached, left = run(tmp_path, [sys.executable, "-c", SESSION.format(before="import worker.run_messages")])
    assert (done.returncode, reached, left) == (0, [], []), done.stderr


@pytest.fixture(scope="module", name="models")
def _models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the first job sets the models up."""
    return tmp_path_factory.mktemp("models")


@pytest.mark.parametrize("engine", ["unet", "repetition"])
def test_a_whole_job_reaches_nobody_and_leaves_nothing_in_the_users_folders(
    tmp_path: Path, models: Path, engine: str
) -> None:
    done, reached, left = run(
        tmp_path,
        [sys.executable, "-m", "deploy.local.one_song"],
        SONG=str(write_wav(tmp_path / "song.wav", make_song(3))),
        OUT=str(tmp_path / "out"),
        ENGINE=engine,
        FORMAT="mp3",
        STATE_FOLDER=str(tmp_path / "var"),
        SCRATCH_FOLDER=str(tmp_path / "scratch"),
        MODEL_FOLDER=str(models),
        # Compiling loops reaches nobody. The environment of a user's own would take half a minute for it.
        NUMBA_CACHE_DIR=str(prepared().loops),
        API_PORT=str(find_free()),
        VALKEY_PORT=str(find_free()),
        STORAGE_PORT=str(find_free(PORT_OFFSETS)),
    )
    log = (tmp_path / "var/log/stack.log").read_text()
    assert done.returncode == 0, done.stderr + log
    assert (tmp_path / "out/vocals.mp3").stat().st_size > 1000
    assert (reached, left) == ([], []), log
