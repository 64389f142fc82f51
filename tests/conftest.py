"""Fixtures for every test."""

pytest_plugins = ["tests.fixtures.audio", "tests.fixtures.servers"]
