"""The container: readable by other zip tools, aligned, and closed to every other zip file."""

import io
import stat
import struct
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler import artefact_zip
from snc.compiler.artefact_zip import ALIGNMENT, MIMETYPE, MIMETYPE_TEXT, container, is_member_name, open_container
from snc.ir.diagnostics import LimitExceeded, UnsafeInput

WORD = st.text("abzAZ019_", min_size=1, max_size=6)
NAMES = st.lists(WORD, min_size=1, max_size=3).map("/".join)
MEMBERS = st.dictionaries(NAMES, st.binary(max_size=200), max_size=8)


def packed(members: dict[str, bytes]) -> bytes:
    return b"".join(container({name: [data] for name, data in members.items()}))


def entry(name: str, *, mode: int = stat.S_IFREG | 0o644, method: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    info.external_attr = mode << 16
    info.compress_type = method
    info.create_system = 3
    return info


def foreign(*entries: tuple[zipfile.ZipInfo, bytes], comment: bytes = b"") -> bytes:
    """An archive made by Python's zipfile, which knows none of our rules."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(entry(MIMETYPE), MIMETYPE_TEXT)
        for info, data in entries:
            archive.writestr(info, data)
        archive.comment = comment
    return file.getvalue()


def refusal(content: bytes) -> str:
    with pytest.raises(UnsafeInput) as caught:
        open_container(memoryview(content), "net.snc")
    return caught.value.diagnostics[0].message


class TestContainer:
    @settings(deadline=None, max_examples=60)
    @given(MEMBERS)
    def test_gives_back_its_members(self, members: dict[str, bytes]) -> None:
        members.pop(MIMETYPE, None)
        read = open_container(memoryview(packed(members)), "net.snc")
        assert {name: bytes(data) for name, data in read.items()} == members

    @settings(deadline=None, max_examples=60)
    @given(MEMBERS)
    def test_is_a_zip_for_others_with_sorted_aligned_members(self, members: dict[str, bytes]) -> None:
        content = packed(members)
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            assert archive.testzip() is None
            assert archive.namelist() == [MIMETYPE, *sorted(members)]
            for info in archive.infolist()[1:]:
                name_size, extra_size = struct.unpack_from("<2H", content, info.header_offset + 26)
                start = info.header_offset + 30 + name_size + extra_size
                assert start % ALIGNMENT == 0
                assert content[start : start + info.file_size] == members[info.filename]
                assert info.date_time == (1980, 1, 1, 0, 0, 0) and info.external_attr >> 16 == 0o100644

    def test_takes_members_in_pieces(self) -> None:
        whole = b"".join(container({"m": [b"abc", memoryview(b"def")]}))
        assert whole == packed({"m": b"abcdef"})

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "a/../b", "/a", "a/", "a//b", ".hidden", "a/.b", "a\\b", "C:a", "a\0b", "a b", "a\n", "\u00e4"],
    )
    def test_refuses_unsafe_names(self, name: str) -> None:
        assert not is_member_name(name)
        with pytest.raises(ValueError):
            packed({name: b""})

    def test_refuses_more_than_a_zip_without_extension_can_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(artefact_zip, "MAX_BYTES", len(packed({"m": b"12345"})))
        assert packed({"m": b"12345"})
        for size in (6, 5000):
            with pytest.raises(LimitExceeded):
                packed({"m": bytes(size)})


class TestForeignArchives:
    """Archives that other tools make are refused, each for its own reason."""

    @pytest.mark.parametrize("name", ["../up", "/etc/passwd", "a/../../b", "a\\b", "C:/x", "a/", ".x", "x" * 300])
    def test_with_unsafe_names(self, name: str) -> None:
        assert refusal(foreign((entry(name), b"x"))) == "a member has an unsafe name"

    def test_with_links(self) -> None:
        link = entry("a", mode=stat.S_IFLNK | 0o777)
        assert refusal(foreign((link, b"/etc/passwd"))) == "a member is a link or no regular file"

    def test_with_compression(self) -> None:
        bomb = entry("a", method=zipfile.ZIP_DEFLATED)
        assert refusal(foreign((bomb, bytes(10_000_000)))) == "a member is compressed"

    def test_with_encryption(self) -> None:
        content = bytearray(foreign((entry("a"), b"x")))
        content[content.rindex(b"PK\x01\x02") + 8] |= 1
        assert refusal(bytes(content)) == "a member is encrypted"

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_with_doubled_or_unsorted_names(self) -> None:
        message = "the members are not mimetype and then different names in order"
        assert refusal(foreign((entry("a"), b"x"), (entry("a"), b"y"))) == message
        assert refusal(foreign((entry("b"), b"x"), (entry("a"), b"y"))) == message
        assert refusal(foreign((entry("a"), b"x"), (entry(MIMETYPE), MIMETYPE_TEXT))) == message

    def test_with_a_comment(self) -> None:
        message = "no end of directory at the end of the file"
        assert refusal(foreign((entry("a"), b"x"), comment=b"hello")) == message

    def test_without_alignment(self) -> None:
        assert refusal(foreign((entry("a"), b"x"), (entry("b"), b"y"))) == "members overlap or have gaps between them"

    def test_with_extra_fields(self) -> None:
        info = entry("a")
        info.extra = struct.pack("<HH4s", 0x9999, 4, b"abcd")
        assert refusal(foreign((info, b"x"))) == "a member has extra fields or a comment"

    def test_of_another_type(self) -> None:
        content = packed({"a": b"x"}).replace(MIMETYPE_TEXT, b"application/epub+zip!!!")
        assert refusal(content) == "a member is damaged: its CRC-32 is wrong"


class TestForgedDirectory:
    """Changes of single fields of a good container."""

    CONTENT = packed({"a": b"first member", "b": b"second member"})
    LAST = CONTENT.rindex(b"PK\x01\x02")
    FIRST_OWN = CONTENT.rindex(b"PK\x01\x02", 0, LAST)
    END = CONTENT.rindex(b"PK\x05\x06")

    def changed(self, at: int, form: str, value: int) -> bytes:
        content = bytearray(self.CONTENT)
        struct.pack_into(form, content, at, value)
        return bytes(content)

    def test_of_an_overlap(self) -> None:
        (first,) = struct.unpack_from("<I", self.CONTENT, self.FIRST_OWN + 42)
        assert refusal(self.changed(self.LAST + 42, "<I", first)) == "members overlap or have gaps between them"

    def test_of_sizes(self) -> None:
        assert refusal(self.changed(self.LAST + 20, "<I", 5)) == "a member's sizes are wrong"
        assert refusal(self.changed(self.LAST + 24, "<I", 0xFFFF_FFFF)) == "a member's sizes are wrong"

    def test_of_offsets_beyond_the_file(self) -> None:
        assert refusal(self.changed(self.LAST + 42, "<I", 0x7FFF_FFFF)) == "members overlap or have gaps between them"

    def test_of_the_number_of_members(self) -> None:
        for count in (0, 1, 2, 4, 5000, 0xFFFF):
            content = bytearray(self.changed(self.END + 8, "<H", count))
            struct.pack_into("<H", content, self.END + 10, count)
            assert refusal(bytes(content))

    def test_of_the_local_header(self) -> None:
        local = self.CONTENT.index(b"PK\x03\x04", 4)
        assert refusal(self.changed(local + 30, "<B", ord("z"))) == "a local header differs from the directory"

    def test_of_the_directory_position(self) -> None:
        assert refusal(self.changed(self.END + 16, "<I", 0)).startswith("the directory does not end")

    def test_of_times_and_versions(self) -> None:
        for at in (4, 6, 12, 14, 34, 36):
            message = refusal(self.changed(self.LAST + at, "<H", 1))
            assert message == "the directory has fields that snc does not write"
