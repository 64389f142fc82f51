"""The `stem` box: written by us into small files of boxes, read by mutagen's parser."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import pytest
from mutagen.mp4._atom import Atoms

from shared.errors import SeparationFailedError
from worker.audio_files.stem_mp4 import add_stem_box, manifest


def box(name: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), name.encode()) + body


def wide(name: str, body: bytes) -> bytes:
    return struct.pack(">I4sQ", 1, name.encode(), 16 + len(body)) + body


HEAD = box("ftyp", b"isom\0\0\2\0isom") + wide("mdat", bytes(70))
TABLES = box("mvhd", bytes(100)) + box("trak", box("tkhd", bytes(84)))
META = box("meta", bytes(4), box("hdlr", bytes(25)))


@pytest.mark.parametrize("before", [TABLES + box("udta", META), TABLES + box("udta"), TABLES])
def test_the_box_is_in_udta_and_nothing_else_has_moved(tmp_path: Path, before: bytes) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(HEAD + box("moov", before))
    add_stem_box(path, b'{"version":1}')
    content = path.read_bytes()
    atoms = Atoms(io.BytesIO(content))
    assert [atom.name for atom in atoms.atoms] == [b"ftyp", b"mdat", b"moov"]
    stem = atoms[b"moov.udta.stem"]
    assert content[stem.offset + 8 : stem.offset + stem.length] == b'{"version":1}'
    assert stem.offset + stem.length == len(content)
    had = 8 if before is TABLES else 0
    sizes = len(HEAD) + 8
    assert content[: len(HEAD)] == HEAD
    assert content[sizes : sizes + len(TABLES)] == TABLES
    assert len(content) == len(HEAD) + 8 + len(before) + had + 8 + 13


def test_what_was_in_udta_stays(tmp_path: Path) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(HEAD + box("moov", TABLES, box("udta", META)))
    add_stem_box(path, b"{}")
    (udta,) = (a for a in Atoms(io.BytesIO(path.read_bytes()))[b"moov"].children if a.name == b"udta")
    assert [atom.name for atom in udta.children] == [b"meta", b"stem"]
    assert META in path.read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        box("moov", TABLES) + box("mdat", bytes(70)),
        HEAD,
        b"",
        HEAD + box("moov", TABLES)[:-1],
        HEAD + struct.pack(">I4s", 4, b"moov"),
        HEAD + box("moov", TABLES, struct.pack(">I4s", 99, b"udta")),
    ],
)
def test_files_with_their_tables_elsewhere_or_broken_off_stay_as_they_are(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp4"
    path.write_bytes(content)
    with pytest.raises(SeparationFailedError):
        add_stem_box(path, b"{}")
    assert path.read_bytes() == content


def test_the_manifest_has_what_dj_programs_read() -> None:
    """As Mixxx reads it: the version, and a name and a colour for each stem, in the order of the tracks."""
    document = json.loads(manifest().decode("utf-8"))
    assert document["version"] == 1
    assert [stem["name"] for stem in document["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert all(len(bytes.fromhex(stem["color"].removeprefix("#"))) == 3 for stem in document["stems"])
    dsp = document["mastering_dsp"]
    assert (dsp["compressor"]["enabled"], dsp["limiter"]["enabled"]) == (False, False)
    assert set(dsp["compressor"]) == {
        *("enabled", "ratio", "output_gain", "release", "attack", "input_gain", "threshold", "hp_cutoff", "dry_wet")
    }
    assert set(dsp["limiter"]) == {"enabled", "release", "threshold", "ceiling"}
