"""The wire format of protobuf messages, without the classes that a schema would generate.

Source: https://protobuf.dev/programming-guides/encoding/
"""

from collections import defaultdict
from collections.abc import Iterator

from lstm_inspect.errors import ModelFileError

_LONGEST_VARINT = 10
_FIXED_SIZES = {1: 8, 5: 4}
_LENGTH_DELIMITED = 2

Value = int | memoryview
"""A number, or the bytes of a text, of bytes, of a message or of a packed list."""


class Message:
    """A message as the values of its fields.

    Args:
        data: The bytes of the message.
        what: What to call it in an error.

    Raises:
        ModelFileError: The bytes are not a message.
    """

    def __init__(self, data: bytes | memoryview, what: str) -> None:
        self._what = what
        self._fields: dict[int, list[Value]] = defaultdict(list)
        for number, value in _values(memoryview(data), what):
            self._fields[number].append(value)

    def number(self, field: int, default: int = 0) -> int:
        """The number in a field; the last one if the field repeats, as protobuf has it."""
        values = self._fields.get(field)
        value = values[-1] if values else default
        if not isinstance(value, int):
            raise self._damaged(field, "a number")
        return value

    def signed(self, field: int) -> int:
        """The number in a field of a signed type, which is in two's complement of 64 bits."""
        value = self.number(field)
        return value - (1 << 64) if value >> 63 else value

    def data(self, field: int) -> memoryview:
        """The bytes in a field; none if it is left out."""
        values = self.all_data(field)
        return values[-1] if values else memoryview(b"")

    def text(self, field: int) -> str:
        """The text in a field; "" if it is left out."""
        try:
            return str(self.data(field), "utf-8")
        except UnicodeDecodeError:
            raise self._damaged(field, "text") from None

    def message(self, field: int) -> "Message":
        """The message in a field; an empty one if it is left out.

        A message that repeats is one in several parts: protobuf merges them, as if the bytes of one
        followed those of the other.
        """
        return Message(b"".join(self.all_data(field)), self._what)

    def messages(self, field: int) -> "list[Message]":
        """The messages in a field that repeats."""
        return [Message(data, self._what) for data in self.all_data(field)]

    def all_data(self, field: int) -> list[memoryview]:
        """The bytes in each repetition of a field."""
        values = self._fields.get(field, [])
        found = [value for value in values if isinstance(value, memoryview)]
        if len(found) != len(values):
            raise self._damaged(field, "bytes")
        return found

    def packed(self, field: int, size: int) -> bytes:
        """The bytes of the numbers of a fixed size in a field, packed into one piece or not."""
        values = self._fields.get(field, [])
        return b"".join(
            value.to_bytes(size, "little") if isinstance(value, int) else bytes(value)
            for value in values
        )

    def _damaged(self, field: int, expected: str) -> ModelFileError:
        return ModelFileError(
            f"{self._what}: damaged protobuf message (field {field} does not hold {expected})"
        )


def read_varint(data: memoryview, at: int, what: str) -> tuple[int, int]:
    """Reads a number of variable length.

    Returns:
        The number, and the place behind it.

    Raises:
        ModelFileError: The data ends before it does, or it is longer than 64 bits.
    """
    value = 0
    for length, byte in enumerate(data[at : at + _LONGEST_VARINT]):
        value |= (byte & 0x7F) << (7 * length)
        if byte < 0x80:
            if value >> 64:
                break
            return value, at + length + 1
    raise ModelFileError(f"{what}: damaged (a number ends too late)")


def _values(data: memoryview, what: str) -> Iterator[tuple[int, Value]]:
    at = 0
    while at < len(data):
        tag, at = read_varint(data, at, what)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == 0:
            value, at = read_varint(data, at, what)
            yield number, value
            continue
        if wire_type == _LENGTH_DELIMITED:
            size, at = read_varint(data, at, what)
        elif wire_type in _FIXED_SIZES:
            size = _FIXED_SIZES[wire_type]
        else:
            raise ModelFileError(f"{what}: damaged protobuf message (wire type {wire_type})")
        if number == 0 or at + size > len(data):
            raise ModelFileError(f"{what}: damaged protobuf message (it ends too early)")
        content = data[at : at + size]
        at += size
        yield (
            number,
            content if wire_type == _LENGTH_DELIMITED else int.from_bytes(content, "little"),
        )
