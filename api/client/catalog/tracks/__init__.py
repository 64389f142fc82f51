"""Finds the tracks of a catalog: in a folder, a manifest, or below a bucket's prefix."""
