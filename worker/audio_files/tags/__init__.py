"""The tags and pictures of a song: read from the source, written into the stems."""
