"""Takes jobs in over HTTP and tells how they stand. Knows nothing of signal processing."""
