"""Notifies clients' servers when jobs and batches end."""
