"""Code that both the API and the worker use: jobs, batches, queues, storage and settings."""
