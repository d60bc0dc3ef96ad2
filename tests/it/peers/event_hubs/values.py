"""AMQP 1.0 types (OASIS AMQP 1.0 part 1), written from the standard, so that a mistake of the program's library cannot
agree with itself."""

import struct
import uuid


class Symbol(str):
    """A symbol, told from a string."""


class Described:
    def __init__(self, descriptor, value):
        self.descriptor, self.value = descriptor, value

    def __repr__(self):
        return f"Described({self.descriptor!r}, {self.value!r})"


class Malformed(Exception):
    pass


# -- writing: each function gives the bytes of one value

NULL = b"\x40"
TRUE, FALSE = b"\x41", b"\x42"


def boolean(value):
    return TRUE if value else FALSE


def ubyte(value):
    return struct.pack(">BB", 0x50, value)


def ushort(value):
    return struct.pack(">BH", 0x60, value)


def uint(value):
    return struct.pack(">BI", 0x70, value)


def ulong(value):
    return struct.pack(">BB", 0x53, value) if value < 256 else struct.pack(">BQ", 0x80, value)


def int_(value):
    return struct.pack(">Bi", 0x71, value)


def long(value):
    return struct.pack(">Bq", 0x81, value)


def timestamp(value):
    return struct.pack(">Bq", 0x83, value)


def _variable(small, data):
    return bytes([small, len(data)]) + data if len(data) < 256 else struct.pack(">BI", small + 0x10, len(data)) + data


def binary(value):
    return _variable(0xA0, value)


def string(value):
    return _variable(0xA1, value.encode())


def symbol(value):
    return _variable(0xA3, value.encode("ascii"))


def list_(*items):
    body = b"".join(items)
    return struct.pack(">BII", 0xD0, len(body) + 4, len(items)) + body


def map_(pairs):
    body = b"".join(key + value for key, value in pairs)
    return struct.pack(">BII", 0xD1, len(body) + 4, 2 * len(pairs)) + body


def array(constructor, items):
    """An array of strings (0xb1) or symbols (0xb3)."""
    body = bytes([constructor]) + b"".join(struct.pack(">I", len(item)) + item for item in (i.encode() for i in items))
    return struct.pack(">BII", 0xF0, len(body) + 4, len(items)) + body


def described(code, value):
    return b"\x00" + ulong(code) + value


# -- reading

FIXED = {
    0x56: (">B", bool), 0x50: (">B", int), 0x60: (">H", int), 0x70: (">I", int), 0x52: (">B", int), 0x80: (">Q", int),
    0x53: (">B", int), 0x51: (">b", int), 0x61: (">h", int), 0x71: (">i", int), 0x54: (">b", int), 0x81: (">q", int),
    0x55: (">b", int), 0x72: (">f", float), 0x82: (">d", float), 0x83: (">q", int),
}
EMPTY = {0x40: None, 0x41: True, 0x42: False, 0x43: 0, 0x44: 0}


def read(data, at=0):
    """The value at a place, and the place behind it."""
    if at >= len(data):
        raise Malformed("a value is cut off")
    code = data[at]
    if code == 0:
        descriptor, at = read(data, at + 1)
        value, at = read(data, at)
        return Described(descriptor, value), at
    return _read(code, data, at + 1)


def _read(code, data, at):
    if code in EMPTY:
        return EMPTY[code], at
    if code == 0x45:
        return [], at
    if code in FIXED:
        form, kind = FIXED[code]
        end = at + struct.calcsize(form)
        if end > len(data):
            raise Malformed("a number is cut off")
        return kind(struct.unpack(form, data[at:end])[0]), end
    if code == 0x98:
        return uuid.UUID(bytes=bytes(data[at : at + 16])), at + 16
    if code == 0x73:
        return chr(struct.unpack(">I", data[at : at + 4])[0]), at + 4
    group = code >> 4
    width = 1 if group in (0xA, 0xC, 0xE) else 4
    size = int.from_bytes(data[at : at + width], "big")
    at += width
    end = at + size
    if end > len(data):
        raise Malformed("a value is longer than its frame")
    if group in (0xA, 0xB):
        raw = bytes(data[at:end])
        return {0: lambda: raw, 1: raw.decode, 3: lambda: Symbol(raw.decode("ascii"))}[code & 0xF](), end
    count = int.from_bytes(data[at : at + width], "big")
    at += width
    if group in (0xE, 0xF):
        inner, items = data[at], []
        at += 1
        for _ in range(count):
            item, at = _read(inner, data, at)
            items.append(item)
        return items, end
    items = []
    for _ in range(count):
        item, at = read(data, at)
        items.append(item)
    if at != end:
        raise Malformed("a list does not end where it says")
    if code & 0xF == 1:
        return dict(zip(items[::2], items[1::2])), end
    return items, end


def sections(payload):
    """The sections of a message by their code."""
    found, at = {}, 0
    while at < len(payload):
        section, at = read(payload, at)
        if not isinstance(section, Described):
            raise Malformed("a section is not described")
        found.setdefault(section.descriptor, []).append(section.value)
    return found
