"""Thread pool, workspace, clocks and memory of one run."""
