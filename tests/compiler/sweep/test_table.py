"""The file of rows: what was written to its end is there, nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from snc.compiler.sweep.columns import EMPTY, HEADER, OK, line_of
from snc.compiler.sweep.table import locked, open_rows
from snc.ir.diagnostics import UnsafeInput, UsageError

ROWS = [{**EMPTY, "key": str(number), "status": OK, "latency_s": number / 3} for number in range(3)]
LINES = [line_of(row).encode() for row in ROWS]


class TestRows:
    def test_are_on_the_disk_one_by_one(self, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        with open_rows(path) as (file, known, notes):
            assert (known, notes, path.read_bytes()) == ({}, [], HEADER.encode())
            for number, row in enumerate(ROWS):
                file.append(row)
                assert path.read_bytes() == HEADER.encode() + b"".join(LINES[: number + 1])
        with open_rows(path) as (_, known, notes):
            assert (known, notes) == ({str(row["key"]): row for row in ROWS}, [])

    @pytest.mark.parametrize("kept", range(0, len(HEADER) + len(LINES[0]) + len(LINES[1]), 37))
    def test_a_file_cut_anywhere_keeps_its_whole_rows(self, kept: int, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        whole = HEADER.encode() + LINES[0] + LINES[1]
        path.write_bytes(whole[:kept])
        ends = [len(HEADER), len(HEADER) + len(LINES[0])]
        with open_rows(path) as (file, known, notes):
            assert len(known) == sum(end <= kept for end in ends[1:])
            assert [note.code for note in notes] == ["SNC0647"] * (kept not in (0, *ends))
            file.append(ROWS[2])
        with open_rows(path) as (_, known, notes):
            assert known["2"] == ROWS[2] and not notes

    def test_of_two_rows_with_one_key_the_last_counts(self, tmp_path: Path) -> None:
        later = {**ROWS[0], "latency_s": 9.0}
        (tmp_path / "rows.csv").write_bytes(HEADER.encode() + LINES[0] + line_of(later).encode())
        with open_rows(tmp_path / "rows.csv") as (_, known, _notes):
            assert known == {"0": later}

    @pytest.mark.parametrize("content", [b"key,status\n", HEADER.encode().replace(b"\n", b"\r\n"), b"\0\n", b"\n"])
    def test_other_files_are_refused_and_stay(self, content: bytes, tmp_path: Path) -> None:
        path = tmp_path / "rows.csv"
        path.write_bytes(content)
        with pytest.raises(UnsafeInput, match="SNC0645"), open_rows(path):
            raise AssertionError("opened")
        assert path.read_bytes() == content

    def test_a_folder_in_its_place_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="SNC0646"), open_rows(tmp_path):
            raise AssertionError("opened")


class TestLock:
    def test_is_for_one_at_a_time_and_goes_with_it(self, tmp_path: Path) -> None:
        for _ in range(2):
            with locked(tmp_path / "r"), pytest.raises(UsageError, match="SNC0644"), locked(tmp_path / "r"):
                raise AssertionError("locked twice")
