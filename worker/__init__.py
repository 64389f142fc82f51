"""Takes jobs off the queue, separates their songs, stores the stems. Knows nothing of HTTP."""
