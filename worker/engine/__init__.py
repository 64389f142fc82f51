"""Separation on plain arrays: no files, no queue, no network."""
