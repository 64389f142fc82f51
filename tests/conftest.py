"""Fixtures for every test."""

# Found through `pythonpath = ["tests"]`: in importlib mode, and with `-I`, nothing else of a test's folder is.
pytest_plugins = ["fixtures.servers"]
