"""Import of NIR files: chains that were exported come back, other files are refused."""

from __future__ import annotations

from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from snc import compile
from snc.backends.spinn1.export.nir import export_nir
from snc.compiler import nir_file
from snc.compiler.nir import import_nir
from snc.ir.diagnostics import LimitExceeded, ModelError, SncError, UnsafeInput, UsageError
from snc.ir.dialects import default_context
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.verifier import verify
from snc.passes.legality import check_legality
from snc.passes.pipeline import parse_pipeline
from snc.runtime.interpreter.evaluate import evaluate

from ..backends.spinn1.nets import SpikingNet, dense_module

nir = pytest.importorskip("nir")
h5py = pytest.importorskip("h5py")

TO_SPIKES = parse_pipeline("quantize-weights,lower-to-spiking")


@st.composite
def chains(draw: st.DrawFn) -> ModuleOp:
    """Chains of convolutions, poolings and matrices, as NIR can say them."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, 2)), draw(st.integers(2, 6)), draw(st.integers(2, 6)))
    net = SpikingNet(*shape)
    spikes = net.x
    for kind in draw(st.lists(st.sampled_from(("conv", "pool")), max_size=2)):
        channels, rows, columns = spikes.shape[1:]
        if kind == "conv":
            out = (draw(st.integers(1, 3)), rows, columns)
            kernel = rng.integers(-40, 40, (out[0], channels, 3, 3)) << 9
            current = net.project(spikes, "conv2d", kernel, out, pads=(1, 1, 1, 1))
        else:
            out = (channels, (rows - 2) // 2 + 1 if rows > 1 else 1, (columns - 2) // 2 + 1 if columns > 1 else 1)
            if min(rows, columns) < 2:
                continue
            current = net.project(spikes, "pool", 1 << 15, out, kernel=(2, 2), strides=(2, 2))
        threshold = rng.integers(-9, 60, int(np.prod(out))) << 9
        spikes = net.population(current, threshold=threshold, shift_exc=9, shift_inh=9)
    for _ in range(draw(st.integers(1, 2))):
        inputs, neurons = int(np.prod(spikes.shape[1:])), draw(st.integers(1, 9))
        weight = rng.integers(-40, 40, (inputs, neurons)) << 9
        current = net.project(spikes, "all-to-all", weight, (neurons,), input_shape=(1, inputs))
        spikes = net.population(current, threshold=9 << 9, shift_exc=9, shift_inh=9)
    return net.module(spikes)


def written(folder: Path, content: bytes) -> Path:
    path = folder / "net.nir"
    path.write_bytes(content)
    return path


def graph(folder: Path, *nodes: Any, edges: list[tuple[str, str]] | None = None) -> Path:
    """A chain of nodes, not checked by the package."""
    names = [f"n{i}" for i in range(len(nodes))]
    pairs = list(pairwise(names)) if edges is None else edges
    path = folder / "net.nir"
    nir.write(path, nir.NIRGraph(nodes=dict(zip(names, nodes, strict=True)), edges=pairs, type_check=False))
    return path


def source(*shape: int) -> Any:
    return nir.Input(input_type={"input": np.array(shape)})


def sink(*shape: int) -> Any:
    return nir.Output(output_type={"output": np.array(shape)})


def step(*shape: int, above: float = 0.5) -> Any:
    return nir.Threshold(threshold=np.full(shape, above))


class TestImport:
    @settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(module=chains(), seed=st.integers(0, 99))
    def test_what_was_exported_comes_back(self, tmp_path: Path, module: ModuleOp, seed: int) -> None:
        back = import_nir(written(tmp_path, export_nir(module)))
        verify(back, default_context())
        assert check_legality(back, "binary") == []
        TO_SPIKES.run(back)
        rng = np.random.default_rng(seed)
        for _ in range(4):
            x = rng.integers(0, 2, module.main.body.arguments[0].shape).astype(np.float32)
            np.testing.assert_array_equal(
                evaluate(back, [x.reshape(back.main.body.arguments[0].shape)])[0], evaluate(module, [x])[0]
            )

    def test_reads_affine_scale_and_average(self, tmp_path: Path) -> None:
        rng = np.random.default_rng(1)
        weight, bias = rng.integers(-4, 5, (3, 8)) / 4, rng.integers(-4, 5, 3) / 4
        nodes = (
            source(2, 4, 4),
            nir.AvgPool2d(kernel_size=np.array([2, 2]), stride=np.array([2, 2]), padding=np.array([0, 0])),
            nir.Scale(scale=np.full((2, 2, 2), 2.0)),
            step(2, 2, 2, above=0.75),
            nir.Flatten(input_type={"input": np.array([2, 2, 2])}, start_dim=0),
            nir.Affine(weight=weight, bias=bias),
            step(3, above=0.0),
            sink(3),
        )
        module = import_nir(graph(tmp_path, *nodes))
        assert module.main.input_names == ("n0",)
        for _ in range(20):
            x = rng.integers(0, 2, (1, 2, 4, 4)).astype(np.float32)
            hidden = x.reshape(2, 2, 2, 2, 2).mean(axis=(2, 4)) * 2 > 0.75
            expected = weight @ hidden.reshape(-1) + bias > 0
            np.testing.assert_array_equal(evaluate(module, [x])[0][0], expected)


class TestRefusals:
    def check(self, path: Path, error: type[SncError], match: str) -> None:
        with pytest.raises(error, match=match):
            import_nir(path)

    def test_neurons_that_remember(self, tmp_path: Path) -> None:
        neuron = nir.IF(r=np.ones(2), v_threshold=np.ones(2), v_reset=np.zeros(2))
        self.check(graph(tmp_path, source(2), nir.Linear(weight=np.eye(2)), neuron, sink(2)), ModelError, "type IF")

    def test_graphs_that_branch(self, tmp_path: Path) -> None:
        nodes = source(2), nir.Linear(weight=np.eye(2)), nir.Linear(weight=np.eye(2)), step(2), sink(2)
        edges = [("n0", "n1"), ("n0", "n2"), ("n1", "n3"), ("n2", "n3"), ("n3", "n4")]
        self.check(graph(tmp_path, *nodes, edges=edges), ModelError, "no chain")

    def test_circles(self, tmp_path: Path) -> None:
        nodes = source(2), nir.Linear(weight=np.eye(2)), step(2), sink(2)
        edges = [("n0", "n1"), ("n1", "n2"), ("n2", "n1")]
        self.check(graph(tmp_path, *nodes, edges=edges), ModelError, "no chain")

    @pytest.mark.parametrize(
        ("nodes", "match"),
        [
            ((source(2), nir.Linear(weight=np.eye(2)), sink(2)), "no spikes"),
            ((source(2), step(2), sink(2)), "no weights before"),
            ((source(3), nir.Linear(weight=np.eye(2)), step(2), sink(2)), "do not fit the inputs"),
            ((source(2), nir.Linear(weight=np.eye(2)), step(3), sink(2)), "threshold does not fit"),
            ((source(2), nir.Linear(weight=np.eye(2)), step(2), sink(5)), "another shape"),
            ((source(2), nir.Linear(weight=np.eye(2) * np.nan), step(2), sink(2)), "no finite numbers"),
            ((source(1 << 30), nir.Linear(weight=np.eye(2)), step(2), sink(2)), "is not taken"),
            (
                (
                    source(2, 4, 4),
                    nir.SumPool2d(*[np.array([4000, 4000])] * 2, np.array([0, 0])),
                    step(2, 1, 1),
                    sink(2),
                ),
                "window is too large",
            ),
            (
                (source(1, 4, 4), nir.SumPool2d(*[np.array([2, 2])] * 2, np.array([3, 3])), step(1, 2, 2), sink(4)),
                "padding alone",
            ),
            (
                (source(1, 2, 2), nir.SumPool2d(*[np.array([9, 9])] * 2, np.array([0, 0])), step(1, 1, 1), sink(1)),
                "does not fit what comes before",
            ),
        ],
    )
    def test_chains_that_are_no_network_of_steps(self, tmp_path: Path, nodes: tuple[Any, ...], match: str) -> None:
        self.check(graph(tmp_path, *nodes), ModelError, match)

    def test_files_that_are_missing_or_folders(self, tmp_path: Path) -> None:
        self.check(tmp_path / "none.nir", UsageError, "cannot be read")
        self.check(tmp_path, UsageError, "no regular file")

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(place=st.integers(0, 1 << 20), byte=st.integers(0, 255), cut=st.booleans())
    def test_damaged_files_raise_an_error_of_ours_or_none(
        self, tmp_path: Path, place: int, byte: int, cut: bool
    ) -> None:
        content = bytearray(export_nir(dense_module(6, 4, 3)))
        if cut:
            content = content[: place % len(content)]
        else:
            content[place % len(content)] = byte
        with suppress(SncError):
            import_nir(written(tmp_path, bytes(content)))

    def test_arrays_that_unpack_to_more_than_allowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = written(tmp_path, export_nir(dense_module(6, 4, 3)))
        with h5py.File(path, "r+") as file:
            node = file["node/nodes/layer1_linear"]
            del node["weight"]
            node.create_dataset("weight", shape=(1 << 20, 1 << 20), dtype="f8", chunks=(1024, 1024), compression="gzip")
        self.check(path, LimitExceeded, "too large")
        monkeypatch.setattr(nir_file, "MAX_FILE_BYTES", 10)
        self.check(path, LimitExceeded, "too large")

    def test_links_to_other_places(self, tmp_path: Path) -> None:
        path = written(tmp_path, export_nir(dense_module(6, 4, 3)))
        with h5py.File(path, "r+") as file:
            node = file["node/nodes/layer1_linear"]
            del node["weight"]
            node["weight"] = h5py.ExternalLink("/etc/passwd", "/x")
        self.check(path, UnsafeInput, "a link")
        with h5py.File(path, "r+") as file:
            node = file["node/nodes/layer1_linear"]
            del node["weight"]
            node.create_dataset("weight", (4, 6), "f8", external=[("/etc/hostname", 0, 4 * 6 * 8)])
        self.check(path, UnsafeInput, "no array of this file")

    def test_objects_and_missing_fields(self, tmp_path: Path) -> None:
        path = written(tmp_path, export_nir(dense_module(6, 4, 3)))
        with h5py.File(path, "r+") as file:
            del file["node/nodes/layer1/threshold"]
        self.check(path, UnsafeInput, "lacks fields")
        with h5py.File(path, "r+") as file:
            file["node/nodes/layer1"]["threshold"] = np.zeros(4, [("a", "f8")])
        self.check(path, UnsafeInput, "no plain numbers")


class TestBuild:
    def test_a_file_is_built_and_gives_the_spikes_of_the_network_that_it_came_from(self, tmp_path: Path) -> None:
        module = dense_module(20, 12, 7)
        (tmp_path / "net.nir").write_bytes(export_nir(module))
        network = compile(tmp_path / "net.nir", target="spinn1", tiles=1)
        x = np.random.default_rng(4).integers(0, 2, (9, *network.inputs[0].shape[1:])).astype(np.float32)
        expected = np.concatenate([evaluate(module, [sample[None]])[0].reshape(1, -1) for sample in x])
        np.testing.assert_array_equal(network(x), expected.astype(np.uint8))

    def test_shapes_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "net.nir").write_bytes(export_nir(dense_module(4, 3)))
        with pytest.raises(UsageError, match="SNC0314"):
            compile(tmp_path / "net.nir", target="spinn1", shapes={"x": (1, 4)})
