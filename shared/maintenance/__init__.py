"""Garbage collection, rebuilding of records, the admin command and health checks."""
