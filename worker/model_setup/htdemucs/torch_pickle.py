"""Reads the pickle in a file that torch wrote, without importing or executing anything of it.

A pickle is a program. So its instructions are looked at first: only the few that torch's writer needs for dictionaries,
lists, strings, numbers and tensors are allowed, and the places in its memory are bounded. Of the five names that the
publisher's files ask for, one is the network's class, which stays a string, and the others are replaced by functions
that build plain values.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from worker.model_setup.errors import CheckpointError
from worker.model_setup.htdemucs.file_content import CLASS_NAME, Shape

# fmt: off
_INSTRUCTIONS = frozenset((
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT",
    "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "APPEND",
    "APPENDS", "SETITEM", "SETITEMS", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE",
    "BINPERSID",
))
# fmt: on
"""What torch's writer uses (protocol 2), less what sets attributes and makes objects of classes."""

_STORE = frozenset({"BINPUT", "LONG_BINPUT"})
_MOST_INSTRUCTIONS = 500_000
_FRACTION = re.compile(r"\d{1,9}(/[1-9]\d{0,8})?")
_LARGEST = 1 << 31


@dataclass(frozen=True)
class PickledTensor:
    """A tensor that the pickle names. Its numbers are those of the archive's member `key`, all of them, in order."""

    key: str
    storage_items: int
    shape: Shape


@dataclass(frozen=True)
class Package:
    """What the publisher's files hold: the arguments of the class, and the state by the names of the parameters."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    state: Mapping[str, PickledTensor]


def read_pickle(content: bytes) -> Package:
    """Return the network that a pickle describes. Raises CheckpointError for any other content."""
    try:
        _check_instructions(content)
        package = _TorchUnpickler(io.BytesIO(content)).load()
    except CheckpointError:
        raise
    except (pickle.UnpicklingError, ValueError, TypeError, LookupError, AttributeError, EOFError, MemoryError) as error:
        raise CheckpointError("Its pickle is damaged.") from error
    if not isinstance(package, dict) or package.get("klass") is not _NETWORK_CLASS:
        raise CheckpointError("It does not hold an HT-Demucs network.")
    args, kwargs, state = (package.get(name) for name in ("args", "kwargs", "state"))
    if not isinstance(args, tuple) or not isinstance(kwargs, dict) or not isinstance(state, dict):
        raise CheckpointError("It lacks the network's arguments or parameters.")
    if not all(isinstance(name, str) and isinstance(value, PickledTensor) for name, value in state.items()):
        raise CheckpointError("Its parameters are not all tensors with a name, in half precision.")
    return Package(args, kwargs, state)


def _check_instructions(content: bytes) -> None:
    count = 0
    for count, (instruction, argument, _) in enumerate(pickletools.genops(content), 1):
        if instruction.name not in _INSTRUCTIONS or count > _MOST_INSTRUCTIONS:
            raise CheckpointError(f"Its pickle uses an instruction that no network needs: {instruction.name}.")
        # Python's memory for a pickle is as long as the highest place in it.
        if instruction.name in _STORE and int(argument or 0) > count:
            raise CheckpointError("Its pickle asks for more memory than it needs.")


class _TorchUnpickler(pickle.Unpickler):
    """Unpickles dictionaries, lists, tuples, strings, numbers, fractions and descriptions of tensors."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise CheckpointError(f"Its pickle asks for {f'{module}.{name}'[:80]!r}, which no network needs.") from None

    def persistent_load(self, pid: Any) -> _Storage:
        """Return a storage: ("storage", its type, the archive's member, a device, the number of items)."""
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or pid[1] is not _HALF:
            raise CheckpointError("Its numbers are not in half precision.")
        key, items = pid[2], pid[4]
        if not isinstance(key, str) or not re.fullmatch(r"[0-9]{1,6}", key) or not _is_size(items):
            raise CheckpointError("Its pickle names numbers that cannot be in the file.")
        return _Storage(key, items)


@dataclass(frozen=True)
class _Storage:
    """The numbers of one tensor."""

    key: str
    items: int


def _tensor(storage: Any, offset: Any, size: Any, stride: Any, _requires_grad: Any, _hooks: Any) -> PickledTensor:
    """Replace `_rebuild_tensor_v2`. Allows only tensors that use all of their storage, in order."""
    if not isinstance(storage, _Storage) or type(offset) is not int or offset != 0:
        raise CheckpointError("Its pickle names a tensor that is only a part of its numbers.")
    if not isinstance(size, tuple) or len(size) > 4 or not all(_is_size(length) for length in size):
        raise CheckpointError("Its pickle names a tensor with an impossible shape.")
    steps, step = [], 1
    for length in reversed(size):
        steps.append(step)
        step *= length
    if not isinstance(stride, tuple) or tuple(reversed(steps)) != stride:
        raise CheckpointError("Its pickle names a tensor whose numbers are not in order.")
    return PickledTensor(storage.key, storage.items, size)


def _fraction(*parts: Any) -> Fraction:
    """Replace `fractions.Fraction`, which takes a text or two whole numbers. An exponent could fill memory."""
    if len(parts) == 1 and isinstance(parts[0], str) and _FRACTION.fullmatch(parts[0]):
        return Fraction(*(int(part) for part in parts[0].split("/")))
    if len(parts) == 2 and all(_is_size(part) for part in parts) and parts[1]:
        return Fraction(*parts)
    raise CheckpointError("Its pickle holds a fraction that is not valid.")


def _empty_dictionary() -> OrderedDict[Any, Any]:
    """Replace `collections.OrderedDict`, which torch stores beside each tensor, always empty."""
    return OrderedDict()


def _is_size(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


# Strings cannot be called.
_HALF, _NETWORK_CLASS = "HalfStorage", "HTDemucs"

_ALLOWED: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _empty_dictionary,
    ("fractions", "Fraction"): _fraction,
    ("torch", "HalfStorage"): _HALF,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    CLASS_NAME: _NETWORK_CLASS,
}
