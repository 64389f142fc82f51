"""Reads request bodies as they arrive and refuses files that are not audio."""
