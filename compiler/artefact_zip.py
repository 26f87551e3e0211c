"""The zip container of an artefact: one way to write a set of members, and a reader that takes no other way.

Members are stored, not compressed; `mimetype` comes first, the others are sorted by name; times are 1980-01-01 and
modes 0644; data starts at multiples of 64 bytes, so that arrays can be used straight from a memory map. Names, sizes
and checksums of the members therefore determine every header byte, and the reader compares all of them: no gap,
overlap, prefix, comment, link, compression or second reading of the file is possible.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from ..ir.diagnostics import Diagnostic, LimitExceeded, UnsafeInput

Buffer = bytes | memoryview

MIMETYPE = "mimetype"
MIMETYPE_TEXT = b"application/vnd.snc+zip"
ALIGNMENT = 64
"""Bytes; a cache line and more than any element needs."""
MAX_MEMBERS = 4096
MAX_BYTES = (1 << 32) - 2
"""Longest container without the 64 bit extension of zip."""

_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_END = struct.Struct("<4s4H2IH")
_VERSION_NEEDED = 20
_MADE_BY_UNIX = 3 << 8 | _VERSION_NEEDED
_DATE_1980 = 1 << 5 | 1
_REGULAR_FILE_MODE = 0o100644 << 16
_PADDING_ID = 0xD935
"""Extra field for alignment, the number that Android's tools use."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)*")
_MAX_NAME = 200


class Entry(NamedTuple):
    """What a header says of a member: its name, CRC-32 and size in bytes."""

    name: str
    crc: int
    size: int


class Placed(NamedTuple):
    """A member's place: its local header, where that starts and where the data starts."""

    entry: Entry
    offset: int
    header: bytes

    @property
    def start(self) -> int:
        """First byte of the data."""
        return self.offset + len(self.header)

    @property
    def end(self) -> int:
        """The byte after the data."""
        return self.start + self.entry.size


def is_member_name(name: str) -> bool:
    """Whether a member may bear this name: ASCII words with `/` between them, no `..`, no leading dot or slash."""
    return len(name) <= _MAX_NAME and _NAME.fullmatch(name) is not None


def container(members: Mapping[str, Sequence[Buffer]]) -> Iterable[Buffer]:
    """The pieces of the container's bytes, in order; each member is given as the pieces of its content.

    Raises ValueError for a name that is no member name, LimitExceeded for a container that is too large.
    """
    wrong = [name for name in members if not is_member_name(name) or name == MIMETYPE]
    if wrong or len(members) >= MAX_MEMBERS:
        raise ValueError(f"not a set of member names: {wrong or len(members)}")
    contents: dict[str, Sequence[Buffer]] = {MIMETYPE: [MIMETYPE_TEXT]}
    contents.update((name, members[name]) for name in sorted(members))
    sizes = {name: sum(len(piece) for piece in pieces) for name, pieces in contents.items()}
    if sum(sizes.values()) > MAX_BYTES:
        raise _too_large(sum(sizes.values()))
    placed = _layout([Entry(name, _crc(pieces), sizes[name]) for name, pieces in contents.items()])
    directory = _directory(placed)
    if placed[-1].end + len(directory) > MAX_BYTES:
        raise _too_large(placed[-1].end + len(directory))
    return _pieces(placed, contents, directory)


def _pieces(placed: Sequence[Placed], contents: Mapping[str, Sequence[Buffer]], directory: bytes) -> Iterable[Buffer]:
    for each in placed:
        yield each.header
        yield from contents[each.entry.name]
    yield directory


def open_container(data: memoryview, where: str) -> dict[str, memoryview]:
    """The members of a container by name, without `mimetype`; views of `data`, whose format is bytes.

    Raises UnsafeInput unless `data` is exactly what `container` writes for these members, checksums included.
    """
    end_start = len(data) - _END.size
    if end_start < 0:
        raise _unsafe(where, "the file is too short", f"{len(data)} bytes")
    signature, disk, first_disk, here, count, size, start, comment = _END.unpack(data[end_start:])
    if signature != b"PK\x05\x06" or comment:
        raise _unsafe(where, "no end of directory at the end of the file", "other data, a comment or a cut file")
    if disk or first_disk or here != count:
        raise _unsafe(where, "the archive spans several files", f"part {disk} of an archive")
    if not 0 < count <= MAX_MEMBERS:
        raise _unsafe(where, "too few or too many members", f"{count}", f"1 to {MAX_MEMBERS}")
    if start + size != end_start:
        raise _unsafe(where, "the directory does not end where the end record starts", f"{start} + {size}")
    entries, offsets = _read_directory(data[start:end_start], count, where)
    names = [entry.name for entry in entries]
    if names[0] != MIMETYPE or names[1:] != sorted({*names[1:]} - {MIMETYPE}):
        raise _unsafe(where, "the members are not mimetype and then different names in order", _shown(names))
    placed = _layout(entries)
    if offsets != [each.offset for each in placed] or placed[-1].end != start:
        raise _unsafe(where, "members overlap or have gaps between them", f"offsets {_shown(offsets)}")
    for each in placed:
        if data[each.offset : each.start] != each.header:
            raise _unsafe(where, "a local header differs from the directory", each.entry.name)
        if zlib.crc32(data[each.start : each.end]) != each.entry.crc:
            raise _unsafe(where, "a member is damaged: its CRC-32 is wrong", each.entry.name)
    if data[start:] != _directory(placed):
        raise _unsafe(where, "the directory has fields that snc does not write", "unusual times, modes or versions")
    members = {each.entry.name: data[each.start : each.end] for each in placed}
    if members.pop(MIMETYPE) != MIMETYPE_TEXT:
        raise _unsafe(where, "the file is of another type", "another mimetype", MIMETYPE_TEXT.decode())
    return members


def _read_directory(directory: memoryview, count: int, where: str) -> tuple[list[Entry], list[int]]:
    """The entries and the offsets of their local headers."""
    entries: list[Entry] = []
    offsets: list[int] = []
    at = 0
    for _ in range(count):
        if at + _CENTRAL.size > len(directory):
            raise _unsafe(where, "the directory is cut short", f"{len(entries)} members of {count}")
        fields = _CENTRAL.unpack(directory[at : at + _CENTRAL.size])
        signature, _made_by, _needed, flags, method, _time, _date, crc, packed, size, *rest = fields
        name_size, extra_size, comment_size, _disk, _internal, external, offset = rest
        at += _CENTRAL.size
        raw = bytes(directory[at : at + name_size])
        at += name_size
        name = raw.decode("latin-1")
        if signature != b"PK\x01\x02":
            raise _unsafe(where, "the directory is damaged", f"no header of member {len(entries)}")
        if not is_member_name(name):
            raise _unsafe(where, "a member has an unsafe name", ascii(name[:_MAX_NAME]))
        if flags & 1:
            raise _unsafe(where, "a member is encrypted", name)
        if method != 0:
            raise _unsafe(where, "a member is compressed", name, "stored members")
        if 0xFFFF_FFFF in (packed, size, offset) or packed != size:
            raise _unsafe(where, "a member's sizes are wrong", f"{name}: {packed} and {size} bytes at {offset}")
        if external >> 28 != _REGULAR_FILE_MODE >> 28:
            raise _unsafe(where, "a member is a link or no regular file", name)
        if extra_size or comment_size:
            raise _unsafe(where, "a member has extra fields or a comment", name)
        entries.append(Entry(name, crc, size))
        offsets.append(offset)
    if at != len(directory):
        raise _unsafe(where, "the directory holds more than its members", f"{len(directory) - at} bytes")
    return entries, offsets


def _layout(entries: Sequence[Entry]) -> list[Placed]:
    placed: list[Placed] = []
    offset = 0
    for entry in entries:
        header = _local_header(entry, offset)
        placed.append(Placed(entry, offset, header))
        offset = placed[-1].end
    return placed


def _local_header(entry: Entry, offset: int) -> bytes:
    name = entry.name.encode("ascii")
    extra = b""
    if entry.name != MIMETYPE:
        padding = -(offset + _LOCAL.size + len(name) + 4) % ALIGNMENT
        extra = struct.pack("<2H", _PADDING_ID, padding) + bytes(padding)
    fields = (_VERSION_NEEDED, 0, 0, 0, _DATE_1980, entry.crc, entry.size, entry.size, len(name), len(extra))
    return _LOCAL.pack(b"PK\x03\x04", *fields) + name + extra


def _directory(placed: Sequence[Placed]) -> bytes:
    headers = []
    for entry, offset, _ in placed:
        name = entry.name.encode("ascii")
        fields = (_MADE_BY_UNIX, _VERSION_NEEDED, 0, 0, 0, _DATE_1980, entry.crc, entry.size, entry.size, len(name))
        headers.append(_CENTRAL.pack(b"PK\x01\x02", *fields, 0, 0, 0, 0, _REGULAR_FILE_MODE, offset) + name)
    directory = b"".join(headers)
    end = _END.pack(b"PK\x05\x06", 0, 0, len(placed), len(placed), len(directory), placed[-1].end, 0)
    return directory + end


def _crc(pieces: Iterable[Buffer]) -> int:
    crc = 0
    for piece in pieces:
        crc = zlib.crc32(piece, crc)
    return crc


def _too_large(size: int) -> LimitExceeded:
    return LimitExceeded(
        Diagnostic("SNC0608", "the artefact is too large", found=f"{size} bytes", expected=f"at most {MAX_BYTES}")
    )


def _unsafe(where: str, message: str, found: str = "", expected: str = "") -> UnsafeInput:
    return UnsafeInput(Diagnostic("SNC0602", message, found=found, expected=expected, node=where))


def _shown(items: Sequence[object]) -> str:
    return ", ".join(str(item) for item in items[:8]) + (" ..." if len(items) > 8 else "")
