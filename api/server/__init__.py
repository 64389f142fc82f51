"""The settings of gunicorn and the extensions of its worker; gunicorn loads this package by name."""
