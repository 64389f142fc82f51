"""What songs and stems are called: formats, names of files, mixes, tempo and key in words."""
