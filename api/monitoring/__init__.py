"""Readiness, metrics and the request log."""
