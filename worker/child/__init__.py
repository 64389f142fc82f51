"""The confined child process in which songs are separated."""
