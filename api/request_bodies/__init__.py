"""Reads request bodies as they arrive and refuses what is not audio."""
