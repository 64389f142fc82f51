"""Fixtures for every test."""

pytest_plugins = ["tests.fixtures.api", "tests.fixtures.audio", "tests.fixtures.servers"]
