"""Specifications: what they mean, and every mistake with its key and line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snc.compiler.cli.build import build
from snc.compiler.cli.target_options import OWN
from snc.compiler.sweep.options import OPTIONS
from snc.compiler.sweep.points import MAX_POINTS
from snc.compiler.sweep.spec import Spec, read_spec
from snc.compiler.targets import TARGETS
from snc.ir.diagnostics import Diagnostic, UsageError


def read(folder: Path, text: str) -> Spec:
    path = folder / "sweep.toml"
    path.write_text(text)
    return read_spec(path)


def mistakes(folder: Path, text: str) -> list[Diagnostic]:
    with pytest.raises(UsageError) as error:
        read(folder, text)
    return list(error.value.diagnostics)


def option_values(spec: Spec, *keywords: str) -> list[tuple[Any, ...]]:
    return [tuple(dict(point.options)[keyword] for keyword in keywords) for point in spec.points]


class TestOptions:
    def test_are_those_of_the_targets(self) -> None:
        for name, target in TARGETS.items():
            assert {option.keyword for option in OPTIONS.values() if option.target == name} == target.options

    def test_are_spelled_as_on_the_command_line_and_have_its_defaults(self) -> None:
        flags = {parameter.name: parameter for parameter in build.params}
        for option in OPTIONS.values():
            parameter = flags["calibration" if option.name == "calibration" else option.keyword]
            assert option.name == "level" or f"--{option.name}" in parameter.opts
            default = parameter.to_info_dict()["default"]
            meant = {"bits": int, "binarize": lambda none: none or "refuse"}.get(option.name, lambda value: value)
            assert option.default == meant(default)
        assert sum(map(len, OWN.values())) == len(OPTIONS)

    @pytest.mark.parametrize("option", OPTIONS.values(), ids=list(OPTIONS))
    def test_read_their_own_defaults(self, option: Any) -> None:
        if option.default is not None:
            assert option.read(option.default) == option.default


class TestGrid:
    def test_takes_every_value_with_every_other_the_last_axis_first(self, tmp_path: Path) -> None:
        text = 'model = "a.onnx"\ntarget = "spinn1"\n[axes]\nweights = ["q4.8", "code16"]\ngroups = [1, "auto"]\n'
        spec = read(tmp_path, text)
        assert option_values(spec, "weights", "groups") == [
            ("q4.8", 1),
            ("q4.8", "auto"),
            ("code16", 1),
            ("code16", "auto"),
        ]
        assert {point.machine for point in spec.points} == {"spinn5"}

    def test_fixed_options_stay_and_others_have_the_defaults_of_build(self, tmp_path: Path) -> None:
        spec = read(tmp_path, 'model = "a.onnx"\n[axes]\nlevel = [0, 3]\n[fixed]\nbits = 16\n')
        assert option_values(spec, "bits", "level", "rescale") == [(16, 0, "multiplier"), (16, 3, "multiplier")]
        assert {point.target for point in spec.points} == {"spinn2"}

    def test_several_models_machines_and_shapes_are_axes(self, tmp_path: Path) -> None:
        text = """
            model = ["a.onnx", "b.onnx"]
            [axes]
            machine = ["spinn3", "spinn5"]
            shape = [{ x = [1, 4] }, { x = [2, 4], y = [1] }]
            [fixed]
            target = "spinn1"
        """
        points = read(tmp_path, text).points
        assert [point.model for point in points] == ["a.onnx"] * 4 + ["b.onnx"] * 4
        assert [point.machine for point in points[:4]] == ["spinn3", "spinn3", "spinn5", "spinn5"]
        assert points[1].shape == (("x", (2, 4)), ("y", (1,)))

    def test_each_target_takes_its_own_options_and_machines(self, tmp_path: Path) -> None:
        text = """
            model = "a.onnx"
            target = ["spinn1", "spinn2"]
            machine = "spinn3"
            [axes]
            groups = [1, 2, 3]
            bits = [8, 16]
        """
        spec = read(tmp_path, text)
        found = [(point.target, point.machine) for point in spec.points]
        assert found == [("spinn1", "spinn3")] * 3 + [("spinn2", "spinn2-2020")] * 2

    def test_a_specification_may_be_a_mapping(self) -> None:
        spec = read_spec({"model": "a.onnx", "axes": {"bits": [8, 16]}, "fixed": {"level": 0}})
        assert option_values(spec, "bits", "level") == [(8, 0), (16, 0)]

    def test_without_axes_there_is_one_point(self, tmp_path: Path) -> None:
        assert len(read(tmp_path, 'model = "a.onnx"\n').points) == 1


class TestExplicitPoints:
    def test_come_behind_the_grid_with_what_is_fixed(self, tmp_path: Path) -> None:
        text = """
            model = "a.onnx"
            target = "spinn1"
            [axes]
            groups = [1, 2]
            [fixed]
            tiles = 3
            [[points]]
            groups = 7
            weights = "q4.8"
            [[points]]
            tiles = 5
        """
        spec = read(tmp_path, text)
        assert option_values(spec, "groups", "tiles", "weights") == [
            (1, 3, "code16"),
            (2, 3, "code16"),
            (7, 3, "q4.8"),
            ("auto", 5, "code16"),
        ]

    def test_alone_they_are_all(self, tmp_path: Path) -> None:
        text = 'target = "spinn1"\n[[points]]\nmodel = "a.onnx"\ngroups = 2\n[[points]]\nmodel = "b.onnx"\n'
        spec = read(tmp_path, text)
        assert [point.model for point in spec.points] == ["a.onnx", "b.onnx"]

    def test_are_for_the_target_that_has_their_options(self, tmp_path: Path) -> None:
        text = 'model = "a.onnx"\ntarget = ["spinn1", "spinn2"]\n[[points]]\nbits = 16\n[[points]]\nlevel = 1\n'
        assert [point.target for point in read(tmp_path, text).points] == ["spinn2", "spinn2"]

    def test_a_point_that_is_named_twice_is_there_once(self, tmp_path: Path) -> None:
        text = 'model = "a.onnx"\ntarget = "spinn1"\n[axes]\ngroups = [1, 2]\n[[points]]\ngroups = 2\n'
        spec = read(tmp_path, text)
        assert (len(spec.points), spec.repeated) == (2, 1)


HEAD = 'model = "a.onnx"\ntarget = "spinn1"\n'
WRONG = {
    "unknown axis": ("[axes]\nwieghts = [1]\n", "SNC0640", 4, "did you mean weights?"),
    "underscores": ("[axes]\nweight_scale = [1]\n", "SNC0640", 4, "did you mean weight-scale?"),
    "unknown key": ("modle = 1\n", "SNC0640", 3, "did you mean model?"),
    "option in the head": ("groups = [1]\n", "SNC0640", 3, "put it under [axes]"),
    "not a list": ("[axes]\ngroups = 1\n", "SNC0641", 4, "a single value goes under [fixed]"),
    "empty list": ("[axes]\ngroups = []\n", "SNC0641", 4, "a list of one value or more"),
    "wrong word": ('[axes]\nrounding = ["up"]\n', "SNC0641", 4, '"nearest" or "truncate" or "floor"'),
    "wrong type": ('[fixed]\ngroups = "2"\n', "SNC0641", 4, "a whole number from 1 to 4096"),
    "out of range": ("[fixed]\ninput-bits = 17\n", "SNC0641", 4, "a whole number from 1 to 16"),
    "truth as a number": ("[fixed]\ngroups = true\n", "SNC0641", 4, "a whole number"),
    "weights": ('[axes]\nweights = ["q4.8", "int8"]\n', "SNC0641", 4, "qM.F"),
    "weights without quotes": ("[axes]\nweights = [4.8]\n", "SNC0641", 4, "in quotes"),
    "factor": ("[fixed]\ntime-scale-factor = 0\n", "SNC0641", 4, "a number from 0.001"),
    "shape": ("[fixed]\nshape = { x = [0] }\n", "SNC0641", 4, "the sizes of inputs"),
    "another target's option": ("[axes]\nbits = [8]\n", "SNC0642", 4, "weights, rounding"),
    "another target's machine": ('[fixed]\nmachine = "spinn2-2020"\n', "SNC0642", 4, "snc targets"),
    "missing machine": ('[fixed]\nmachine = "spinn7"\n', "SNC0641", 4, "spinn5"),
    "given twice": ("[axes]\ngroups = [1]\n[fixed]\ngroups = 2\n", "SNC0642", 6, "once"),
    "axes is a list": ("axes = []\n", "SNC0641", 3, "a table [axes]"),
    "points is a table": ("[points]\ngroups = 1\n", "SNC0641", 3, "tables [[points]]"),
    "mixed point": ("[[points]]\ngroups = 1\nbits = 8\n", "SNC0642", 3, "options and a machine of spinn1"),
    "unknown option of a point": ("[[points]]\n\ngruops = 1\n", "SNC0640", 5, "did you mean groups?"),
    "metric": ('data = "d.npz"\nmetric = "f1"\n', "SNC0641", 4, '"top1"'),
    "classes": ('data = "d.npz"\nclasses = "3"\n', "SNC0641", 4, "a whole number from 1"),
    "labels alone": ('labels = "y.npy"\n', "SNC0642", 3, "add data"),
    "data": ("data = 3\n", "SNC0641", 3, "a text"),
    "objectives": ('objectives = ["speed"]\n', "SNC0641", 3, "accuracy, latency, throughput, energy, cores"),
    "too many points": (
        f"[axes]\ngroups = {list(range(1, 1001))}\ntiles = {list(range(1, 1002))}\n",
        "SNC0643",
        3,
        f"at most {MAX_POINTS:,}",
    ),
}


class TestMistakes:
    @pytest.mark.parametrize(("text", "code", "line", "words"), WRONG.values(), ids=list(WRONG))
    def test_name_key_line_and_what_to_write(self, text: str, code: str, line: int, words: str, tmp_path: Path) -> None:
        (found,) = mistakes(tmp_path, HEAD + text)
        assert found.code == code
        assert found.node == f"{tmp_path / 'sweep.toml'}:{line}"
        assert words in str(found)

    def test_all_are_told_at_once(self, tmp_path: Path) -> None:
        found = mistakes(tmp_path, 'target = "spinn3"\n[axes]\ngroups = [0, "x"]\nfoo = [1]\n')
        places = [each.node.rpartition(":")[2] for each in found[:4]]
        assert [(each.code, place) for each, place in zip(found, places, strict=False)] == [
            ("SNC0641", "1"),
            ("SNC0641", "3"),
            ("SNC0641", "3"),
            ("SNC0640", "4"),
        ]
        assert found[4].message == "no model is named"

    def test_too_many_points_are_counted(self, tmp_path: Path) -> None:
        text = f"[axes]\ngroups = {list(range(1, 1001))}\ntiles = {list(range(1, 1002))}\n"
        assert mistakes(tmp_path, HEAD + text)[0].found == "1,001,000"

    def test_no_model_is_a_mistake(self, tmp_path: Path) -> None:
        assert "no model" in mistakes(tmp_path, 'target = "spinn1"\n')[0].message

    def test_what_is_no_toml_is_said_to_be_none(self, tmp_path: Path) -> None:
        assert mistakes(tmp_path, "model = \n")[0].code == "SNC0502"

    def test_a_missing_file_is_said_to_be_missing(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="cannot be opened"):
            read_spec(tmp_path / "none.toml")
