"""Separates a segment with any number of channels by a network that takes a fixed number."""

from __future__ import annotations

import numpy as np

from worker.engines.interface import FloatArray, Progress
from worker.engines.segments.family import Feed, SegmentNetwork


def separate_channels(
    network: SegmentNetwork,
    y: FloatArray,
    *,
    inside: slice,
    width: int,
    n_stems: int,
    feed: Feed,
    progress: Progress,
) -> FloatArray:
    """Return the estimated stems of a segment.

    Groups of neighbouring channels are separated one after another. An incomplete group repeats its last channel, and
    the mean of what comes out for the copies is taken. So mono is stereo with two equal sides. A group that is silent
    has silent stems, whatever the network would make of it.

    Parameters
    ----------
    network
        The loaded network.
    y : ndarray, shape (channels, n), float32
        The segment of the song, at the song's level.
    inside
        The samples that lie inside the song. The others stay 0 for the network, whatever the feed's offset.
    width
        How many channels the network takes.
    n_stems
        How many stems it returns.
    feed
        The level at which it is fed.
    progress
        Is called with the fraction that is done.

    Returns
    -------
    ndarray, shape (n_stems, channels, n), float32
        The stems at the song's level.
    """
    stems = np.zeros((n_stems, *y.shape), np.float32)
    starts = range(0, len(y), width)
    for number, first in enumerate(starts):
        group = y[first : first + width]
        if group.any():

            def tell(fraction: float, number: int = number) -> None:
                progress((number + fraction) / len(starts))

            present = len(group)
            fed = np.concatenate([group, *[group[-1:]] * (width - present)]) if present < width else group
            level = np.zeros_like(fed)
            level[:, inside] = (fed[:, inside] - np.float32(feed.offset)) * np.float32(feed.gain)
            out = network.separate_segment(level, tell)
            part = stems[:, first : first + present]
            part[:, : present - 1] = out[:, : present - 1]
            part[:, present - 1] = out[:, present - 1 :].mean(axis=1)
            part *= np.float32(1 / feed.gain)
        progress((number + 1) / len(starts))
    return stems
