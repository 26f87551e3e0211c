"""Evaluations and sweeps from files, which are taken for hostile until they are read."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snc.compiler.report import evaluation_file, sweep_file
from snc.compiler.report.evaluation_file import read_evaluation
from snc.compiler.report.sweep_file import read_sweep
from snc.ir.diagnostics import SncError, UnsafeInput, UsageError

from .pages import evaluation_of, schedule

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=6,
)
HEADER = "key,model,groups,status,metric,accuracy,latency_s,cores,something_new"


def places(document: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value of a document."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [at, *(found for key, value in items for found in places(value, (*at, key)))]


def code_of(error: pytest.ExceptionInfo[Any]) -> str:
    return str(error.value.diagnostics[0].code)


class TestReadEvaluation:
    @pytest.mark.parametrize("wrap", [lambda it: it, lambda it: {"command": "eval", "evaluation": it}])
    def test_reads_what_was_written(self, tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
        expected = evaluation_of(schedule())
        path = tmp_path / "eval.json"
        path.write_text(json.dumps(wrap(expected.as_json())))
        assert read_evaluation(path) == expected

    @given(data=st.data())
    @settings(max_examples=150, deadline=None)
    def test_anything_else_is_refused_or_read_as_an_evaluation(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        document = copy.deepcopy(evaluation_of(schedule()).as_json())
        *way, last = data.draw(st.sampled_from(places(document)[1:]))
        holder = document
        for key in way:
            holder = holder[key]
        holder[last] = data.draw(JSON)
        path = tmp_path_factory.getbasetemp() / "changed.json"
        path.write_text(json.dumps(document))
        try:
            found = read_evaluation(path)
        except UnsafeInput as error:
            assert error.diagnostics[0].code == "SNC0661"
        else:
            assert all(found.metric in stage.scores for stage in found.stages)

    @pytest.mark.parametrize("text", ["", "[", "[]", "7", "[" * 100_000, '{"target": "spinn2"}', "\ud800"])
    def test_refuses_what_is_none(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "eval.json"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(UnsafeInput) as caught:
            read_evaluation(path)
        assert code_of(caught) == "SNC0661"

    def test_refuses_what_is_too_long(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(evaluation_file, "MAX_BYTES", 10)
        path = tmp_path / "eval.json"
        path.write_text(" " * 11)
        with pytest.raises(UnsafeInput) as caught:
            read_evaluation(path)
        assert code_of(caught) == "SNC0661"

    def test_says_when_there_is_no_file(self, tmp_path: Path) -> None:
        for path in (tmp_path / "absent.json", tmp_path):
            with pytest.raises(UsageError) as caught:
                read_evaluation(path)
            assert code_of(caught) == "SNC0660"


class TestReadSweep:
    def table(self, folder: Path, *rows: str, header: str = HEADER) -> Path:
        path = folder / "table.csv"
        path.write_text("\n".join((header, *rows)) + "\n")
        return path

    def test_takes_columns_by_their_names_and_keeps_what_differs(self, tmp_path: Path) -> None:
        path = self.table(
            tmp_path,
            "a,net,1,ok,top1,0.9,0.5,40,x",
            'b,net,2,ok,top1,0.8,0.25,20,"x, y"',
            "c,net,4,does-not-fit,,,,,x",
            "d,net,8,unscored,,,0.1,10,x",
        )
        found = read_sweep(path)
        assert found.options == ("groups", "something_new")
        assert [row.options for row in found.rows] == [("1", "x"), ("2", "x, y"), ("4", "x"), ("8", "x")]
        assert found.rows[0].measures == {"accuracy": 0.9, "latency_s": 0.5, "cores": 40.0}
        assert not found.rows[2].measures and found.rows[3].measures == {"latency_s": 0.1, "cores": 10.0}

    @pytest.mark.parametrize(
        ("header", "row"),
        [
            ("", ""),
            ("key,model", "a,b"),
            ("status,status", "ok,ok"),
            ("status,cores", "ok"),
            ("status,cores", "ok,many"),
            ("status", '"ok'),
        ],
    )
    def test_refuses_what_is_none(self, tmp_path: Path, header: str, row: str) -> None:
        with pytest.raises(UnsafeInput) as caught:
            read_sweep(self.table(tmp_path, row, header=header))
        assert code_of(caught) == "SNC0662"

    def test_refuses_too_many_rows(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweep_file, "MAX_ROWS", 1)
        with pytest.raises(UnsafeInput):
            read_sweep(self.table(tmp_path, "ok", "ok", header="status"))

    @given(content=st.binary(max_size=60) | st.text(',\n"statuoke0.5e9-', max_size=60).map(str.encode))
    @settings(max_examples=150, deadline=None)
    def test_any_bytes_are_read_or_refused(self, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
        path = tmp_path_factory.getbasetemp() / "any.csv"
        path.write_bytes(b"status,cores\n" + content)
        try:
            assert len(read_sweep(path).rows) <= len(content)
        except SncError as error:
            assert error.diagnostics[0].code == "SNC0662"
