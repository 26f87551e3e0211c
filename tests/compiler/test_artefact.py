"""The artefact: what is written is read, the same bytes every time, and nothing else is taken for one."""

import hashlib
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from snc.compiler import artefact
from snc.compiler.artefact import Artefact, read_artefact, write_artefact
from snc.compiler.artefact_arrays import json_bytes
from snc.compiler.artefact_zip import MIMETYPE, container, open_container
from snc.ir.diagnostics import LimitExceeded, SncError, UnsafeInput, UsageError

TASK = np.dtype([("step", "<u4"), ("pe", "<u2"), ("kernel", "u1")])
MEMBERS: dict[str, Any] = {"program.snir": b"module {}\n", "stats.json": b'{"clocks":12}', "notes/empty.txt": b""}
ARRAYS: dict[str, Any] = {
    "conv1": np.arange(-12, 12, dtype=np.int8).reshape(2, 3, 4),
    "scale": np.array(0.5, dtype=np.float32),
    "nothing": np.zeros((0, 4), dtype=np.int32),
}
TABLES: dict[str, Any] = {
    "tasks": np.array([(1, 2, 3), (4, 5, 6)], dtype=TASK),
    "offsets": np.arange(7, dtype="<i4"),
    "none": np.zeros(0, dtype=TASK),
}
MANIFEST: dict[str, Any] = {"target": "spinn2", "options": {"mapping": "optimized"}, "source_sha256": "0" * 64}


def write(path: Path, **changes: Any) -> Path:
    content: dict[str, Any] = {"members": MEMBERS, "arrays": ARRAYS, "tables": TABLES, "manifest": MANIFEST}
    write_artefact(path, **{**content, **changes})
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "net.snc")


def parts(path: Path) -> dict[str, bytes]:
    """The members of an artefact, for forging another."""
    members = open_container(memoryview(path.read_bytes()), "forged")
    return {name: bytes(data) for name, data in members.items()}


def forge(path: Path, members: dict[str, bytes]) -> Path:
    """A well-formed container around any members."""
    path.write_bytes(b"".join(container({name: [data] for name, data in members.items()})))
    return path


def forge_manifest(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The same artefact with a changed manifest."""
    members = parts(path)
    manifest = dict(read_artefact(path).manifest)
    change(manifest)
    return forge(path, {**members, "manifest.json": json_bytes(manifest)})


def forge_member(path: Path, name: str, data: bytes) -> Path:
    """The same artefact with another content of one member and a manifest that agrees with it."""
    members = {**parts(path), name: data}
    manifest = dict(read_artefact(path).manifest)
    manifest["members"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
    return forge(path, {**members, "manifest.json": json_bytes(manifest)})


def assert_refused(path: Path) -> None:
    with pytest.raises(UnsafeInput) as caught:
        read_artefact(path)
    assert all(each.node == str(path) and each.message for each in caught.value.diagnostics)


class TestRoundTrip:
    def test_gives_back_what_was_written(self, path: Path) -> None:
        read = read_artefact(path)
        assert {name: bytes(data) for name, data in read.members.items()} == MEMBERS
        assert read.manifest["target"] == "spinn2"
        assert read.arrays.keys() == ARRAYS.keys() and read.tables.keys() == TABLES.keys()
        for name, array in (ARRAYS | TABLES).items():
            again = (read.arrays if name in ARRAYS else read.tables)[name]
            assert (again.dtype, again.shape, again.tobytes()) == (array.dtype, array.shape, array.tobytes())

    def test_gives_read_only_aligned_views(self, path: Path) -> None:
        read = read_artefact(path)
        for array in [*read.arrays.values(), *read.tables.values()]:
            assert not array.flags.writeable and not array.flags.owndata
        assert read.arrays["conv1"].flags.aligned

    def test_reads_texts_json_and_tables_by_name(self, path: Path) -> None:
        read = read_artefact(path)
        assert read.text("program.snir") == "module {}\n"
        assert read.json("stats.json") == {"clocks": 12}
        assert read.table("tasks", TASK)["pe"].tolist() == [2, 5]

    def test_views_outlive_the_artefact_and_the_file(self, path: Path) -> None:
        array = read_artefact(path).arrays["conv1"]
        path.unlink()
        assert np.array_equal(array, ARRAYS["conv1"])

    def test_takes_arrays_of_any_memory_layout(self, path: Path) -> None:
        swapped = ARRAYS["conv1"].astype(">i4").transpose(2, 0, 1)[::-1]
        again = read_artefact(write(path, arrays={"w": swapped})).arrays["w"]
        assert again.dtype == np.dtype("<i4") and np.array_equal(again, swapped)

    def test_of_an_artefact_without_content(self, path: Path) -> None:
        read = read_artefact(write(path, members={}, arrays={}, tables={}, manifest={}))
        assert not read.members and not read.arrays and not read.tables

    def test_can_replace_the_file_it_reads_from(self, path: Path) -> None:
        before = path.read_bytes()
        read = read_artefact(path)
        write(path, arrays=read.arrays, tables=read.tables, members=read.members)
        assert path.read_bytes() == before


class TestSameBytes:
    SCRIPT = textwrap.dedent(
        """
        import os, sys
        import numpy as np
        from snc.compiler.artefact import write_artefact
        os.umask(int(sys.argv[2], 8))
        names = {"a", "b", "c", "d", "e", "f"}  # iterated in the order of the hash seed
        write_artefact(
            sys.argv[1],
            members={f"m/{name}": name.encode() for name in names},
            arrays={name: np.full(3, ord(name), "i2") for name in names},
            tables={name: np.full(2, 1, [("x", "<u4")]) for name in names},
            manifest={f"key {name}": {inner: 1.5 for inner in names} for name in names},
        )
        """
    )

    def test_in_any_folder_zone_locale_hash_seed_and_umask(self, tmp_path: Path) -> None:
        digests = set()
        source = Path(artefact.__file__).parents[1]
        settings = [("UTC", "C", "1", "022"), ("Asia/Tokyo", "C.UTF-8", "2", "077"), ("US/Hawaii", "tr_TR", "3", "002")]
        for zone, locale, seed, umask in settings:
            folder = tmp_path / seed
            folder.mkdir()
            environment = {**os.environ, "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": seed}
            environment["PYTHONPATH"] = str(source.parent if source.name == "snc" else source / "src")
            command = [sys.executable, "-c", self.SCRIPT, "out.snc", umask]
            subprocess.run(command, cwd=folder, env=environment, check=True, timeout=60)
            digests.add(hashlib.sha256((folder / "out.snc").read_bytes()).hexdigest())
        assert len(digests) == 1

    def test_whatever_the_order_of_the_mappings(self, tmp_path: Path) -> None:
        def backwards(mapping: dict[str, Any]) -> dict[str, Any]:
            return dict(reversed(mapping.items()))

        content = {"members": MEMBERS, "arrays": ARRAYS, "tables": TABLES, "manifest": MANIFEST}
        changed = {name: backwards(mapping) for name, mapping in content.items()}
        assert write(tmp_path / "a").read_bytes() == write(tmp_path / "b", **changed).read_bytes()


class TestWrite:
    @pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device"), MemoryError])
    @pytest.mark.parametrize("moment", ["fsync", "replace"])
    def test_interrupted_leaves_the_old_file_and_nothing_else(
        self, path: Path, monkeypatch: pytest.MonkeyPatch, error: Any, moment: str
    ) -> None:
        before = path.read_bytes()

        def fail(*_: object) -> None:
            raise error

        monkeypatch.setattr(os, moment, fail)
        with pytest.raises((KeyboardInterrupt, MemoryError, LimitExceeded)):
            write(path, members={"other": b"x"})
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    def test_killed_leaves_a_whole_file(self, path: Path) -> None:
        script = textwrap.dedent(
            """
            import itertools, sys
            import numpy as np
            from snc.compiler.artefact import write_artefact
            for count in itertools.count():
                weights = np.full(3_000_000, count % 100, np.int8)
                write_artefact(sys.argv[1], members={}, arrays={"w": weights}, tables={}, manifest={})
                print(count, flush=True)
            """
        )
        source = Path(artefact.__file__).parents[1]
        search = str(source.parent if source.name == "snc" else source / "src")
        for delay in (0.003, 0.011, 0.017):
            command = [sys.executable, "-c", script, str(path)]
            environment = {**os.environ, "PYTHONPATH": search}
            with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE) as writer:
                assert writer.stdout is not None and writer.stdout.readline() == b"0\n"
                time.sleep(delay)
                writer.send_signal(signal.SIGKILL)
            weights = read_artefact(path).arrays["w"]
            assert len(weights) == 3_000_000 and (weights == weights[0]).all()

    def test_to_a_place_that_cannot_be_written_is_refused(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        for place in (tmp_path / "no" / "net.snc", tmp_path, tmp_path / "fifo", tmp_path / "a\0b"):
            with pytest.raises(UsageError):
                write(place)
        assert [each.name for each in tmp_path.iterdir()] == ["fifo"]

    def test_through_a_link_keeps_the_link(self, path: Path) -> None:
        link = path.parent / "link.snc"
        link.symlink_to(path.name)
        write(link, members={"other": b"x"})
        assert link.is_symlink() and "other" in read_artefact(path).members

    @pytest.mark.parametrize(
        "changes",
        [
            {"members": {"../up": b""}},
            {"members": {"/root": b""}},
            {"members": {"mimetype": b""}},
            {"members": {"manifest.json": b""}},
            {"members": {"weights.safetensors": b""}},
            {"members": {"tables/x.bin": b""}},
            {"members": {f"m{number}": b"" for number in range(5000)}},
            {"manifest": {"members": {}}},
            {"manifest": {"share": float("nan")}},
            {"manifest": {"name": "\ud800"}},
            {"arrays": {"w": np.zeros(3, dtype=np.complex64)}},
            {"arrays": {"w": np.array([None])}},
            {"arrays": {"": np.zeros(3)}},
            {"tables": {"t": np.zeros((2, 2), dtype="<i4")}},
            {"tables": {"t": np.zeros(2, dtype=">i4")}},
            {"tables": {"t": np.zeros(2, dtype=[("a", "<u4", (2,))])}},
            {"tables": {"t": np.zeros(2, dtype=np.dtype([("a", "u1"), ("b", "<u4")], align=True))}},
            {"tables": {"../t": np.zeros(2, dtype="<i4")}},
        ],
    )
    def test_refuses_what_could_not_be_read(self, tmp_path: Path, changes: dict[str, Any]) -> None:
        with pytest.raises(ValueError):
            write(tmp_path / "net.snc", **changes)
        assert not list(tmp_path.iterdir())


class TestDamage:
    def test_of_any_bit_is_found(self, path: Path) -> None:
        content = path.read_bytes()
        generator = np.random.default_rng(1)
        for at, bit in zip(generator.integers(0, len(content), 500), generator.integers(0, 8, 500), strict=True):
            flipped = bytearray(content)
            flipped[at] ^= 1 << int(bit)
            path.write_bytes(flipped)
            assert_refused(path)

    def test_by_cutting_is_found_at_every_length(self, path: Path) -> None:
        content = path.read_bytes()
        for size in [*range(0, len(content), 17), len(content) - 1]:
            path.write_bytes(content[:size])
            assert_refused(path)

    def test_by_added_data_is_found(self, path: Path) -> None:
        content = path.read_bytes()
        for changed in (content + b"\0", b"\0" + content, b"#!/bin/sh\n" + content, content + content):
            path.write_bytes(changed)
            assert_refused(path)

    def test_by_splicing_is_found(self, path: Path) -> None:
        content = path.read_bytes()
        generator = np.random.default_rng(2)
        for _ in range(200):
            start, end, to = (int(each) for each in generator.integers(0, len(content), 3))
            spliced = content[:to] + content[min(start, end) : max(start, end)] + content[to:]
            if spliced != content:
                path.write_bytes(spliced)
                assert_refused(path)


class TestHostileManifest:
    @pytest.mark.parametrize(
        "change",
        [
            lambda manifest: manifest.pop("format"),
            lambda manifest: manifest.update(format="other"),
            lambda manifest: manifest.update(format_version=2),
            lambda manifest: manifest.update(format_version="1"),
            lambda manifest: manifest.update(members=[]),
            lambda manifest: manifest.update(tables=[]),
            lambda manifest: manifest["members"].pop("program.snir"),
            lambda manifest: manifest["members"].update(more={"sha256": "", "size": 0}),
            lambda manifest: manifest["members"]["program.snir"].update(size=9),
            lambda manifest: manifest["members"]["program.snir"].update(sha256="0" * 64),
            lambda manifest: manifest["members"].update({"program.snir": None}),
            lambda manifest: manifest["tables"].pop("tasks"),
            lambda manifest: manifest["tables"].update({"../tasks": manifest["tables"]["tasks"]}),
            lambda manifest: manifest["tables"].update(tasks=None),
            lambda manifest: manifest["tables"]["tasks"].update(count=3),
            lambda manifest: manifest["tables"]["tasks"].update(count=-2),
            lambda manifest: manifest["tables"]["tasks"].update(count=2.0),
            lambda manifest: manifest["tables"]["tasks"].update(count=10**4000),
            lambda manifest: manifest["tables"]["tasks"].update(dtype="|O8"),
            lambda manifest: manifest["tables"]["tasks"].update(dtype=[["a", "|O"]]),
            lambda manifest: manifest["tables"]["tasks"].update(dtype=[["a", "<u4"], ["a", "<u2"], ["b", "|u1"]]),
            lambda manifest: manifest["tables"]["tasks"].update(dtype=[]),
            lambda manifest: manifest["tables"]["tasks"].update(dtype={"names": ["a"]}),
        ],
    )
    def test_is_refused(self, path: Path, change: Callable[[dict[str, Any]], object]) -> None:
        assert_refused(forge_manifest(path, change))

    @pytest.mark.parametrize(
        "text",
        [
            b"",
            b"null",
            b"[]",
            b"{}",
            b'{"a":1,"a":1}',
            b'{ "a":1}',
            b"\xff\xfe",
            b"NaN",
            b"1e999",
            b"[" * 100_000,
            b"9" * 5000,
            '{"format":"snc"}'.encode("utf-16"),
        ],
    )
    def test_that_is_no_canonical_json_is_refused(self, path: Path, text: bytes) -> None:
        assert_refused(forge(path, {**parts(path), "manifest.json": text}))

    def test_that_is_missing_is_refused(self, path: Path) -> None:
        members = parts(path)
        del members["manifest.json"]
        assert_refused(forge(path, members))

    def test_of_a_member_that_was_exchanged_is_refused(self, path: Path) -> None:
        assert_refused(forge(path, {**parts(path), "program.snir": b"module {x\n"}))

    def test_of_weights_that_are_no_safetensors_is_refused(self, path: Path) -> None:
        assert_refused(forge_member(path, "weights.safetensors", b"\x02" + bytes(7) + b"{]"))


class TestReadMembers:
    def test_that_are_missing_or_no_text_are_refused(self, path: Path) -> None:
        read = read_artefact(write(path, members={"bad": b"\xff"}))
        for call in (read.text, read.json):
            for name in ("bad", "absent"):
                with pytest.raises(UnsafeInput):
                    call(name)

    def test_tables_with_other_columns_are_refused(self, path: Path) -> None:
        read = read_artefact(path)
        with pytest.raises(UnsafeInput, match="other columns"):
            read.table("tasks", np.dtype([("step", "<u4"), ("pe", "<u2"), ("kernel", "i1")]))
        with pytest.raises(UnsafeInput, match="missing"):
            read.table("absent", TASK)


class TestRead:
    def test_of_things_that_are_no_file(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        (tmp_path / "empty").touch()
        for place in (tmp_path, tmp_path / "fifo", tmp_path / "empty", Path("/dev/zero")):
            assert_refused(place)
        with pytest.raises(UsageError):
            read_artefact(tmp_path / "absent")

    def test_of_a_file_beyond_the_limit(self, path: Path) -> None:
        with pytest.raises(LimitExceeded):
            read_artefact(path, max_bytes=path.stat().st_size - 1)
        assert isinstance(read_artefact(path, max_bytes=path.stat().st_size), Artefact)

    def test_of_random_bytes(self, path: Path) -> None:
        generator = np.random.default_rng(3)
        for size in range(1, 300):
            path.write_bytes(generator.bytes(size))
            assert_refused(path)

    def test_mentions_the_exit_code_of_corrupt_input(self, path: Path) -> None:
        path.write_bytes(b"PK")
        with pytest.raises(SncError) as caught:
            read_artefact(path)
        assert caught.value.exit_code == 5

    def test_needs_the_mimetype(self, path: Path) -> None:
        assert path.read_bytes()[30:].startswith(MIMETYPE.encode() + b"application/vnd.snc+zip")
