"""Batches: their model, records, items and actions."""
