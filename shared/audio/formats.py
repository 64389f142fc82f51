"""The audio formats: which file names are those of audio, and which formats stems can have.

Both lists stand here alone; API, worker, client and page take them from here. The client imports this module, so it
uses the standard library only. worker/audio_files/encode.py writes the files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from shared.errors import AudioUnsupportedError, RequestInvalidError

INPUT_BYTES_PER_SECOND: Mapping[str, int | None] = {
    # PCM, 16 bit stereo at 44.1 kHz
    **dict.fromkeys(("wav", "wave", "bwf", "w64", "rf64", "aif", "aiff", "aifc", "au", "snd", "caf", "voc"), 176_400),
    # lossless compression
    **dict.fromkeys(("flac", "alac", "ape", "wv", "tta", "tak", "shn"), 105_000),
    # lossy compression at its usual rate
    **dict.fromkeys(("mp3", "m4a", "mp4", "f4a"), 30_000),
    **dict.fromkeys(("aac", "mpc"), 24_000),
    **dict.fromkeys(("ogg", "oga", "weba", "wma", "mka"), 20_000),
    **dict.fromkeys(("mp1", "mp2", "mpa", "m1a", "m2a"), 32_000),
    "m4b": 10_000,
    "m4r": 30_000,
    "opus": 14_000,
    "spx": 3_000,
    "amr": 1_600,
    # rates that differ too much
    **dict.fromkeys(("dsf", "dff", "dts", "dtshd", "mlp", "thd", "ac3", "ec3", "eac3"), None),
    **dict.fromkeys(
        (
            "ra",
            "rm",
            "rmvb",
            "oma",
            "aa3",
            "qoa",
            "osq",
            "qcp",
            "vqf",
            "adts",
            "latm",
            "loas",
            "sox",
            "sf",
            "iff",
            "8svx",
        ),
        None,
    ),
    # video with sound; its size says little about its length
    **dict.fromkeys(
        ("webm", "mkv", "mk3d", "mov", "qt", "qta", "m4v", "avi", "divx", "flv", "f4v", "asf", "wmv", "ogv", "ogx"),
        None,
    ),
    **dict.fromkeys(("mpg", "mpeg", "vob", "ts", "mts", "m2t", "m2ts", "mxf", "gxf", "wtv", "dv"), None),
    **dict.fromkeys(("3gp", "3g2", "3ga", "nut"), None),
}
"""The extensions that count as audio, in lower case, and how many bytes a second of a song usually takes.

None: the size of such a file says too little about its length. These are the containers that the worker opens. Files
with other names may be audio too: names.py says which files of a catalog are taken.
"""

INPUT_EXTENSIONS = frozenset(INPUT_BYTES_PER_SECOND)

FormatName = Literal["wav", "flac", "mp3", "ogg", "opus", "m4a", "stem.mp4"]
"""The names in FORMATS, as a type."""


def extension_of(name: str) -> str:
    """Return the extension of a file's name or an object's key in lower case, without the dot."""
    return PurePosixPath(name).suffix.lower().removeprefix(".")


@dataclass(frozen=True)
class Format:
    """An output format. A lossy format has no `bit_depths`; a lossless one has no `bitrates_kbps` (lowest, default,
    highest). A format with both is lossy unless a job asks for a bit depth. No `sample_rates_hz` means any rate. The
    page shows `title`. `holds_stems`: one file holds the song and its stems (mixes.py)."""

    name: FormatName
    extension: str
    content_type: str
    title: str
    bit_depths: tuple[int, ...] = ()
    default_bit_depth: int | None = None
    bitrates_kbps: tuple[int, int, int] | None = None
    sample_rates_hz: tuple[int, ...] = ()
    channel_counts: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8)
    max_kbps_per_channel: int = 512
    holds_stems: bool = False


MPEG_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
# Above this, a FLAC frame stores its rate in tens of Hz, and libFLAC accepts no other rates.
MAX_ODD_FLAC_RATE_HZ = 65_535
AAC_RATES_HZ = (7_350, *MPEG_RATES_HZ, 64_000, 88_200, 96_000)

FORMATS: Mapping[str, Format] = {
    f.name: f
    for f in (
        Format(
            "wav",
            "wav",
            "audio/wav",
            "WAV, lossless, for any editor",
            bit_depths=(16, 24, 32),
            default_bit_depth=24,
        ),
        Format(
            "flac",
            "flac",
            "audio/flac",
            "FLAC, lossless and compact",
            bit_depths=(16, 24),
            default_bit_depth=24,
        ),
        Format(
            "mp3",
            "mp3",
            "audio/mpeg",
            "MP3, small, plays anywhere",
            bitrates_kbps=(32, 256, 320),
            sample_rates_hz=MPEG_RATES_HZ,
            channel_counts=(1, 2),
        ),
        Format("ogg", "ogg", "audio/ogg", "Ogg Vorbis, small", bitrates_kbps=(48, 224, 480)),
        Format(
            "opus",
            "opus",
            "audio/ogg",
            "Opus, smallest",
            bitrates_kbps=(16, 160, 510),
            sample_rates_hz=(48_000,),
            # ffmpeg's encoder swaps the channels of 5.0 and 6.1.
            channel_counts=(1, 2, 3, 4, 6, 8),
            max_kbps_per_channel=256,
        ),
        Format(
            "m4a",
            "m4a",
            "audio/mp4",
            "M4A (AAC), small",
            bitrates_kbps=(32, 256, 512),
            sample_rates_hz=AAC_RATES_HZ,
        ),
        Format(
            "stem.mp4",
            "stem.mp4",
            "audio/mp4",
            "Stem file for DJ programs",
            bit_depths=(16, 24),
            bitrates_kbps=(32, 256, 512),
            sample_rates_hz=(44_100, 48_000),
            channel_counts=(2,),
            holds_stems=True,
        ),
    )
}


def holds_stems(name: str) -> bool:
    """Return whether one file of this format holds the song and its stems. False for a format of a newer version."""
    return name in FORMATS and FORMATS[name].holds_stems


BIT_DEPTH_HELP = "For " + ", ".join(
    f"{f.name} ({', '.join(map(str, f.bit_depths))})" for f in FORMATS.values() if f.bit_depths
)
BITRATE_HELP = "For " + ", ".join(f.name for f in FORMATS.values() if f.bitrates_kbps)
"""Descriptions of the two options: the formats that have them."""


@dataclass(frozen=True)
class Encoding:
    """A format with its resolved options, and the sample rate and channels of the files."""

    format: Format
    sample_rate_hz: int
    channels: int
    bit_depth: int | None = None
    bitrate_kbps: int | None = None

    @property
    def holds_any_level(self) -> bool:
        """Return whether samples beyond full scale are kept: only floating-point files keep them."""
        return self.bit_depth == 32


def check_options(name: str, options: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return bit depth and bitrate in kbit/s (one of them None) for a format's name and options.

    Raises RequestInvalidError if the format or an option is unknown or out of range.
    """
    if name not in FORMATS:
        raise RequestInvalidError(f"The format {name!r} is unknown; choose from {', '.join(FORMATS)}.")
    wanted = FORMATS[name]
    known = {"bitrate_kbps": wanted.bitrates_kbps, "bit_depth": wanted.bit_depths}
    names = [option for option, values in known.items() if values]
    unknown = set(options) - {*names}
    if unknown:
        has = " or ".join(map(repr, names))
        raise RequestInvalidError(f"The format {name} has no option {sorted(unknown)[0]!r}; it has {has}.")
    if options.get("bit_depth") and options.get("bitrate_kbps"):
        raise RequestInvalidError(f"The format {name} has a bit depth (lossless) or a bitrate (lossy), not both.")
    if wanted.bitrates_kbps and not options.get("bit_depth"):
        lowest, default, highest = wanted.bitrates_kbps
        bitrate = options.get("bitrate_kbps") or default
        if not isinstance(bitrate, int) or not lowest <= bitrate <= highest:
            raise RequestInvalidError(f"The bitrate of {name} must be between {lowest} and {highest} kbit/s.")
        return None, bitrate
    depth = options.get("bit_depth") or wanted.default_bit_depth
    if depth not in wanted.bit_depths:
        raise RequestInvalidError(
            f"The bit depth of {name} must be one of {', '.join(str(d) for d in wanted.bit_depths)}."
        )
    return depth, None


def resolve(name: str, options: Mapping[str, Any], *, sample_rate_hz: int, channels: int) -> Encoding:
    """Return how stems are encoded: at the source's sample rate and channels if the format supports them.

    Raises RequestInvalidError as `check_options` does, AudioUnsupportedError if a lossless format lacks the rate.
    """
    depth, bitrate = check_options(name, options)
    wanted = FORMATS[name]
    rates = wanted.sample_rates_hz
    rate = sample_rate_hz
    if rates and rate not in rates:
        # The next higher rate keeps all frequencies; above the highest rate, use the highest.
        rate = min((r for r in rates if r >= rate), default=max(rates))
    if name == "flac" and rate > MAX_ODD_FLAC_RATE_HZ and rate % 10:
        raise AudioUnsupportedError(f"FLAC does not support {rate} Hz. Use WAV.")
    channels = max((n for n in wanted.channel_counts if n <= channels), default=min(wanted.channel_counts))
    if bitrate is not None:
        bitrate = min(bitrate, channels * wanted.max_kbps_per_channel)
    return Encoding(wanted, rate, channels, depth, bitrate)
