"""Tempo, beats and key of a song, from what its stems show."""
