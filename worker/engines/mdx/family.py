"""The family `mdx`: how a segment becomes the stem that an MDX-Net estimates.

`settings` of the manifest are `n_fft`, `hop_length`, `dim_f` (bins), `dim_t` (frames) and `compensate`, by which the
estimated stem is multiplied before the remainder is computed. `overlap` may be among them, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from worker.engines.interface import FloatArray, Progress
from worker.engines.level import SongLevel, gain_to_peak
from worker.engines.mdx.spectrum import LOWEST_BIN, ChunkSpectrum
from worker.engines.segments.family import Feed
from worker.engines.segments.graph_files import Graph, open_graph
from worker.engines.segments.grid import SegmentGrid, hann_weights
from worker.engines.segments.manifest import SegmentManifest

OVERLAP = 0.25
"""The part of a chunk that the next one begins before its end, as in the networks' own tools. With 0.05 a song takes
four fifths of the time, and chunks join within a quarter of a second."""

LEAST_OVERLAP, MOST_OVERLAP = 0.02, 0.9

PEAK = 0.9
"""The networks' tools feed songs with this peak."""

MAX_N_FFT = 1 << 15
MAX_FRAMES = 4096
MAX_COMPENSATE = 2.0


class MdxFamily:
    """What `worker.engines.segments` asks of a family."""

    name = "mdx"

    def check_settings(self, manifest: SegmentManifest) -> None:
        """Raise ValueError, KeyError or TypeError if the settings are not those of an MDX-Net."""
        check_parameters(manifest.settings)
        if len(manifest.estimated_stems) != 1 or manifest.remainder is None:
            raise ValueError("an MDX-Net estimates one stem, and the other is the remainder")
        if len(manifest.networks) != 1 or manifest.channels != 2:
            raise ValueError("an MDX-Net is one network for two channels")

    def grid(self, manifest: SegmentManifest) -> SegmentGrid:
        """Return chunks that begin where those of the networks' own tools begin.

        Half a frame is cut at both ends, since the frames there see a reflection instead of music.
        """
        settings = manifest.settings
        chunk, margin = settings["hop_length"] * (settings["dim_t"] - 1), settings["n_fft"] // 2
        window = hann_weights(chunk - 2 * margin)
        return SegmentGrid(chunk, min(len(window), int((1 - settings.get("overlap", OVERLAP)) * chunk)), window, margin)

    def feed(self, level: SongLevel) -> Feed:
        """Return the feed for a song: its peak becomes that of the networks' tools."""
        return Feed(gain=gain_to_peak(level, PEAK))

    def load(self, folder: Path, manifest: SegmentManifest, threads: int) -> MdxNetwork:
        """Load the network. Raises EngineUnavailableError."""
        return MdxNetwork(open_graph(folder / manifest.networks[0], threads), manifest)


FAMILY = MdxFamily()


class MdxNetwork:
    """A loaded MDX-Net."""

    def __init__(self, graph: Graph, manifest: SegmentManifest) -> None:
        settings = manifest.settings
        self._graph = graph
        self._spectrum = ChunkSpectrum(settings["n_fft"], settings["hop_length"], settings["dim_f"], settings["dim_t"])
        self._compensate = np.float32(settings["compensate"])

    def separate_segment(self, y: FloatArray, progress: Progress) -> FloatArray:
        """Return the estimated stem of a chunk, shape (1, 2, samples); see `SegmentNetwork`."""
        (D,) = self._graph.run({"input": self._spectrum.analyse(y)}, progress)
        stem = self._spectrum.synthesise(D)
        stem *= self._compensate
        return stem[None]


def check_parameters(parameters: object) -> None:
    """Raise ValueError or TypeError, with a reason, unless these are possible parameters of an MDX-Net."""
    if not isinstance(parameters, dict):
        raise TypeError("the parameters must be a JSON object")
    for name in ("n_fft", "hop_length", "dim_f", "dim_t"):
        if not isinstance(parameters.get(name), int) or isinstance(parameters[name], bool):
            raise TypeError(f"{name} must be a whole number")
    n_fft, hop_length, dim_f, dim_t = (parameters[name] for name in ("n_fft", "hop_length", "dim_f", "dim_t"))
    if not 16 <= n_fft <= MAX_N_FFT or n_fft % 2:
        raise ValueError(f"n_fft must be an even number from 16 to {MAX_N_FFT}")
    if not 1 <= hop_length <= n_fft // 2:
        raise ValueError("hop_length must be from 1 to n_fft / 2")
    if not LOWEST_BIN < dim_f <= n_fft // 2 + 1:
        raise ValueError(f"dim_f must be from {LOWEST_BIN + 1} to n_fft / 2 + 1")
    if not 2 <= dim_t <= MAX_FRAMES or hop_length * (dim_t - 1) <= n_fft:
        raise ValueError(f"dim_t must be at most {MAX_FRAMES}, and a chunk must be longer than n_fft")
    overlap = parameters.get("overlap", OVERLAP)
    if isinstance(overlap, bool) or not isinstance(overlap, float) or not LEAST_OVERLAP <= overlap <= MOST_OVERLAP:
        raise ValueError(f"overlap must be a number from {LEAST_OVERLAP:g} to {MOST_OVERLAP:g}")
    compensate = parameters.get("compensate")
    if isinstance(compensate, bool) or not isinstance(compensate, int | float):
        raise TypeError("compensate must be a number")
    if not 0 < compensate <= MAX_COMPENSATE:  # also true for NaN, and right for whole numbers beyond any float
        raise ValueError(f"compensate must be above 0 and at most {MAX_COMPENSATE:g}")
