"""Runs the whole stack on one machine without Docker: Valkey, SeaweedFS, API and worker under one supervisor."""
