"""What all networks share that separate a song in segments: everything except the network itself.

A family (`worker.engines.mdx` is one) says how long its segments are and how one segment becomes the stems of that
segment. `segments` cuts the song, resamples, groups channels, sets the level, adds up what overlaps, computes the
remainder and reports progress.
"""

from worker.engines.segments.engine import SegmentEngine, create_engine, describe_model

__all__ = ["SegmentEngine", "create_engine", "describe_model"]
