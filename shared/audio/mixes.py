"""Mixes of a song's stems: their gains, their names, and the short forms in which tables and commands write them.

A mix is the song in which the named stems are louder, quieter or left out. Everything else has the gain `rest_db`:

    rest * song + (gain of each named stem - rest) * that stem

So a mix with every gain at 0 dB is the song. The client imports this: standard library only.

Short forms, with `+` between stems; a name in front of `=` replaces the name that the form has by itself:

    minus:vocals                the song without the vocals; its name is `minus-vocals`
    only:drums+bass             these stems alone; its name is `only-drums-bass`
    quiet=vocals:-12+drums:off  gains in dB, and `off` for a stem that is left out; needs a name
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from shared.parsing.file_names import RESERVED_NAMES

LOWEST_DB, HIGHEST_DB = -60.0, 24.0
"""The range of gains. Below it a stem is inaudible: leave it out. Above it, everything else becomes inaudible."""

TAKEN_NAMES = frozenset({"mixture", "spectrogram", "report", "job", "source", "archive", "none"})
"""Names that no mix may have, because other outputs or parts of a request have them."""

NO_STEMS = "none"
"""How tables and commands write an empty list of stems: the job makes its mixes alone."""

MIX_HELP = (
    "minus:vocals is the song without the vocals. only:drums+bass is just these stems. NAME=vocals:-6+drums:off sets "
    "gains in dB; stems that are not named keep their level."
)

MAX_NAME_CHARACTERS = 64

_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME_CHARACTERS - 1}}}", re.ASCII)

_GAIN = re.compile(r"[-+]?\d{1,3}(\.\d{1,6})?", re.ASCII)


STEMS_OF_STEM_FILES = ("drums", "bass", "vocals")
"""The stems that an engine must have for stem files. What else is in the song becomes `other`."""


@dataclass(frozen=True)
class Mix:
    """One mix. `gains_db` is the gain of each stem that it names; None: the stem is left out.

    `rest_db` is the gain of everything that it does not name; None: that is left out.
    """

    name: str
    gains_db: Mapping[str, float | None] = field(default_factory=dict)
    rest_db: float | None = 0.0


STEM_FILE_MIXES = (
    Mix("stems"),
    Mix("drums", {"drums": 0.0}, None),
    Mix("bass", {"bass": 0.0}, None),
    Mix("other", dict.fromkeys(STEMS_OF_STEM_FILES)),
    Mix("vocals", {"vocals": 0.0}, None),
)
"""The tracks of a stem file, in their order. The first is the song, whose name is that of the file; it is the sum of
the others, whatever stems the engine has."""


def problem_of_stem_file(offered: Iterable[str]) -> str | None:
    """Return why stem files cannot be made of an engine's stems; None if they can."""
    missing = [name for name in STEMS_OF_STEM_FILES if name not in {*offered}]
    return f"stem files need drums, bass and vocals; the engine has no {' and no '.join(missing)}" if missing else None


def read_mix(text: str) -> Mix:
    """Read a short form. Raises ValueError with a message that says what is expected."""
    name, equals, body = text.strip().rpartition("=")
    kind, _, rest = body.partition(":")
    if not rest or (equals and not _NAME.fullmatch(name)):
        raise ValueError(f"{text[:80]!r} is not [NAME=]minus:STEM, [NAME=]only:STEM+STEM or NAME=STEM:GAIN+STEM:off")
    if kind in {"minus", "only"}:
        stems = rest.split("+")
        if not all(map(_NAME.fullmatch, stems)) or len(set(stems)) < len(stems):
            raise ValueError(f"{text[:80]!r} does not name different stems, separated by +")
        named = name or "-".join([kind, *stems])[:MAX_NAME_CHARACTERS]
        return Mix(named, dict.fromkeys(stems)) if kind == "minus" else Mix(named, dict.fromkeys(stems, 0.0), None)
    if not name:
        raise ValueError(f"{text[:80]!r} has gains and no name: write NAME={body[:60]}")
    return Mix(name, _read_gains(body))


def split_list(text: str) -> list[str]:
    """Return the names in a cell or an option, which are separated by commas, semicolons or blanks."""
    return [name for name in re.split(r"[,;\s]+", text) if name]


def read_stems(text: str) -> list[str]:
    """Read a list of stems; `none` is an empty list."""
    names = split_list(text)
    return [] if names == [NO_STEMS] else names


def read_mixes(texts: Iterable[str]) -> tuple[Mix, ...]:
    """Read several short forms. Raises ValueError if one of them, or what they are called, is invalid."""
    mixes = tuple(map(read_mix, texts))
    if problem := problem_of_names(mix.name for mix in mixes):
        raise ValueError(problem)
    return mixes


def mix_json(mix: Mix) -> dict[str, object]:
    """Return a mix as JSON values, as requests and answers have it."""
    return {"name": mix.name, "gains_db": dict(mix.gains_db), "rest_db": mix.rest_db}


def problem_of_names(names: Iterable[str], stems: Iterable[str] = ()) -> str | None:
    """Return why mixes cannot have these names beside these stems; None if they can.

    Upper and lower case count as equal, because they are on many file systems.
    """
    stem_names, seen = {name.lower() for name in stems}, set[str]()
    for name in names:
        low = name.lower()
        if low in stem_names:
            return f"a mix cannot be called {name!r}: that is the name of a stem"
        if low in TAKEN_NAMES or low.partition(".")[0] in RESERVED_NAMES:
            return f"a mix cannot be called {name!r}: that name is reserved"
        if low in seen:
            return f"two mixes are called {name!r}"
        seen.add(low)
    return None


def unknown_stem(mixes: Iterable[Mix], stems: Iterable[str]) -> tuple[Mix, str] | None:
    """Return the first mix that names a stem that is not among `stems`, with that stem."""
    known = frozenset(stems)
    return next(((mix, stem) for mix in mixes for stem in mix.gains_db if stem not in known), None)


def _read_gains(text: str) -> dict[str, float | None]:
    gains: dict[str, float | None] = {}
    # A plus sign may belong to a gain; one between stems is followed by a name with a colon.
    for part in re.split(r"\+(?=[A-Za-z0-9._-]+:)", text):
        stem, _, gain = part.rpartition(":")
        if not _NAME.fullmatch(stem) or stem in gains or not (gain == "off" or _GAIN.fullmatch(gain)):
            raise ValueError(f"{part[:80]!r} is not STEM:GAIN, with the gain in dB or off")
        gains[stem] = None if gain == "off" else float(gain)
        if not LOWEST_DB <= (gains[stem] or 0.0) <= HIGHEST_DB:
            raise ValueError(f"the gain of {stem} must be between {LOWEST_DB:g} and {HIGHEST_DB:g} dB, or off")
    return gains
