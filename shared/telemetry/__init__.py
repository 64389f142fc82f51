"""Traces and error reports for an operator's own servers. Off unless a setting names such a server."""
