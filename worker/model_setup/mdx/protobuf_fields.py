"""Counts the fields of a protobuf message before it is parsed.

Parsing needs up to a hundred bytes of memory for a field of two bytes, so a small file can exhaust the memory. This
module only walks over the fields; it keeps nothing.
"""

from __future__ import annotations

from typing import Any

MAX_DEPTH = 20
MAX_VARINT_BYTES = 10

VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
"""The wire types of protobuf; groups (3 and 4) are not accepted."""


class FieldsError(ValueError):
    """The bytes are not a protobuf message, or one with too many fields or a too long one."""


def check_fields(data: bytes, descriptor: Any, *, max_fields: int, max_bytes: int, bulk: frozenset[str]) -> None:
    """Raise FieldsError unless a message is well formed and small enough to be parsed.

    Parameters
    ----------
    data
        The message.
    descriptor
        The descriptor of its type, such as `onnx.ModelProto.DESCRIPTOR`.
    max_fields
        How many fields the message and the messages in it may have together.
    max_bytes
        The length of the longest field that is not a message.
    bulk
        The names of fields that may be longer, because parsing does not make them larger.
    """
    _Walk(memoryview(data), max_fields, max_bytes, bulk).message(descriptor, 0, len(data), 0)


class _Walk:
    def __init__(self, data: memoryview, max_fields: int, max_bytes: int, bulk: frozenset[str]) -> None:
        self._data = data
        self._left = max_fields
        self._max_bytes = max_bytes
        self._bulk = bulk

    def message(self, descriptor: Any, position: int, end: int, depth: int) -> None:
        """Walk over the fields of a message."""
        if depth > MAX_DEPTH:
            raise FieldsError("its messages are nested too deep")
        known = {field.number: field for field in descriptor.fields}
        while position < end:
            self._left -= 1
            if self._left < 0:
                raise FieldsError("it has too many fields")
            tag, position = self._varint(position, end)
            position = self._field(known.get(tag >> 3), tag & 7, position, end, depth)

    def _field(self, field: Any, wire_type: int, position: int, end: int, depth: int) -> int:
        """Walk over the value of a field, and return where it ends."""
        if wire_type == VARINT:
            return self._varint(position, end)[1]
        if wire_type in {FIXED64, FIXED32}:
            length = 8 if wire_type == FIXED64 else 4
        elif wire_type == LENGTH:
            length, position = self._varint(position, end)
        else:
            raise FieldsError("it has a field of an unknown kind")
        if length > end - position:
            raise FieldsError("it is truncated")
        if field is not None and field.message_type is not None and wire_type == LENGTH:
            self.message(field.message_type, position, position + length, depth + 1)
        elif length > self._max_bytes and (field is None or field.name not in self._bulk):
            raise FieldsError("one of its fields is too long")
        return position + length

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        value = 0
        for number, byte in enumerate(self._data[position : min(end, position + MAX_VARINT_BYTES)]):
            value |= (byte & 0x7F) << (7 * number)
            if byte < 0x80:
                return value, position + number + 1
        raise FieldsError("it is truncated")
