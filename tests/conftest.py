"""Fixtures for every test, and no deadlines: machines under test are busy."""

import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import hypothesis
import pytest
from xdist.scheduler import LoadFileScheduling

# Tests import ONNX Runtime by themselves too; see worker/__init__.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# Compiling the engines' loops takes some 20 s of a processor: once, for all tests and for what they start.
os.environ["NUMBA_CACHE_DIR"] = str(Path(sys.prefix) / "prepared" / "numba")

# A shell starts what runs in its background with Ctrl-C ignored, and what tests start and interrupt would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# In this order: pytest must meet a module before another that it loads imports it.
pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.api",
    "tests.fixtures.batches",
    "tests.fixtures.sounds.audio",
    "tests.fixtures.network.web_site",
]

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")

KINDS = ("fault", "browser", "end_to_end", "integration/worker")
"""Folders whose files take long, each in a way of its own: waiting, drawing, starting processes, computing."""

LONG_SHARE = 0.8
"""The part of a run in which the files of these folders begin. Then the last ones do not run alone at its end."""

TOGETHER = ("tests/browser/test_[a-k]", "tests/browser/test_[l-z]", "tests/end_to_end/test_catalog")
"""Files that xdist gives to one of its processes, since each process starts a stack and a browser for them. Those of
the page are too many for one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order whole files as `places_of` says: xdist hands them out in this order."""
    places = places_of(dict.fromkeys(item.path for item in items))
    items.sort(key=lambda item: places[item.path])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadFileScheduling | None:
    """Hand out whole files, as `--dist loadfile` asks, and some of them together."""
    return ByFile(config, log) if config.getoption("dist") == "loadfile" else None


class ByFile(LoadFileScheduling):
    """Keeps the tests of a file in one process, and those of the files that TOGETHER names."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)


def scope_of(nodeid: str) -> str:
    """Return what xdist keeps in one process: a test's file, or several files."""
    return next((start for start in TOGETHER if re.match(start, nodeid)), nodeid.partition("::")[0])


def places_of(paths: Iterable[Path]) -> dict[Path, float]:
    """Return the place of each file in a run from 0 to 1, with the files of each kind spread over it.

    Four browsers at once take longer than their tests wait, and four fault tests leave the processors idle.
    """
    kinds = {path: _kind_of(path) for path in paths}
    totals, before = Counter(kinds.values()), Counter[str]()
    places = {}
    for path, kind in kinds.items():
        places[path] = (LONG_SHARE if kind else 1.0) * (before[kind] + 0.5) / totals[kind]
        before[kind] += 1
    return places


def _kind_of(path: Path) -> str:
    below = path.relative_to(Path(__file__).parent).as_posix()
    return next((kind for kind in KINDS if below.startswith(f"{kind}/")), "")
