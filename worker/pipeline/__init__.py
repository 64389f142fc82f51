"""What happens to a song, in order."""
