"""A loaded HT-Demucs: from the samples of a segment to those of its stems.

The graph takes waveform and spectrum, each less its mean and divided by its deviation, and gives both for every stem.
A stem is the sum of its waveform and the samples of its spectrum.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from worker.engines.errors import EngineUnavailableError
from worker.engines.htdemucs.spectrum import CHANNELS, SegmentSpectrum
from worker.engines.interface import FloatArray, Progress
from worker.engines.segments.graph_files import Graph, open_graph

TINY_DEVIATION = 1e-5
"""Added to deviations, as in the reference."""


class HTDemucsNetwork:
    """The networks of a model: one for all stems, or one for each stem.

    Several networks are loaded one after another for each segment, so that memory holds only one.

    Parameters
    ----------
    paths
        The graphs. The stems come in their order.
    segment_samples
        The length of a segment.
    threads
        How many threads run a graph.
    """

    def __init__(self, paths: Sequence[Path], segment_samples: int, threads: int) -> None:
        self._paths = paths
        self._versions = [_version_of(path) for path in paths]
        self._threads = threads
        self._spectrum = SegmentSpectrum(segment_samples)
        self._only_graph = open_graph(paths[0], threads) if len(paths) == 1 else None

    def separate_segment(self, y: FloatArray, progress: Progress) -> FloatArray:
        """Return the stems of a segment, shape (n_stems, 2, segment_samples); see `SegmentNetwork`."""
        waveform, waveform_scale, waveform_shift = _normalised(y.T)
        spectrum, spectrum_scale, spectrum_shift = _normalised(self._spectrum.analyse(y))
        parts = []
        for number in range(len(self._paths)):

            def tell(fraction: float, done: int = number) -> None:
                progress((done + fraction) / len(self._paths))

            graph = self._only_graph or self._load(number)
            spectra, waveforms = graph.run({"spectrum": spectrum, "waveform": waveform}, tell)
            stems = self._spectrum.synthesise(spectra, spectrum_scale, spectrum_shift)
            del graph, spectra
            waveforms *= np.float32(waveform_scale)
            waveforms += np.float32(waveform_shift)
            stems += waveforms.T.reshape(-1, CHANNELS, stems.shape[2])
            parts.append(stems)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _load(self, number: int) -> Graph:
        """Load a graph again. Raises EngineUnavailableError if it is no longer the one that the song began with."""
        path = self._paths[number]
        if _version_of(path) != self._versions[number]:
            raise EngineUnavailableError("The model was changed or removed while this song was being separated.")
        return open_graph(path, self._threads)


def _version_of(path: Path) -> tuple[int, int] | None:
    """Return what identifies the file behind a path; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns


def _normalised(values: FloatArray) -> tuple[FloatArray, float, float]:
    """Return the values less their mean and divided by their deviation, and what undoes this: a factor and a term."""
    mean = float(values.mean(dtype=np.float64))
    deviation = float(values.std(dtype=np.float64, ddof=1)) + TINY_DEVIATION
    normalised = np.ascontiguousarray((values - np.float32(mean)) / np.float32(deviation), np.float32)
    # The reference multiplies with the deviation alone.
    return normalised, deviation - TINY_DEVIATION, mean
