"""Fixtures for every test, and no deadlines: machines under test are busy."""

import os

import hypothesis

# Tests import ONNX Runtime by themselves too; see worker/__init__.py.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

# In this order: pytest must meet a module before another that it loads imports it.
pytest_plugins = [
    "tests.fixtures.servers",
    "tests.fixtures.api",
    "tests.fixtures.batches",
    "tests.fixtures.audio",
    "tests.fixtures.web_site",
]

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")
