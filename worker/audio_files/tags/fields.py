"""Which tags are copied, under which names they come, and how text is decoded. Needs the standard library only."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

FIELDS: Mapping[str, tuple[str, ...]] = {
    "title": ("tit2",),
    "artist": ("tpe1", "author"),
    "album": ("talb", "wmalbumtitle"),
    "albumartist": ("tpe2", "wmalbumartist"),
    "date": ("tdrc", "tyer", "year", "wmyear"),
    "tracknumber": ("track", "trck", "wmtracknumber"),
    "tracktotal": ("totaltracks",),
    "discnumber": ("disc", "disk", "tpos", "wmpartofset"),
    "disctotal": ("totaldiscs",),
    "genre": ("tcon", "wmgenre"),
    "composer": ("tcom", "wmcomposer"),
    "isrc": ("tsrc", "wmisrc"),
    "copyright": ("tcop", "wmcopyright"),
    "compilation": ("tcmp", "itunescompilation", "wmiscompilation"),
    "bpm": ("tbpm", "tmpo", "tempo", "wmbeatsperminute"),
    "key": ("tkey", "initialkey", "wminitialkey"),
    "lyrics": ("uslt", "unsyncedlyrics", "wmlyrics"),
    "label": ("tpub", "publisher", "organization", "wmpublisher"),
    "titlesort": ("tsot", "sortname", "wmtitlesortorder"),
    "artistsort": ("tsop", "sortartist", "wmartistsortorder"),
    "albumsort": ("tsoa", "sortalbum", "wmalbumsortorder"),
    "albumartistsort": ("tso2", "sortalbumartist", "wmalbumartistsortorder"),
    "composersort": ("tsoc", "sortcomposer", "wmcomposersortorder"),
    "musicbrainz_trackid": (),
    "musicbrainz_releasetrackid": (),
    "musicbrainz_albumid": (),
    "musicbrainz_artistid": (),
    "musicbrainz_albumartistid": (),
    "musicbrainz_releasegroupid": (),
    "musicbrainz_workid": (),
}
"""The tags that are copied, and further names under which they come, in lower case and without other characters."""

FIELD_OF = {
    re.sub("[^a-z0-9]", "", name): canonical for canonical, others in FIELDS.items() for name in (canonical, *others)
}

UPPER_1251, LOWER_1251 = rb"\xc0-\xdf\xa1\xa5\xa8\xaa\xaf\xb2", rb"\xe0-\xff\xa2\xb3\xb4\xb8\xba\xbf"
"""The letters of Windows-1251: Russian, Ukrainian, Belarusian, Bulgarian."""

WORD_1251 = re.compile(rb"[A-Za-z%b%b]+" % (UPPER_1251, LOWER_1251))
CYRILLIC_1251 = re.compile(rb"[%b%b][%b]*|[%b]+" % (UPPER_1251, LOWER_1251, LOWER_1251, UPPER_1251))

LEAST_CYRILLIC_LETTERS = 4
"""Fewer in a word, or fewer different ones, may be Latin with accents: the titles Æ Ø Å and Ääää."""

CODE_PAGES: Mapping[int, str] = {
    10000: "mac_roman",
    10004: "mac_arabic",
    10006: "mac_greek",
    10007: "mac_cyrillic",
    10010: "mac_romanian",
    10029: "mac_latin2",
    10079: "mac_iceland",
    10081: "mac_turkish",
    10082: "mac_croatian",
    20127: "ascii",
    20866: "koi8_r",
    20932: "euc_jp",
    20936: "gb2312",
    21866: "koi8_u",
    **{28590 + part: f"iso8859_{part}" for part in range(1, 17) if part != 12},
    50220: "iso2022_jp",
    51932: "euc_jp",
    51936: "gb2312",
    51949: "euc_kr",
    52936: "hz",
    54936: "gb18030",
    65001: "utf-8",
}
"""The Windows code pages that are not `cp` and their number in Python. Source: Microsoft, Code Page Identifiers."""

# Longer values are cut, with a note. Lyrics may be those of an opera.
MAX_VALUE_CHARACTERS = 500
MAX_LYRICS_CHARACTERS = 200_000
MAX_VALUES = 20

MAX_PICTURE_BYTES = 15 << 20
"""A picture above this is left out: FLAC cannot hold more than 16 MiB, and it would take more bytes than the music."""
MAX_PICTURES = 8
FRONT_COVER = 3
"""The type of a front cover, by the numbers that ID3 and FLAC use."""


PICTURE_BEGINNINGS: Mapping[str, re.Pattern[bytes]] = {
    "image/jpeg": re.compile(rb"\xff\xd8\xff"),
    "image/png": re.compile(rb"\x89PNG"),
    "image/webp": re.compile(rb"RIFF[\s\S]{4}WEBP"),
    "image/gif": re.compile(rb"GIF8[79]a"),
    "image/bmp": re.compile(rb"BM[\s\S]{4}\0{4}"),
}
"""How pictures of each media type begin."""


@dataclass(frozen=True)
class CoverPicture:
    """A picture of a type in PICTURE_BEGINNINGS, and what it shows by the numbers of ID3."""

    data: bytes
    kind: int = FRONT_COVER

    @property
    def media_type(self) -> str:
        """Return the media type of the picture."""
        return picture_type(self.data) or "image/jpeg"


@dataclass(frozen=True)
class Tags:
    """The tags that are copied: values of FIELDS, pictures with the front cover first, and notes on what is not."""

    fields: Mapping[str, Sequence[str]]
    pictures: Sequence[CoverPicture] = ()
    notes: Sequence[str] = field(default_factory=tuple)


def picture_type(data: bytes) -> str | None:
    """Return the media type of a picture by its first bytes; None if it is none that is copied."""
    return next((name for name, beginning in PICTURE_BEGINNINGS.items() if beginning.match(data)), None)


def field_of(name: str) -> str | None:
    """Return the field that a tag with this name belongs to; None if it is not copied."""
    plain = re.sub("[^a-z0-9]", "", name.lower())
    # ffmpeg adds the language.
    return FIELD_OF.get("lyrics" if re.fullmatch(r"lyrics[a-z]{3}", plain) else plain)


def collect(pairs: Iterable[tuple[str, str]], cut: set[str] | None = None) -> dict[str, tuple[str, ...]]:
    """Return the copied fields of pairs of a name and a value, each with all of its values. Totals are split off.

    The fields that are too long are added to `cut`.
    """
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        key = field_of(name)
        if key is None:
            continue
        cleaned = clean(value, keep_lines=key == "lyrics")
        if cut is not None and len(value.strip()) > limit_of(key) <= len(cleaned) + 1:
            cut.add(key)
        for part, text in _split_total(key, cleaned):
            values = found.setdefault(part, [])
            if text and text not in values and len(values) < MAX_VALUES:
                values.append(text)
    return {key: tuple(values) for key, values in found.items() if values}


def _split_total(key: str, value: str) -> Iterable[tuple[str, str]]:
    if key not in {"tracknumber", "discnumber"} or "/" not in value:
        return [(key, value)]
    number, _, total = value.partition("/")
    return [(key, number.strip()), (key.replace("number", "total"), total.strip())]


def limit_of(key: str) -> int:
    """Return how many characters a value of this field may have."""
    return MAX_LYRICS_CHARACTERS if key == "lyrics" else MAX_VALUE_CHARACTERS


def clean(text: str, *, keep_lines: bool = False) -> str:
    """Return the text without control characters and within its limit, with spaces for white space."""
    limit = MAX_LYRICS_CHARACTERS if keep_lines else MAX_VALUE_CHARACTERS
    lines = text.replace("\r\n", "\n").replace("\r", "\n") if keep_lines else text
    if not lines.isascii() and max(lines) <= "\xff" and _is_cyrillic(raw := lines.encode("latin-1")):
        lines = raw.decode("cp1251", "ignore")
    # Text in Windows-1252 that was declared as Latin-1 has letters where that has control characters.
    letters = (_windows_1252(c.encode("latin-1")) if "\x80" <= c <= "\x9f" else c for c in lines)
    spaced = "".join(c if c == "\n" and keep_lines else " " if c.isspace() else c for c in letters)
    return "".join(c for c in spaced if (c.isprintable() or c == "\n") and c != "\ufffd")[:limit].strip()


def decode_text(raw: bytes, code_page: str | None = None) -> str:
    """Return the text of a tag whose encoding is not known.

    It is UTF-8, the declared code page, Windows-1251 if that makes Cyrillic words, or Windows-1252.
    """
    with_tail = _utf8(raw)
    if with_tail is not None:
        return with_tail
    if code_page is not None:
        try:
            return raw.decode(code_page)
        except UnicodeDecodeError:
            pass
    return raw.decode("cp1251", "ignore") if _is_cyrillic(raw) else _windows_1252(raw)


def _is_cyrillic(raw: bytes) -> bool:
    """Return whether text of one byte a letter is Cyrillic in Windows-1251.

    Then whole words have no ASCII letter, which no language in Latin-1 has, and capitals only where words have them.
    """
    words = [word for word in WORD_1251.findall(raw) if not word.isascii()]
    if not all(CYRILLIC_1251.fullmatch(word) for word in words):
        return False
    different = set(b"".join(words).decode("cp1251").lower())
    return min(len(different), max(map(len, words), default=0)) >= LEAST_CYRILLIC_LETTERS


def _utf8(raw: bytes) -> str | None:
    """Return the text if it is UTF-8, also if it was cut within its last letter, as in fields of 30 bytes."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        is_cut = error.reason == "unexpected end of data" and error.end == len(raw)
        head = raw[: error.start].decode("utf-8") if is_cut else ""
        # A single letter at the end that is not ASCII is more likely one of a code page.
        return head if is_cut and not head.isascii() else None


def _windows_1252(raw: bytes) -> str:
    """Return the text in Windows-1252. Five bytes have no letter there; they become control characters."""
    return "".join(bytes([b]).decode("cp1252", "ignore") or chr(b) for b in raw)


def code_page_name(number: int) -> str | None:
    """Return Python's name of a Windows code page; None if it is unknown."""
    name = CODE_PAGES.get(number, f"cp{number}")
    try:
        codecs.lookup(name)
    except LookupError:
        return None
    return name
