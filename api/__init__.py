"""The HTTP service: accepts jobs and batches, reports their state, serves their results. Separates nothing itself."""
