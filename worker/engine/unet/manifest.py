"""The manifest: what a model folder says of the network in it, and the check that its files are whole.

Owns the format of `manifest.json`. It describes any network that masks a spectrogram; nothing here knows
which one it is. Owns no inference and no set-up.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from worker.engine.errors import EngineUnavailableError

MANIFEST_NAME = "manifest.json"
MANIFEST_FORMAT = 1
"""Raised when a field changes its meaning: an older folder is then refused and set up again."""


@dataclass(frozen=True)
class Manifest:
    """A network that turns magnitudes into masks, and how to feed it.

    The network takes `magnitudes`, float32 of shape (1, channels, segment_frames, bins), from an STFT with a
    periodic Hann window of `n_fft` samples at `sample_rate_hz` up to `highest_rate_hz`; it gives `masks`,
    0 to 1, of shape (masked stems, channels, segment_frames, bins). The masked stems are `stems` without
    `remainder`, which is the mixture less the others. Above `bins` the mask fades out towards
    `taper_end_hz`.

    `files` maps file names to their SHA-256; `networks` maps runtimes (`onnxruntime`, `openvino`) to the file
    that each loads. `built_for` names the machine that the files were optimised on, `origin` where the
    weights come from. `scores` are medians in dB; `real_time_factor` was measured at set-up.
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
    segment_frames: int
    overlap_frames: int
    taper_end_hz: float
    stems: tuple[str, ...]
    remainder: str | None
    networks: Mapping[str, str]
    files: Mapping[str, str]
    scores: Mapping[str, float] = field(default_factory=dict)
    real_time_factor: float | None = None
    origin: Mapping[str, str] = field(default_factory=dict)
    built_for: Mapping[str, str] = field(default_factory=dict)

    @property
    def masked_stems(self) -> tuple[str, ...]:
        """The stems that have a mask of their own, in the network's order."""
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
    manifest tells."""
    for name, digest in manifest.files.items():
        if Path(name).name != name:
            raise EngineUnavailableError(f"The manifest in {folder} names a file outside its folder.")
        try:
            found = sha256_of(folder / name)
        except OSError as error:
            raise EngineUnavailableError(f"The model in {folder} lacks {name}; set it up again.") from error
        if found != digest:
            raise EngineUnavailableError(f"{name} in {folder} is damaged; remove the folder and set it up again.")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal. Raises OSError when it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _from_document(document: dict[str, Any], folder: Path) -> Manifest:
    known = {item.name for item in fields(Manifest)}
    try:
        values = {name: document[name] for name in document if name in known}
        values["stems"] = tuple(values["stems"])
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
        raise ValueError("hop_length must divide n_fft at least four times")
    if not 1 <= manifest.bins <= manifest.n_fft // 2 + 1:
        raise ValueError("bins must lie within the spectrum")
    if not 0 < manifest.overlap_frames <= manifest.segment_frames // 2:
        raise ValueError("segments must overlap, by half at most")
    if manifest.remainder is not None and manifest.remainder not in manifest.stems:
        raise ValueError("the remainder must be one of the stems")
    if not manifest.masked_stems or manifest.channels < 1:
        raise ValueError("at least one stem and one channel must be masked")
    if not set(manifest.networks.values()) <= set(manifest.files):
        raise ValueError("every network must be one of the files")
