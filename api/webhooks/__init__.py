"""Tells clients' servers about the ends of jobs and batches."""
