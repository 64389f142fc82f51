"""The publisher's files are read without importing or executing anything; other files end in one sentence."""

from __future__ import annotations

import io
import json
import os
import pickle
import re
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.bench.models.htdemucs_reference import SMALLEST
from tests.fixtures.stand_ins import tiny_htdemucs as tiny
from worker.model_setup.errors import CheckpointError, ModelSetupError
from worker.model_setup.htdemucs import build_htdemucs
from worker.model_setup.htdemucs.network_file import read_network
from worker.model_setup.model_entry import ModelEntry

STORED = Path(tiny.__file__).parent / "htdemucs"
ENTRY = ModelEntry(name="tiny", title="Tiny", summary="Random weights.", licence="None.")
WEIGHTS = tiny.random_weights(SMALLEST)


@pytest.mark.parametrize("name", ["by_torch.th", "by_safetensors.safetensors"])
def test_a_file_written_by_the_publishers_own_tools(name: str) -> None:
    arguments, weights = read_network(STORED / name)
    assert arguments.stems == ("drums", "vocals")
    assert arguments.segment_samples == 11_025
    assert weights.keys() == WEIGHTS.keys()
    assert all(np.array_equal(values, WEIGHTS[name]) for name, values in weights.items())
    assert all(values.dtype == np.float32 for values in weights.values())


@pytest.mark.parametrize("arguments", tiny.NETWORKS.values(), ids=tiny.NETWORKS)
def test_both_formats_hold_the_same(tmp_path: Path, arguments: tiny.Arguments) -> None:
    weights = tiny.random_weights(arguments)
    one = read_network(tiny.write_torch_file(tmp_path / "n.th", arguments, weights))
    other = read_network(tiny.write_safetensors(tmp_path / "n.safetensors", arguments, weights))
    assert one[0] == other[0]
    for name, values in weights.items():
        assert np.array_equal(one[1][name], values)
        assert np.array_equal(other[1][name], values)


class _Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def _archive(path: Path, **changes: bytes | None) -> None:
    """Write the smallest network with other members. A member None is left out; dots in names are written `__`."""
    members: dict[str, bytes] = {"data.pkl": tiny.pickled_network(SMALLEST, WEIGHTS)}
    members |= {f"data/{number}": values.astype("<f2").tobytes() for number, values in enumerate(WEIGHTS.values())}
    for name, content in changes.items():
        members.pop(name.replace("__", "."), None)
        if content is not None:
            members[name.replace("__", ".")] = content
    tiny.write_archive(path, members)


def _pickle_instead(content: bytes) -> Callable[[Path], None]:
    return lambda path: _archive(path, data__pkl=content)


def _edited(old: bytes, new: bytes) -> Callable[[Path], None]:
    """Return what writes a network whose pickle has other bytes in one place."""
    whole = tiny.pickled_network(SMALLEST, WEIGHTS)
    assert old in whole
    return _pickle_instead(whole.replace(old, new, 1))


def _cut(share: float) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tiny.write_torch_file(path, SMALLEST, WEIGHTS)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])

    return write


def _flipped(path: Path) -> None:
    tiny.write_torch_file(path, SMALLEST, WEIGHTS)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"archive/data/2") + 60] ^= 0xFF
    path.write_bytes(whole)


def _with_member(name: str, content: bytes = b"x", compression: int = zipfile.ZIP_STORED) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        tiny.write_torch_file(path, SMALLEST, WEIGHTS)
        with zipfile.ZipFile(path, "a", compression) as archive:
            archive.writestr(name, content)

    return write


def _swapped(path: Path) -> None:
    numbers = [values.astype("<f2").tobytes() for values in WEIGHTS.values()]
    _archive(path, **{"data/0": numbers[1], "data/1": numbers[0]})


def _safetensors(change: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """Return what writes a safetensors file whose header went through `change`."""

    def write(path: Path) -> None:
        tiny.write_safetensors(path, SMALLEST, WEIGHTS)
        whole = path.read_bytes()
        length = int.from_bytes(whole[:8], "little")
        header = json.loads(whole[8 : 8 + length])
        tiny.write_raw_safetensors(path, change(header) or header, whole[8 + length :])

    return write


def _entry_changed(**changes: object) -> Callable[[Path], None]:
    return _safetensors(lambda header: header["tencoder.0.conv.bias"].update(changes))  # type: ignore[attr-defined]


def _written(content: bytes) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(content) and None


def _with_arguments(**changes: object) -> Callable[[Path], None]:
    return lambda path: tiny.write_torch_file(path, {**SMALLEST, **changes}, WEIGHTS) and None


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (_written(b""), "not a safetensors file"),
    "text": (_written(b"<html>404 not found</html>" * 99), "not a safetensors file"),
    "truncated archive": (_cut(0.6), "not a safetensors file"),
    "flipped bits": (_flipped, "not a whole archive"),
    "a call of os.system": (
        _pickle_instead(pickle.dumps(_Call(os.system, "touch reached"), 2)),
        "asks for 'posix.system'",
    ),
    "a call of eval, nested": (
        _pickle_instead(pickle.dumps({"state": {"a": [(_Call(eval, "open('reached', 'w')"),)]}}, 2)),
        "asks for '__builtin__.eval'",
    ),
    "a call in protocol 5": (_pickle_instead(pickle.dumps(_Call(os.system, "touch reached"), 5)), "instruction"),
    "a call of the class": (_edited(b"cdemucs.htdemucs\nHTDemucs\n", b"cdemucs.htdemucs\nHTDemucs\n)R"), "damaged"),
    "attributes set": (_edited(b"ccollections\nOrderedDict\n)R", b"ccollections\nOrderedDict\n)R}b"), "BUILD"),
    "a huge place in memory": (_pickle_instead(b"\x80\x02}r\xff\xff\xff\x7f."), "more memory"),
    "a huge fraction": (
        _pickle_instead(b"\x80\x02cfractions\nFraction\n(X\x0a\x00\x00\x001e99999999tR."),
        "a fraction that is not valid",
    ),
    "a pickle cut off": (_pickle_instead(tiny.pickled_network(SMALLEST, WEIGHTS)[:900]), "damaged"),
    "single precision": (_edited(b"ctorch\nHalfStorage\n", b"ctorch\nFloatStorage\n"), "asks for 'torch.FloatStorage'"),
    "another dtype's marker": (_edited(b"ctorch\nHalfStorage\n", b"cdemucs.htdemucs\nHTDemucs\n"), "half precision"),
    "a storage outside": (_edited(b"X\x01\x00\x00\x000", b"X\x06\x00\x00\x00../../"), "cannot be in the file"),
    "a huge tensor": (_edited(b"K\x08tQK\x00(K\x08t", b"J\xff\xff\xff\x7ftQK\x00(J\xff\xff\xff\x7ft"), "does not fit"),
    "a part of a tensor": (_edited(b"K\x08tQK\x00", b"K\x08tQK\x01"), "only a part"),
    "strides of zero": (_edited(b"K\x08tQK\x00(K\x08t(K\x01t", b"K\x08tQK\x00(K\x08t(K\x00t"), "not in order"),
    "no pickle": (lambda path: _archive(path, data__pkl=None), "not a whole archive"),
    "a missing member": (lambda path: _archive(path, **{"data/3": None}), "does not fit its numbers"),
    "swapped members": (_swapped, "does not fit its numbers"),
    "big-endian": (lambda path: _archive(path, byteorder=b"big"), "little-endian"),
    "not numbers": (lambda path: _archive(path, **{"data/1": b"\xff\xff" * 8}), "no weights"),
    "a path upwards": (_with_member("archive/../../reached"), "outside its folder"),
    "an absolute path": (_with_member("/reached"), "outside its folder"),
    "a compressed bomb": (_with_member("archive/data/x", bytes(1 << 24), zipfile.ZIP_DEFLATED), "compressed"),
    "another network's arguments": (_with_arguments(t_heads=1, channels=16), "another shape"),
    "an argument that is not covered": (_with_arguments(t_sparse_self_attn=True), "argument t_sparse_self_attn"),
    "an impossible segment": (_with_arguments(segment=Fraction(10**6, 3)), "argument segment"),
    "a stem with a path": (_with_arguments(sources=["drums", "../vocals"]), "argument sources"),
    "a header longer than the file": (_written((1 << 19).to_bytes(8, "little") + b"{}"), "cut off"),
    "a header of 2^63 bytes": (_written(b"\xff" * 8 + b"{}"), "not a safetensors file"),
    "a deeply nested header": (lambda path: tiny.write_raw_safetensors(path, b"[" * 500_000, b""), "not valid JSON"),
    "a name twice": (lambda path: tiny.write_raw_safetensors(path, b'{"a": 1, "a": 2}', b""), "not valid JSON"),
    "another class": (
        _safetensors(lambda header: header["__metadata__"].update(klass="os.system")),  # type: ignore[attr-defined]
        "does not say that it holds an HT-Demucs",
    ),
    "integers": (_entry_changed(dtype="I16"), "16-bit or 32-bit floats"),
    "a negative place": (_entry_changed(data_offsets=[-16, 0]), "no valid shape or place"),
    "overlapping arrays": (_entry_changed(data_offsets=[0, 16]), "overlap"),
    "a huge shape": (_entry_changed(shape=[1 << 29, 1 << 29]), "another size"),
    "a missing parameter": (
        lambda path: tiny.write_safetensors(path, SMALLEST, {k: WEIGHTS[k] for k in list(WEIGHTS)[1:]}),
        "lacks the parameter encoder.0.conv.weight",
    ),
    "a parameter more": (
        lambda path: tiny.write_safetensors(path, SMALLEST, {**WEIGHTS, "more": np.zeros(3, np.float32)}),
        "does not have: 'more'",
    ),
    "bytes at the end": (
        lambda path: tiny.write_safetensors(path, SMALLEST, WEIGHTS) and _append(path, b"more"),
        "do not fill the file",
    ),
}


def _append(path: Path, content: bytes) -> None:
    path.write_bytes(path.read_bytes() + content)


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_file_ends_in_one_sentence_and_leaves_nothing(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, reason = HOSTILE[kind]
    path, folder = tmp_path / "network.file", tmp_path / "model"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    write(path)
    with pytest.raises(ModelSetupError, match=re.escape(reason)) as raised:
        build_htdemucs([path], ENTRY, folder)
    message = str(raised.value)
    assert message.startswith("network.file cannot be ")
    assert message.endswith((".", "'"))
    assert "\n" not in message
    assert len(message) < 250
    assert sorted(tmp_path.iterdir()) == [folder, path]
    assert not list(folder.iterdir())


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "network.th"
    with path.open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(CheckpointError, match="more than 512 MiB"):
        read_network(path)


def test_a_folder_and_a_missing_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(CheckpointError, match="not a file"):
            read_network(path)


def test_members_of_one_name(tmp_path: Path) -> None:
    path = tmp_path / "network.th"
    tiny.write_torch_file(path, SMALLEST, WEIGHTS)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("archive/data.pkl", b"")
    with pytest.raises(CheckpointError, match="two of one name"):
        read_network(path)


def test_an_archive_whose_members_overlap(tmp_path: Path) -> None:
    """A zip bomb without compression: all members of the directory are the same bytes."""
    path = tmp_path / "network.th"
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", bytes(100_000))
        only = archive.infolist()[0]
        for number in range(50):
            copy = zipfile.ZipInfo(f"archive/data/{number}")
            copy.header_offset, copy.CRC = only.header_offset, only.CRC
            copy.file_size = copy.compress_size = only.file_size
            archive.filelist.append(copy)
            archive.NameToInfo[copy.filename] = copy
    path.write_bytes(content.getvalue())
    with pytest.raises(CheckpointError, match="overlap"):
        read_network(path)


def test_files_of_a_bag_must_agree(tmp_path: Path) -> None:
    other = {**SMALLEST, "channels": 16}
    one = tiny.write_torch_file(tmp_path / "one.th", SMALLEST, WEIGHTS)
    two = tiny.write_torch_file(tmp_path / "two.th", other, tiny.random_weights(other))
    with pytest.raises(CheckpointError, match=r"two\.th cannot be used: its network differs"):
        build_htdemucs([one, two], ENTRY, tmp_path)
    with pytest.raises(CheckpointError, match="needs one file or 2"):
        build_htdemucs([one, one, one], ENTRY, tmp_path)
