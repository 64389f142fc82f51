"""How a track is cut into tiles of 240 frames, and each tile into chunks of 60 frames. One thread does a chunk alone.

Tiles and chunks lie at fixed frames of the track, whatever range is asked for, so the stems are the same to the bit for
any range and any number of threads.
"""

from __future__ import annotations

from worker.engines.interface import AudioSource, FloatArray
from worker.engines.repetition.bank import CELL_FRAMES
from worker.engines.stft_frames import OVERLAP, FrameGrid, n_fft_near

FRAME_SECONDS = 0.093
"""Length of a frame: 4096 samples at 44.1 and 48 kHz. Longer frames separate tones better and smear consonants."""

CHUNK_FRAMES = 5 * CELL_FRAMES
"""Frames that one thread processes at a time."""

TILE_FRAMES = 4 * CHUNK_FRAMES
"""Frames that are yielded at a time (5.6 s at 44.1 kHz)."""

BANK_TILES = 52
"""Tiles in which the engine looks for repetitions (290 s at 44.1 kHz), which is most whole songs. Memory, and the
time for each second of audio, grow with it."""


class TrackTiles:
    """The tiles of one track. `count` is their number, `bank_tiles` the number of those that the bank holds at once."""

    def __init__(self, *, sample_rate_hz: int, n_samples: int) -> None:
        self.grid = FrameGrid(n_fft_near(FRAME_SECONDS, sample_rate_hz), n_samples)
        self.count = -(-self.grid.n_frames // TILE_FRAMES)
        self.bank_tiles = min(BANK_TILES, self.count)

    def tile_completing(self, sample: int) -> int:
        """Return the tile whose frames are the last to touch a sample."""
        return (sample // self.grid.hop_length + OVERLAP - 1) // TILE_FRAMES

    def first_sample(self, tile: int) -> int:
        """Return the first sample under a tile's frames; negative for the first tile."""
        return (tile * TILE_FRAMES - OVERLAP + 1) * self.grid.hop_length

    def first_bank_tile(self, tile: int) -> int:
        """Return where the bank begins that serves `tile`: half a bank before it, but not past the track's ends."""
        return min(max(tile - self.bank_tiles // 2, 0), self.count - self.bank_tiles)

    def read_chunks(self, source: AudioSource, tile: int, margin_frames: int = 0) -> list[FloatArray]:
        """Return the samples of each chunk of a tile, with a margin on both sides."""
        first, stop = tile * TILE_FRAMES - margin_frames, (tile + 1) * TILE_FRAMES + margin_frames
        y = self.grid.read_frames(source, first, stop)
        hop_length = self.grid.hop_length
        length = (CHUNK_FRAMES + 2 * margin_frames + OVERLAP - 1) * hop_length
        starts = range(0, TILE_FRAMES * hop_length, CHUNK_FRAMES * hop_length)
        return [y[:, start : start + length] for start in starts]


def chunk_starts(tile: int) -> range:
    """Return the first frame of each of a tile's chunks."""
    return range(tile * TILE_FRAMES, (tile + 1) * TILE_FRAMES, CHUNK_FRAMES)
