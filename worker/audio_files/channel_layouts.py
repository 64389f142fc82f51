"""Which loudspeakers the channels of a file are for, and what becomes of them in formats that know fewer layouts.

A layout is the channel mask of WAV: one bit for each loudspeaker. The channels are in the order of the bits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

FRONT_LEFT, FRONT_RIGHT, FRONT_CENTRE, LOW_FREQUENCY = 1 << 0, 1 << 1, 1 << 2, 1 << 3
BACK_LEFT, BACK_RIGHT, BACK_CENTRE = 1 << 4, 1 << 5, 1 << 8
SIDE_LEFT, SIDE_RIGHT = 1 << 9, 1 << 10
LEFT_OF_CENTRE, RIGHT_OF_CENTRE = 1 << 6, 1 << 7
TOP_CENTRE, TOP_FRONT_LEFT, TOP_FRONT_CENTRE, TOP_FRONT_RIGHT = 1 << 11, 1 << 12, 1 << 13, 1 << 14
TOP_BACK_LEFT, TOP_BACK_CENTRE, TOP_BACK_RIGHT = 1 << 15, 1 << 16, 1 << 17

STEREO = FRONT_LEFT | FRONT_RIGHT
THREE = STEREO | FRONT_CENTRE
BACKS, SIDES = BACK_LEFT | BACK_RIGHT, SIDE_LEFT | SIDE_RIGHT

USUAL_LAYOUTS: Mapping[int, int] = {
    1: FRONT_CENTRE,
    2: STEREO,
    3: THREE,
    4: STEREO | BACKS,
    5: THREE | BACKS,
    6: THREE | LOW_FREQUENCY | BACKS,
    7: THREE | LOW_FREQUENCY | BACK_CENTRE | SIDES,
    8: THREE | LOW_FREQUENCY | BACKS | SIDES,
}
"""The usual layout for each number of channels. FLAC, Vorbis and Opus know these and, by themselves, no other."""

FORMAT_LAYOUTS: Mapping[str, frozenset[int]] = {
    "mp3": frozenset(USUAL_LAYOUTS[n] for n in (1, 2)),
    "ogg": frozenset(USUAL_LAYOUTS.values()),
    # ffmpeg's encoder swaps the channels of 5.0 and 6.1.
    "opus": frozenset(USUAL_LAYOUTS[n] for n in (1, 2, 3, 4, 6, 8)),
    "m4a": frozenset(
        {
            *USUAL_LAYOUTS.values(),
            THREE | BACK_CENTRE,
            STEREO | LOW_FREQUENCY,
            THREE | LOW_FREQUENCY,
            THREE | BACKS | SIDES,
        }
    ),
    "stem.mp4": frozenset({STEREO}),
}
"""The layouts that a format can hold; a format that is not named holds any."""


FFMPEG_NAMES = (
    *("FL", "FR", "FC", "LFE", "BL", "BR", "FLC", "FRC", "BC", "SL", "SR"),
    *("TC", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR"),
)
"""ffmpeg's names of the loudspeakers, by their bits."""

HALF = 0.5**0.5
"""The gain of half the power."""

STAND_INS: Mapping[int, tuple[tuple[int, float], ...]] = {
    FRONT_CENTRE: ((STEREO, HALF),),
    BACK_LEFT: ((SIDE_LEFT, 1.0), (FRONT_LEFT, HALF)),
    BACK_RIGHT: ((SIDE_RIGHT, 1.0), (FRONT_RIGHT, HALF)),
    SIDE_LEFT: ((BACK_LEFT, 1.0), (FRONT_LEFT, HALF)),
    SIDE_RIGHT: ((BACK_RIGHT, 1.0), (FRONT_RIGHT, HALF)),
    BACK_CENTRE: ((BACKS, HALF), (SIDES, HALF), (STEREO, 0.5)),
    LEFT_OF_CENTRE: ((FRONT_LEFT, 1.0),),
    RIGHT_OF_CENTRE: ((FRONT_RIGHT, 1.0),),
    TOP_FRONT_LEFT: ((FRONT_LEFT, HALF),),
    TOP_FRONT_CENTRE: ((FRONT_CENTRE, HALF), (STEREO, 0.5)),
    TOP_FRONT_RIGHT: ((FRONT_RIGHT, HALF),),
    TOP_BACK_LEFT: ((BACK_LEFT, HALF), (SIDE_LEFT, HALF), (FRONT_LEFT, HALF)),
    TOP_BACK_CENTRE: ((BACK_CENTRE, HALF), (BACKS, 0.5), (SIDES, 0.5), (STEREO, 0.5)),
    TOP_BACK_RIGHT: ((BACK_RIGHT, HALF), (SIDE_RIGHT, HALF), (FRONT_RIGHT, HALF)),
}
"""Where a loudspeaker goes that a target lacks: to the first of these that the target has all of, with this gain.

The bass is left out, as ITU-R BS.775 has it. Loudspeakers that are not named here go to left and right.
"""
ANYWHERE = ((STEREO, 0.5),)


@dataclass(frozen=True)
class LayoutChange:
    """How channels get into a stem's file: they are declared as `source`, and mixed into `target` if that differs."""

    source: int
    target: int

    @property
    def is_folded(self) -> bool:
        """Whether channels are mixed into others."""
        return self.source != self.target

    @property
    def channels(self) -> int:
        """Return the number of channels in the file."""
        return self.target.bit_count()

    def gains(self) -> list[list[float]]:
        """Return the gain of each channel of the source (columns) in each channel of the file (rows).

        The mixture is made quieter by as much as it could exceed full scale if all channels were loud at once.
        """
        if self.source == FRONT_CENTRE and self.target == STEREO:
            # A mono song keeps its level in each channel, and so its peak.
            return [[1.0], [1.0]]
        sources, targets = _loudspeakers(self.source), _loudspeakers(self.target)
        columns = [_gains_of(speaker, self.target) for speaker in sources]
        loudest = max([1.0, *(sum(column.get(target, 0.0) for column in columns) for target in targets)])
        return [[column.get(target, 0.0) / loudest for column in columns] for target in targets]


def source_layout(channel_mask: int, channels: int) -> int:
    """Return the layout of a source: its own mask, or the usual one if that is missing or does not fit."""
    if channels > 2 and channel_mask.bit_count() == channels:
        return channel_mask
    return USUAL_LAYOUTS[channels]


def mask_of_custom_order(name: str | None) -> int | None:
    """Return the layout whose loudspeakers ffmpeg names in another order than that of the bits; None for others.

    In films it is often `6 channels (FL+FR+FC+BL+BR+LFE)`. WAV cannot say so, and ffmpeg then writes no mask at all.
    """
    listed = re.fullmatch(r"\d+ channels \(([A-Z0-9+]+)\)", name or "")
    speakers = listed[1].split("+") if listed else []
    if not speakers or len(set(speakers)) < len(speakers) or not set(speakers) <= set(FFMPEG_NAMES):
        return None
    bits = [1 << FFMPEG_NAMES.index(speaker) for speaker in speakers]
    return None if bits == sorted(bits) else sum(bits)


def change_layout(format_name: str, layout: int) -> LayoutChange:
    """Return what becomes of a layout in a format: it is kept, or mixed into the largest one that the format holds.

    A layout with loudspeakers at the sides instead of at the back, or the other way round, keeps its channels.
    """
    held = FORMAT_LAYOUTS.get(format_name)
    if held is None or layout in held:
        return LayoutChange(layout, layout)
    for other in (_swapped(layout, SIDES, BACKS), _swapped(layout, BACKS, SIDES)):
        if other in held:
            return LayoutChange(other, other)
    at_back = _swapped(layout, SIDES, BACKS)
    within = [target for target in held if target & ~layout == 0 or target & ~at_back == 0]
    # Stereo is the least: without left and right, the front centre alone would be left.
    return LayoutChange(layout, max([STEREO, *within], key=lambda target: (target.bit_count(), -target)))


def _swapped(layout: int, pair: int, other: int) -> int:
    """Return the layout with one pair of loudspeakers in place of another, unless it has both or neither."""
    return layout & ~pair | other if layout & pair == pair and not layout & other else layout


def _loudspeakers(layout: int) -> list[int]:
    """Return the bits of a layout, in the order of its channels."""
    return [1 << n for n in range(layout.bit_length()) if layout >> n & 1]


def _gains_of(speaker: int, target: int) -> Mapping[int, float]:
    """Return the loudspeakers of the target that a loudspeaker of the source is heard from, with its gains there."""
    if speaker & target:
        return {speaker: 1.0}
    if speaker == LOW_FREQUENCY:
        return {}
    places, gain = next((s for s in STAND_INS.get(speaker, ANYWHERE) if s[0] & ~target == 0), ANYWHERE[0])
    return dict.fromkeys(_loudspeakers(places), gain)
