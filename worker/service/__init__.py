"""The worker process: its parts, its background threads and its scratch folder."""
