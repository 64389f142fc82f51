"""The arguments of an HT-Demucs network, as its file gives them, checked before anything is built from them.

The names are those of the reference implementation (`demucs.htdemucs.HTDemucs`). Arguments that change only the
training are ignored, as are names that the reference does not know either: the reference ignores them too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from worker.model_setup.errors import CheckpointError

SAMPLE_RATE_HZ = 44_100
AUDIO_CHANNELS = 2
N_FFT = 4096
HOP_LENGTH = N_FFT // 4
BINS = N_FFT // 2
KERNEL, STRIDE = 8, 4
"""Every strided convolution has this kernel and this stride."""

GROWTH = 2
"""Each layer has this many times the channels of the layer before it."""

_FIXED: Mapping[str, tuple[Any, ...]] = {
    "audio_channels": (AUDIO_CHANNELS,),
    "channels_time": (None,),
    "growth": (GROWTH,),
    "nfft": (N_FFT,),
    "cac": (True,),
    "rewrite": (True,),
    "multi_freqs": (None, [], ()),
    "kernel_size": (KERNEL,),
    "stride": (STRIDE,),
    "context": (1,),
    "context_enc": (0,),
    "t_emb": ("sin",),
    "t_norm_in": (True,),
    "t_group_norm": (False,),
    "t_norm_first": (True,),
    "t_norm_out": (True,),
    "t_layer_scale": (True,),
    "t_gelu": (True,),
    "t_sin_random_shift": (0,),
    "t_sparse_self_attn": (False,),
    "t_sparse_cross_attn": (False,),
    "samplerate": (SAMPLE_RATE_HZ,),
    "use_train_segment": (True,),
}
"""Arguments that the graph takes for granted, with the values that are accepted. The first is the reference's own
default, except for `channels_time` and `multi_freqs`, whose values mean the same."""

_STEM = re.compile(r"[a-z][a-z0-9_]{0,31}")
_REFERENCE_DEFAULT_SEGMENT = 10
_MOST_STEMS = 8


@dataclass(frozen=True)
class HTDemucsArguments:
    """What shapes the network. The defaults are those of the reference.

    `stems` are the reference's `sources`, in the order of the outputs. `segment_samples` is the length of a segment at
    44.1 kHz. `dconv_mode` says where the residual branches are: 1 in the encoders, 2 in the decoders, 3 in both.
    """

    stems: tuple[str, ...]
    segment_samples: int
    channels: int = 48
    depth: int = 4
    freq_emb: float = 0.2
    emb_scale: float = 10.0
    norm_starts: int = 4
    dconv_mode: int = 1
    dconv_depth: int = 2
    dconv_comp: int = 8
    bottom_channels: int = 0
    t_layers: int = 5
    t_hidden_scale: float = 4.0
    t_heads: int = 8
    t_max_period: float = 10_000.0
    t_weight_pos_embed: float = 1.0
    t_cross_first: bool = False

    @property
    def frames(self) -> int:
        """The number of frames of a segment's spectrum."""
        return -(-self.segment_samples // HOP_LENGTH)

    @property
    def layer_channels(self) -> tuple[int, ...]:
        """The channels after each encoder layer, from the outermost."""
        return tuple(self.channels * GROWTH**index for index in range(self.depth))

    @property
    def layer_samples(self) -> tuple[int, ...]:
        """The length of the time branch before the first encoder layer and after each."""
        lengths = [self.segment_samples]
        for _ in range(self.depth):
            lengths.append(-(-lengths[-1] // STRIDE))
        return tuple(lengths)

    @property
    def layer_bins(self) -> tuple[int, ...]:
        """The rows of the spectrum branch before the first encoder layer and after each."""
        return tuple(BINS // STRIDE**index for index in range(self.depth + 1))

    @property
    def transformer_channels(self) -> int:
        """The width of the transformer."""
        return self.bottom_channels or self.layer_channels[-1]

    @property
    def transformer_hidden(self) -> int:
        """The width of the transformer's feed-forward layers."""
        return int(self.transformer_channels * self.t_hidden_scale)


def read_arguments(args: Sequence[Any], kwargs: Mapping[str, Any]) -> HTDemucsArguments:
    """Return the checked arguments from those that the network was made with.

    Raises CheckpointError, which names the argument, for values that the graph does not cover.
    """
    given = dict(kwargs)
    if len(args) > 1 or (args and "sources" in given):
        raise CheckpointError("Its arguments are not those of HT-Demucs: too many without a name.")
    if args:
        given["sources"] = args[0]
    for name, accepted in _FIXED.items():
        if name in given and not any(_is_same(given[name], value) for value in accepted):
            raise CheckpointError(f"Its argument {name} has a value that this network cannot be built with.")
    arguments = HTDemucsArguments(
        stems=_stems(given.get("sources")),
        segment_samples=_segment_samples(given.get("segment", _REFERENCE_DEFAULT_SEGMENT)),
        **{name: _number(given, name, *limits) for name, limits in _NUMBERS.items() if name in given},
        **({"t_cross_first": given["t_cross_first"] is True} if "t_cross_first" in given else {}),
    )
    _check_together(arguments)
    return arguments


_NUMBERS: Mapping[str, tuple[type, float, float]] = {
    "channels": (int, 8, 64),
    "depth": (int, 1, 4),
    "freq_emb": (float, 0, 10),
    "emb_scale": (float, 0.01, 1000),
    "norm_starts": (int, 0, 100),
    "dconv_mode": (int, 0, 3),
    "dconv_depth": (int, 1, 4),
    "dconv_comp": (int, 1, 16),
    "bottom_channels": (int, 0, 1024),
    "t_layers": (int, 1, 12),
    "t_hidden_scale": (float, 0.5, 8),
    "t_heads": (int, 1, 32),
    "t_max_period": (float, 1, 1e6),
    "t_weight_pos_embed": (float, 0, 10),
}
"""The numbers that shape the network, with the limits of each."""


def _number(given: Mapping[str, Any], name: str, kind: type, least: float, most: float) -> Any:
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise CheckpointError(f"Its argument {name} is not a number from {least:g} to {most:g}.")
    if kind is int and value != int(value):
        raise CheckpointError(f"Its argument {name} is not a whole number.")
    return kind(value)


def _is_same(given: Any, value: Any) -> bool:
    # 1 == True in Python, but not here.
    return isinstance(given, bool) == isinstance(value, bool) and bool(given == value)


def _stems(sources: Any) -> tuple[str, ...]:
    names = tuple(sources) if isinstance(sources, list | tuple) else ()
    well_formed = all(isinstance(name, str) and _STEM.fullmatch(name) for name in names)
    if not 1 <= len(names) <= _MOST_STEMS or not well_formed or len(set(names)) < len(names):
        raise CheckpointError("Its argument sources is not a list of stem names.")
    return names


def _segment_samples(segment: Any) -> int:
    is_number = isinstance(segment, int | float | Fraction) and not isinstance(segment, bool)
    if not is_number or not 0.25 <= segment <= 12:
        raise CheckpointError("Its argument segment is not a number of seconds from 0.25 to 12.")
    return int(segment * SAMPLE_RATE_HZ)


def _check_together(arguments: HTDemucsArguments) -> None:
    if arguments.norm_starts < arguments.depth:
        raise CheckpointError("Its argument norm_starts has a value that this network cannot be built with.")
    width, heads = arguments.transformer_channels, arguments.t_heads
    if width % heads or width % 4 or width < 8:
        raise CheckpointError("Its transformer's width does not fit its number of heads.")
    if arguments.channels < arguments.dconv_comp:
        raise CheckpointError("Its residual branches would have no channels.")
