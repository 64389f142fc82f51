"""What API and worker agree on: the job and its life cycle, where things are stored, how they are set."""
