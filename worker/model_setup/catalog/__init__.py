"""Adds, checks and removes models: the command `stemqueue-models`. Begin with command.py."""
