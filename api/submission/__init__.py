"""Turns an accepted request into a job or a batch."""
