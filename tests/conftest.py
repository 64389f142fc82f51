"""Fixtures for every test, and no deadlines: machines under test are busy."""

import hypothesis

# In this order: pytest must meet a module before another that it loads imports it.
pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.api", "tests.fixtures.batches", "tests.fixtures.audio"]

hypothesis.settings.register_profile("here", deadline=None)
hypothesis.settings.load_profile("here")
