"""The settings by the part that they configure; shared/settings.py puts them together."""
