"""Decides who may call the API, from where, and how often."""
