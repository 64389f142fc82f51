"""Refuses files that are certainly not audio by their first bytes, with a message that names what they are.

All other files are accepted, and the worker's confined child finds out. Libraries that name file types by their first
bytes (filetype, puremagic) are not used: of 90 files that a worker decodes, they did not recognise 8 and 14 as audio,
and took one for text. An unknown type is no reason to refuse a file.
"""

from __future__ import annotations

import re
from pathlib import PurePath

from api.contract.errors import NotAudioError
from api.request_bodies.body_stream import Sink
from shared.storage.upload_stream import Stored

HEAD_BYTES = 256 * 1024
"""How many bytes are checked. Lowering it refuses MP3 files with long text before the audio, which ffmpeg decodes."""

_SEND = "send the song itself, as MP3, WAV, FLAC, M4A, Ogg or another format of audio or video."

SIGNATURES = (
    (rb"%PDF-", "a PDF document"),
    (rb"PK(?:\x03\x04|\x05\x06|\x07\x08)", "a ZIP archive or an Office document"),
    (rb"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an Office document"),
    (rb"\x1f\x8b\x08|BZh[1-9](?:1AY&SY|\x17rE8)|\xfd7zXZ\0|\x28\xb5\x2f\xfd|\x04\x22\x4d\x18", "a compressed file"),
    (rb"7z\xbc\xaf\x27\x1c|Rar!\x1a\x07|MSCF\0{4}|.{257}ustar(?:\x0000|  \0)", "an archive"),
    (rb"\x89PNG\r\n\x1a\n|\xff\xd8\xff|GIF8[79]a|RIFF.{4}WEBP|II\*\0|MM\0\*|8BPS\0[\x01\x02]", "a picture"),
    (rb"BM.{4}\0{4}.{4}[\x0c\x28\x34\x38\x40\x6c\x7c]\0{3}", "a picture"),
    (
        rb"\x7fELF|MZ.{62,1022}PE\0\0|[\xce\xcf]\xfa\xed\xfe|\xfe\xed\xfa[\xce\xcf]|\xca\xfe\xba\xbe|\0asm\x01",
        "a program",
    ),
    (rb"SQLite format 3\0", "a database"),
    (rb"MThd\0{3}\x06|RIFF.{4}RMID", "a MIDI file, which holds notes and no sound"),
)
"""The first bytes of other file types, and the name of the type for the error message. No audio file begins like this:
JPEG's first bytes 0xFFD8 are not an MPEG frame header, and ffmpeg reads such a file as a picture too."""

WORDS = (
    (rb"\s*<(?:!doctype html|html|head|body|script)", "a web page"),
    (rb"\s*(?:#EXTM3U|\[playlist\]|ffconcat version|<\?xml[^>]*>\s*<playlist)", "a playlist"),
    (rb"\S*\s|[<{\[]", PLAIN := "plain text"),
)
"""Kinds of text, checked if the whole head is text. A single run of letters without spaces is not refused."""

MANIFESTS = frozenset({"", ".jsonl", ".ndjson", ".csv", ".txt"})
"""The extensions of manifests, which are plain text."""

_SIGNATURES = tuple((re.compile(pattern, re.DOTALL), kind) for pattern, kind in SIGNATURES)
_WORDS = tuple((re.compile(pattern, re.IGNORECASE), kind) for pattern, kind in WORDS)
# Every audio header contains some of these bytes. Files without a header have frames that begin with 0xFF, or noise.
_NO_TEXT = re.compile(rb"[\0-\x08\x0b\x0e-\x1f\xff]")


def may_be_manifest(filename: str) -> bool:
    """Return whether an upload with this name may be a manifest."""
    return PurePath(filename).suffix.lower() in MANIFESTS


def check_is_audio(head: bytes, *, takes_text: bool = False) -> None:
    """Raise NotAudioError if a file with these first bytes is certainly not audio, nor text if `takes_text`."""
    for pattern, kind in _SIGNATURES:
        if pattern.match(head):
            raise NotAudioError(f"The file is {kind}; {_SEND}")
    text = head.removeprefix(b"\xef\xbb\xbf")
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = head[: len(head) & ~1].decode("utf-16", "replace").encode()
        # An MPEG frame may begin like a UTF-16 mark, but then few of the characters are ASCII.
        if sum(byte < 0x80 for byte in text) < len(text) * 0.5:
            return
    if text and not _NO_TEXT.search(text):
        for pattern, kind in _WORDS:
            if pattern.match(text) and not (takes_text and kind == PLAIN):
                raise NotAudioError(f"The file is {kind}; {_SEND}")


class AudioSink:
    """A sink that checks the first bytes before it writes more."""

    def __init__(self, sink: Sink, *, takes_text: bool = False) -> None:
        self._sink = sink
        self._takes_text = takes_text
        self._head: bytearray | None = bytearray()

    @property
    def size_bytes(self) -> int:
        """How many bytes were written."""
        return self._sink.size_bytes

    def __enter__(self) -> AudioSink:
        self._sink.__enter__()
        return self

    def __exit__(self, *details: object) -> None:
        self._sink.__exit__(*details)

    def write(self, block: bytes) -> int:
        """Write bytes. Raises NotAudioError."""
        if self._head is not None:
            self._head += block[: HEAD_BYTES - len(self._head)]
            if len(self._head) == HEAD_BYTES:
                self._check(self._head)
        return self._sink.write(block)

    def finish(self) -> Stored:
        """Finish writing and return what was stored. Raises NotAudioError."""
        if self._head is not None:
            self._check(self._head)
        return self._sink.finish()

    def _check(self, head: bytearray) -> None:
        self._head = None
        check_is_audio(bytes(head), takes_text=self._takes_text)
