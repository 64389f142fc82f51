"""Fixtures for every test."""

# In this order: pytest must meet a module before another that it loads imports it.
pytest_plugins = ["tests.fixtures.servers", "tests.fixtures.api", "tests.fixtures.batches", "tests.fixtures.audio"]
