"""Rows as lines of CSV."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.sweep.columns import COLUMNS, EMPTY, FAILED, MAX_MESSAGE, OK, STATUSES, finding_cells, line_of, row_of
from snc.ir.diagnostics import Diagnostic

TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=12)
VALUES = {
    "text": TEXTS,
    "whole": st.none() | st.integers(-(2**62), 2**62),
    "number": st.none() | st.floats(allow_nan=False),
    "flag": st.none() | st.booleans(),
}


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    return {column.name: draw(VALUES[column.kind]) for column in COLUMNS} | {"status": draw(st.sampled_from(STATUSES))}


class TestLines:
    @given(row=rows())
    @settings(max_examples=40)
    def test_read_back_exactly(self, row: dict[str, Any]) -> None:
        line = line_of(row)
        assert line.count("\n") == 1
        read = row_of(line)
        assert read == row
        numbers = [name for name, value in row.items() if isinstance(value, float)]
        assert all(math.copysign(1, read[name]) == math.copysign(1, row[name]) for name in numbers)  # type: ignore[arg-type]

    @pytest.mark.parametrize("name", ["a\nb", "a\r\nb", "a\u2028b", "a\x0bb"])
    def test_a_row_is_one_line_whatever_a_file_is_called(self, name: str) -> None:
        line = line_of({**EMPTY, "status": OK, "model": name})
        assert line.splitlines() == [line[:-1]]

    @pytest.mark.parametrize(
        "change",
        [
            lambda line: line[1:],
            lambda line: line.replace("ok", "fine"),
            lambda line: line.replace("ok", "ok,"),
            lambda line: '"' + line,
            lambda line: line.replace("0.5", "0.50"),
            lambda line: line.replace("0.5", "half"),
        ],
    )
    def test_other_lines_are_refused(self, change: Any) -> None:
        line = line_of({**EMPTY, "status": OK, "latency_s": 0.5})
        with pytest.raises(ValueError):
            row_of(change(line))


class TestFindings:
    def test_the_first_in_one_line_and_the_number_of_the_others(self) -> None:
        findings = [Diagnostic("SNC0001", "too\nlarge", found="3", expected="2", node="fc"), Diagnostic("SNC0002", "b")]
        cells = finding_cells(FAILED, findings)
        assert cells == {
            "status": FAILED,
            "code": "SNC0001",
            "message": "fc: too large; found 3; expected 2 (and 1 more)",
        }

    def test_long_ones_are_cut(self) -> None:
        message = finding_cells(FAILED, [Diagnostic("SNC0001", "x" * 1000)])["message"]
        assert len(str(message)) == MAX_MESSAGE
