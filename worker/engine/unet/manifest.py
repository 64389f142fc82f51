"""The manifest: what a model folder says of the network in it, and the check that its files are whole.

Owns the format of `manifest.json`. It describes any network that masks a spectrogram; nothing here knows
which one it is. Owns no inference and no set-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from worker.engine.errors import EngineUnavailableError

MANIFEST_NAME = "manifest.json"
MASK_EXPONENTS = (1.0, 1.5, 2.0)
"""The shares that masks can be made of: of magnitudes, of power, and the one between."""

MANIFEST_FORMAT = 1
"""Raised when a field changes its meaning: an older folder is then refused and set up again."""

DIGESTS_KEPT = 64
"""Files whose digest a process remembers: those of some models."""


@dataclass(frozen=True)
class Manifest:
    """A set of networks that tell each stem's share of a spectrogram, and how to feed them.

    There is one network for each of `stems`. It takes `magnitudes`, float32 of shape (1, channels,
    chunk_frames, bins), from an STFT with a periodic Hann window of `n_fft` samples at `sample_rate_hz`
    up to `highest_rate_hz`, chunk by chunk, and gives `gains` of the same shape, 0 to 1: the stem's
    magnitudes over the mixture's, for the frames `delay_frames` before. What it keeps from chunk to chunk
    are its states: any further input x, which the output next_x replaces. `initial_states` names the file
    with their values after silence. From chunks further back than `settling_frames` the gains take
    nothing.

    A stem's mask is its share of all stems' magnitudes to the power of `mask_exponent` (2 is the share of the power, as
    in Spleeter), but by the part `mask_own_gain` the gain that its own network gives. Above `bins` it fades out towards
    `taper_end_hz`. The stem `remainder`, if any, is the mixture less the others instead.

    `files` maps file names to their SHA-256; `networks` are those of the stems, in order, for the package
    `runtime`, which computes in `precision`. `built_for` names the machine that the files were made for, `origin` where
    the weights come from. `scores` are medians in dB; `real_time_factor` was measured at set-up.
    """

    name: str
    version: str
    title: str
    summary: str
    licence: str
    sample_rate_hz: int
    highest_rate_hz: int
    channels: int
    n_fft: int
    hop_length: int
    bins: int
    chunk_frames: int
    delay_frames: int
    settling_frames: int
    taper_end_hz: float
    stems: tuple[str, ...]
    remainder: str | None
    runtime: str
    networks: tuple[str, ...]
    initial_states: str
    files: Mapping[str, str]
    mask_exponent: float = 2.0
    mask_own_gain: float = 0.0
    precision: str = "float32"
    scores: Mapping[str, float] = field(default_factory=dict)
    real_time_factor: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    built_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def masked_stems(self) -> tuple[str, ...]:
        """The stems that are masked, in their order."""
        return tuple(stem for stem in self.stems if stem != self.remainder)


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest of a model folder, its files unread.

    Raises EngineUnavailableError when there is none, or when it is of another format.
    """
    path = folder / MANIFEST_NAME
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EngineUnavailableError(f"No model is set up in {folder}.") from error
    if not isinstance(document, dict) or document.pop("format", None) != MANIFEST_FORMAT:
        raise EngineUnavailableError(f"The model in {folder} was set up by another version; set it up again.")
    return _from_document(document, folder)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into a model folder."""
    text = json.dumps({"format": MANIFEST_FORMAT, **asdict(manifest)}, indent=2)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Raise EngineUnavailableError unless every file of the model is there with the digest that the
    manifest tells.

    What has not changed since this process read it is not read again: that would be 40 ms a track.
    """
    for name, digest in manifest.files.items():
        if Path(name).name != name:
            raise EngineUnavailableError(f"The manifest in {folder} names a file outside its folder.")
        try:
            found = _digest_of(folder / name)
        except OSError as error:
            raise EngineUnavailableError(f"The model in {folder} lacks {name}; set it up again.") from error
        if found != digest:
            raise EngineUnavailableError(f"{name} in {folder} is damaged; remove the folder and set it up again.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of(path: Path) -> str:
    found = path.stat()
    return _digest_of_state(path, (found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))


@lru_cache(DIGESTS_KEPT)
def _digest_of_state(path: Path, _state: tuple[int, ...]) -> str:
    return sha256_of(path)


def _from_document(document: dict[str, Any], folder: Path) -> Manifest:
    known = {item.name for item in fields(Manifest)}
    try:
        values = {name: document[name] for name in document if name in known}
        values["stems"] = tuple(values["stems"])
        values["networks"] = tuple(values["networks"])
        manifest = Manifest(**values)
        _check(manifest)
    except (KeyError, TypeError, ValueError) as error:
        raise EngineUnavailableError(
            f"The manifest in {folder} cannot be understood; set the model up again."
        ) from error
    return manifest


def _check(manifest: Manifest) -> None:
    if manifest.n_fft % manifest.hop_length or manifest.n_fft < 4 * manifest.hop_length:
        # A squared Hann window only adds up to a constant at these hops.
        raise ValueError("hop_length must divide n_fft, at least four times")
    if not 1 <= manifest.bins <= manifest.n_fft // 2 + 1:
        raise ValueError("bins must lie within the spectrum")
    if manifest.delay_frames % manifest.chunk_frames or manifest.chunk_frames < 1:
        raise ValueError("networks must lag behind by whole chunks")
    if manifest.remainder is not None and manifest.remainder not in manifest.stems:
        raise ValueError("the remainder must be one of the stems")
    if manifest.mask_exponent not in MASK_EXPONENTS or not 0 <= manifest.mask_own_gain <= 1:
        raise ValueError("mask_exponent must be one that is known, and mask_own_gain a part of 1")
    if manifest.mask_own_gain and manifest.remainder is None:
        # Shares sum to 1, gains need not: what is missing must go somewhere.
        raise ValueError("only with a remainder may masks follow a network's own gain")
    if not manifest.masked_stems or manifest.channels < 1:
        raise ValueError("at least one stem and one channel must be masked")
    if len(manifest.networks) != len(manifest.stems):
        raise ValueError("every stem must have a network")
    if not {*manifest.networks, manifest.initial_states} <= set(manifest.files):
        raise ValueError("networks and states must be among the files")
