"""ffmpeg, and reading and writing audio files."""
