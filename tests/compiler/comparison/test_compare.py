"""What changed from one build to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs
import jsonschema
import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper

import snc
from snc.compiler.comparison.compare import Amount, Comparison, compare, diff_schema
from snc.compiler.comparison.network import ArrayChange, array_changes, setting_changes
from snc.compiler.comparison.scores import compared_scores, read_scores
from snc.compiler.comparison.sides import Side, read_side
from snc.compiler.evaluation.record import Evaluation, Stage
from snc.compiler.self_test import small_model
from snc.ir.builder import Builder
from snc.ir.core import Block
from snc.ir.diagnostics import UnsafeInput, UsageError
from snc.ir.dialects.builtin import ConstantOp, FuncOp, ModuleOp, ReturnOp
from snc.ir.location import Location
from snc.ir.parser import parse_module

from ..step_models import dense_steps

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "int64", "uint64", "bool")


def changed_model() -> onnx.ModelProto:
    """The small model with two other weights in its dense layer, which keep the range."""
    model = small_model()
    (weights,) = (each for each in model.graph.initializer if each.name == "w2")
    array = numpy_helper.to_array(weights).copy()
    array[7, 3], array[100, 1] = 0.0, 0.01
    weights.CopyFrom(numpy_helper.from_array(array, "w2"))
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("builds")


@pytest.fixture(scope="module")
def builds(folder: Path) -> dict[str, Side]:
    """Artefacts of small networks, by what is special about them."""
    steps = onnx.load_from_string(dense_steps("key"))
    spiking: dict[str, Any] = {"target": "spinn1", "machine": "spinn3", "groups": 2, "tiles": 2}
    made = {
        "plain": snc.compile(small_model()),
        "again": snc.compile(small_model()),
        "weights": snc.compile(changed_model()),
        "baseline": snc.compile(small_model(), mapping="baseline"),
        "chip": snc.compile(small_model(), machine="spinn2-chip"),
        "steps": snc.compile(steps, **spiking),
        "slow steps": snc.compile(steps, **spiking, time_scale_factor=9),
        "coarse steps": snc.compile(steps, **spiking, weights="q4.2"),
    }
    found = {}
    for name, executable in made.items():
        executable.save(folder / f"{name}.snc")
        found[name] = read_side(folder / f"{name}.snc")
    return found


def facts(found: Comparison) -> dict[str, tuple[Any, Any]]:
    return {fact.name: (fact.a, fact.b) for fact in found.facts}


class TestBuilds:
    def test_two_builds_of_one_model_do_not_differ(self, builds: dict[str, Side]) -> None:
        for a, b in (("plain", "again"), ("steps", "steps")):
            found = compare(builds[a], builds[b])
            assert not found.changed
            assert not (found.facts or found.layers or found.arrays or found.settings or found.members)
            assert found.amounts and not any(amount.changed for amount in found.amounts)
            assert repr(found).endswith("0 facts, 0 layers, 0 arrays, 0 settings, 0 members changed>")

    def test_a_changed_weight_is_found_in_its_layer(self, builds: dict[str, Side]) -> None:
        found = compare(builds["plain"], builds["weights"])
        assert found.changed and set(facts(found)) == {"source_sha256"}
        (array,) = (row for row in found.arrays if row.array == "matmul weight")
        assert array.onnx == ("dense",) and array.layer == "dense" and array.change == "values"
        assert array.shape_a == array.shape_b == (288, 5) and array.elements == 1440 and array.differ == 2
        assert array.largest_difference is not None and 1 < array.largest_difference < 128
        assert "weights.safetensors" in [member.name for member in found.members]
        assert not found.layers and not any(amount.changed for amount in found.amounts)

    def test_another_mapping_changes_layers_and_clocks_and_no_array(self, builds: dict[str, Side]) -> None:
        found = compare(builds["plain"], builds["baseline"])
        assert facts(found)["mapping"] == ("optimized", "baseline")
        assert not found.arrays and not found.settings
        assert {layer.change for layer in found.layers} == {"added", "gone", "changed"}
        clocks = found.amount("clocks")
        before, after = (builds[name].profile["total_clocks"] for name in ("plain", "baseline"))
        assert (clocks.a, clocks.b, clocks.unit, clocks.better) == (before, after, "clocks", "lower")
        for layer in found.layers:
            assert layer.onnx and " + ".join(layer.onnx) == layer.name

    def test_another_machine_is_told_by_name_and_by_text(self, builds: dict[str, Side]) -> None:
        told = facts(compare(builds["plain"], builds["chip"]))
        assert told["machine"] == ("spinn2-2020", "spinn2-chip")
        assert {"machine_sha256", "option machine"} <= set(told)

    def test_spiking_builds_are_compared_by_population(self, builds: dict[str, Side]) -> None:
        slow = compare(builds["steps"], builds["slow steps"])
        assert facts(slow)["choice time_scale_factor"][1] == 9.0
        assert slow.amount("time step").b == 0.009
        assert not slow.arrays
        coarse = compare(builds["steps"], builds["coarse steps"])
        assert facts(coarse)["option weights"] == ("code16", "q4.2")
        assert {array.array for array in coarse.arrays} >= {"project weight"}
        assert all(array.onnx for array in coarse.arrays)

    def test_two_targets_are_compared_in_what_they_share(self, builds: dict[str, Side]) -> None:
        found = compare(builds["plain"], builds["steps"])
        assert found.targets == ("spinn2", "spinn1") and facts(found)["target"] == ("spinn2", "spinn1")
        assert not (found.layers or found.arrays or found.settings or found.members)
        names = {amount.name for amount in found.amounts}
        assert names == {"latency", "throughput", "energy of a sample", "artefact", "processors used"}
        assert found.amount("processors used").unit == "processors"

    def test_the_other_way_round_says_the_same(self, builds: dict[str, Side]) -> None:
        for a, b in (("plain", "baseline"), ("plain", "weights"), ("steps", "coarse steps"), ("plain", "steps")):
            there, back = compare(builds[a], builds[b]), compare(builds[b], builds[a])
            assert facts(there) == {name: (old, new) for name, (new, old) in facts(back).items()}
            assert {(x.name, x.a, x.b) for x in there.amounts} == {(x.name, x.b, x.a) for x in back.amounts}
            assert {(x.name, x.change == "added", x.change == "gone") for x in there.layers} == {
                (x.name, x.change == "gone", x.change == "added") for x in back.layers
            }
            assert {(x.layer, x.array, x.differ, x.largest_difference) for x in there.arrays} == {
                (x.layer, x.array, x.differ, x.largest_difference) for x in back.arrays
            }

    def test_the_largest_change_comes_first(self, builds: dict[str, Side]) -> None:
        found = compare(builds["plain"], builds["baseline"])
        sizes = [amount.size for amount in found.amounts]
        assert sizes == sorted(sizes, reverse=True) and sizes[0] > 0
        moved = [abs((layer.amounts[0].b or 0) - (layer.amounts[0].a or 0)) for layer in found.layers]
        assert moved == sorted(moved, reverse=True)
        shares = [
            (array.differ or 0) / array.elements for array in compare(builds["steps"], builds["coarse steps"]).arrays
        ]
        assert shares == sorted(shares, reverse=True)

    def test_keeps_its_schema(self, builds: dict[str, Side]) -> None:
        schema = diff_schema()
        jsonschema.Draft202012Validator.check_schema(schema)
        for a, b in (
            ("plain", "plain"),
            ("plain", "baseline"),
            ("plain", "weights"),
            ("steps", "coarse steps"),
            ("chip", "steps"),
        ):
            document = json.loads(json.dumps(compare(builds[a], builds[b]).as_json(), allow_nan=False))
            jsonschema.validate(document, schema)
            assert set(schema["required"]) == set(schema["properties"]) == set(document)
            for amount in (*document["amounts"], *(each for row in document["layers"] for each in row["amounts"])):
                assert amount["unit"]


class TestAmount:
    @given(st.integers(-1000, 1000), st.integers(-1000, 1000))
    def test_per_cent_is_of_the_first(self, a: int, b: int) -> None:
        amount = Amount("n", "B", a, b)
        if a:
            assert amount.percent == pytest.approx(100 * (b - a) / abs(a))
        else:
            assert amount.percent == (0.0 if b == 0 else None)
        assert amount.changed == (a != b) == (amount.size > 0)

    def test_what_is_absent_has_no_ratio(self) -> None:
        assert Amount("n", "B", None, 3).percent is None and Amount("n", "B", None, 3).size == float("inf")
        assert not Amount("n", "B", None, None).changed


def module_of(array: np.ndarray, name: str = "node") -> ModuleOp:
    """A module that returns a constant."""
    body = Block()
    build = Builder(body)
    constant = build.insert(ConstantOp(value=array))
    build.insert(ReturnOp(values=(constant.out,), location=Location((name,))))
    return ModuleOp(body=_block(FuncOp(sym_name="main", body=body)))


def _block(op: FuncOp) -> Block:
    block = Block()
    Builder(block).insert(op)
    return block


class TestArrays:
    @given(st.sampled_from(INTEGERS), st.lists(st.integers(1, 4), max_size=3), st.integers(0, 2**32 - 1))
    def test_integers_are_compared_exactly(self, kind: str, shape: list[int], seed: int) -> None:
        rng = np.random.default_rng(seed)
        size = np.dtype(kind).itemsize
        raw = rng.integers(0, 2 if kind == "bool" else 256, (2, *shape, size), np.uint8)
        a, b = raw.view(kind)[..., 0]
        b = np.where(rng.integers(0, 2, shape, np.uint8).astype(bool), a, b).astype(kind)
        gaps = [abs(int(x) - int(y)) for x, y in zip(a.reshape(-1), b.reshape(-1), strict=True)]
        found = array_changes(module_of(a), module_of(b))
        if not any(gaps):
            assert found == []
            return
        expected = (sum(1 for gap in gaps if gap), max(gaps))
        assert [(row.differ, row.largest_difference) for row in found] == [expected]
        assert found[0].array == "return values 0" and found[0].onnx == ("node",)

    def test_values_that_are_not_finite_have_no_difference_that_json_could_hold(self) -> None:
        for other in (np.nan, np.inf):
            (found,) = array_changes(module_of(np.float32([1, 2])), module_of(np.float32([1, other])))
            assert found.differ == 1 and found.largest_difference is None
        assert array_changes(module_of(np.float32([np.nan])), module_of(np.float32([np.nan]))) == []

    def test_other_shapes_types_and_places(self) -> None:
        zeros = np.zeros((2, 3), np.int8)
        (shape,) = array_changes(module_of(zeros), module_of(zeros.T.copy()))
        assert (shape.change, shape.shape_a, shape.shape_b, shape.differ) == ("shape", (2, 3), (3, 2), None)
        (kind,) = array_changes(module_of(zeros), module_of(zeros.astype(np.int16)))
        assert kind.change == "shape"
        moved = array_changes(module_of(zeros), module_of(zeros, "other"))
        assert [(row.layer, row.change) for row in moved] == [("node", "gone"), ("other", "added")]
        assert all(isinstance(row, ArrayChange) and row.elements == 6 for row in moved)

    def test_settings_are_those_that_are_no_arrays(self) -> None:
        text = """
        module {{
          func @main(%x: tensor<1x2x4x4xf32>) -> tensor<1x2x{size}x{size}xf32> {{
            %0 = nn.max_pool2d %x {{kernel = [{kernel}, {kernel}], strides = [1, 1], pads = [0, 0, 0, 0],
              dilations = [1, 1], ceil = false}} : (tensor<1x2x4x4xf32>) -> tensor<1x2x{size}x{size}xf32> loc("pool")
            return %0 : tensor<1x2x{size}x{size}xf32>
          }}
        }}"""
        a, b = (parse_module(text.format(size=5 - kernel, kernel=kernel), {}) for kernel in (2, 3))
        (found,) = setting_changes(a, b)
        assert (found.layer, found.operation, found.setting) == ("pool", "nn.max_pool2d", "kernel")
        assert (found.a, found.b) == ("[2, 2]", "[3, 3]")
        assert setting_changes(a, a) == []
        gone = setting_changes(a, module_of(np.zeros(3)))
        assert ("operation", "nn.max_pool2d", "absent") in [(row.setting, row.a, row.b) for row in gone]


def evaluation(side: Side, **changes: Any) -> Evaluation:
    """An evaluation of an artefact."""
    stages = (Stage("float", "", {"top1": 0.95}, 0.0, 100), Stage("quant", "", {"top1": 0.9}, 0.05, 100))
    found = Evaluation(
        target=side.executable.target,
        machine="any",
        source_sha256=side.executable.source_sha256,
        data="digits.npz",
        data_sha256="ab" * 32,
        samples=100,
        metric="top1",
        scores={"top1": 0.9, "top5": 0.99},
        stages=stages,
        layers=(),
        worst=None,
    )
    return attrs.evolve(found, **changes)


class TestScores:
    def read(self, path: Path, document: Any, side: Side) -> Any:
        path.write_text(json.dumps(document))
        return read_scores(path, side)

    def test_scores_and_losses_are_paired(self, tmp_path: Path, builds: dict[str, Side]) -> None:
        side = builds["plain"]
        first = self.read(tmp_path / "a.json", {"command": "eval", "evaluation": evaluation(side).as_json()}, side)
        worse = evaluation(side, scores={"top1": 0.8, "top5": 0.99})
        second = self.read(tmp_path / "b.json", worse.as_json(), side)
        scores, notes = compared_scores(first, second)
        assert not notes
        assert [(each.name, each.a, each.b, each.unit, each.better) for each in scores[:2]] == [
            ("top1", 0.9, 0.8, "share", "higher"),
            ("top5", 0.99, 0.99, "share", "higher"),
        ]
        assert [(each.name, each.a, each.better) for each in scores[2:]] == [
            ("loss by float", 0.0, "lower"),
            ("loss by quant", 0.05, "lower"),
        ]
        assert compare(side, side, scores).changed and not compare(side, side, scores[1:]).changed

    def test_other_samples_are_warned_of(self, tmp_path: Path, builds: dict[str, Side]) -> None:
        side = builds["plain"]
        first = self.read(tmp_path / "a.json", evaluation(side).as_json(), side)
        for change in ({"samples": 99}, {"data_sha256": "cd" * 32}):
            second = self.read(tmp_path / "b.json", evaluation(side, **change).as_json(), side)
            (note,) = compared_scores(first, second)[1]
            assert note.code == "SNC0675" and note.severity == "warning"

    def test_another_network_is_refused(self, tmp_path: Path, builds: dict[str, Side]) -> None:
        with pytest.raises(UsageError, match="SNC0674"):
            self.read(tmp_path / "a.json", evaluation(builds["plain"]).as_json(), builds["steps"])

    @pytest.mark.parametrize(
        "text",
        [
            *("", "[]", "3", "{}", '{"evaluation": 3}', '{"scores": {}}', "[" * 100_000, "\xff"),
            '{"target": "spinn2", "source_sha256": 5}',
        ],
    )
    def test_other_files_are_refused(self, tmp_path: Path, builds: dict[str, Side], text: str) -> None:
        (tmp_path / "x.json").write_bytes(text.encode("latin-1"))
        with pytest.raises(UnsafeInput, match="SNC0673"):
            read_scores(tmp_path / "x.json", builds["plain"])

    def test_numbers_that_are_none_are_refused(self, tmp_path: Path, builds: dict[str, Side]) -> None:
        for value in ("NaN", "Infinity", "true", '"0.9"', "null", "1e999"):
            document = json.dumps(evaluation(builds["plain"]).as_json()).replace("0.99", value)
            (tmp_path / "x.json").write_text(document)
            with pytest.raises(UnsafeInput, match="expected a number"):
                read_scores(tmp_path / "x.json", builds["plain"])
