"""Word for word beside the real toolchain, where it is installed (see spynnaker_image.py)."""

from __future__ import annotations

from pathlib import Path

import attrs
import numpy as np
import pytest
from numpy.typing import NDArray

from snc.backends.spinn1.machine import load_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.runtime.spinn1.netlist import Netlist
from snc.runtime.spinn1.routing import follow
from snc.runtime.spinn1.synapses import decode

from .nets import SpikingNet, dense_module
from .shared_nets import NETS
from .spynnaker_image import PYTHON, Image, run_toolchain

pytestmark = pytest.mark.skipif(not PYTHON, reason="SNC_SPYNNAKER_PYTHON names no interpreter")

BOARD = load_machine("spinn5")


@pytest.fixture(scope="module", params=NETS, ids=lambda net: net.__name__)
def both(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Netlist, Image]:
    netlist = build_netlist(request.param(), BOARD, tiles=1, time_scale_factor=5)
    return netlist, run_toolchain(netlist, tmp_path_factory.mktemp("spynnaker"))


def span(netlist: Netlist, vertex: int, table: str, first: str, size: str) -> NDArray[np.uint32]:
    row = netlist.vertices[vertex]
    words: NDArray[np.uint32] = getattr(netlist, table)[row[first] : row[first] + row[size]]
    return words


def in_order(master: NDArray[np.uint32], words: NDArray[np.uint32]) -> list[list[list[int]]]:
    """For each matrix its rows, header first, synapses sorted: the toolchain leaves their order to chance."""
    entries, addresses = int(master[0]), int(master[1])
    listed = master[2 + 5 * entries : 2 + 5 * entries + addresses]
    starts = [*(int(each >> 8) * 4 for each in listed), len(words)]
    found = []
    for each, begin, end in zip(listed.tolist(), starts, sorted(starts)[1:], strict=False):
        pitch = (each & 0xFF) + 4
        rows = words[begin : begin + (end - begin) // pitch * pitch].reshape(-1, pitch)
        found.append([[*row[:3], *sorted(row[3 : 3 + row[1]]), *row[3 + row[1] :]] for row in rows.tolist()])
    return found


class TestWords:
    def test_of_master_tables_are_the_same(self, both: tuple[Netlist, Image]) -> None:
        netlist, image = both
        for vertex in np.flatnonzero(~netlist.is_source()).tolist():
            ours = span(netlist, vertex, "master", "first_master", "master_words")
            assert ours.tolist() == image.regions[vertex, "PopTable"].tolist()

    def test_of_synapses_are_the_same(self, both: tuple[Netlist, Image]) -> None:
        netlist, image = both
        for vertex in np.flatnonzero(~netlist.is_source()).tolist():
            master = image.regions[vertex, "PopTable"]
            ours, theirs = span(netlist, vertex, "words", "first_word", "words"), image.regions[vertex, "SynBlocks"]
            assert len(ours) == len(theirs) and in_order(master, ours) == in_order(master, theirs)

    def test_of_neurons_are_the_same(self, both: tuple[Netlist, Image]) -> None:
        netlist, image = both
        for vertex in np.flatnonzero(~netlist.is_source()).tolist():
            ours = span(netlist, vertex, "parameters", "first_parameter", "parameter_words")
            assert ours.tolist() == image.regions[vertex, "neuron_params"].tolist()

    def test_of_keys_bits_and_shifts_are_the_same(self, both: tuple[Netlist, Image]) -> None:
        netlist, image = both
        for number in np.flatnonzero(~netlist.is_source()).tolist():
            vertex = netlist.vertices[number]
            population = netlist.populations[vertex["population"]]
            _, _, _, colour_bits, _, exc, inh, *keys = image.regions[number, "Neuron Core Params"].tolist()
            assert colour_bits == netlist.colour_bits
            if vertex["mask"]:
                assert keys == (int(vertex["key"]) + (np.arange(vertex["count"]) << colour_bits)).tolist()
            _, types, index_bits, type_bits, delay_bits, *_ = image.regions[number, "SynapseParams"].tolist()
            assert (1 << type_bits, index_bits, type_bits, delay_bits) == (
                types,
                population["index_bits"],
                population["type_bits"],
                population["delay_bits"],
            )
            assert (exc, inh) == (population["shift_exc"], population["shift_inh"])


class TestRoutes:
    def test_lead_to_the_same_vertices(self, both: tuple[Netlist, Image]) -> None:
        netlist, image = both
        theirs = attrs.evolve(netlist, placements=image.placements, routes=image.routes)
        theirs.validate()
        ours, found = follow(netlist), follow(theirs)
        assert np.array_equal(ours.sender, found.sender) and np.array_equal(ours.receiver, found.receiver)

    def test_start_from_as_many_cores_and_no_more_chips(self, both: tuple[Netlist, Image]) -> None:
        netlist, image = both
        assert len(netlist.placements) == len(image.placements)
        ours, theirs = (len(np.unique(table[["x", "y"]])) for table in (netlist.placements, image.placements))
        assert ours <= theirs


def with_their_words(netlist: Netlist, image: Image) -> Netlist:
    """The netlist with everything that the toolchain would load in place of ours; keys are the same."""
    vertices = netlist.vertices.copy()
    for table, region, first, size in (
        ("master", "PopTable", "first_master", "master_words"),
        ("words", "SynBlocks", "first_word", "words"),
    ):
        spans = [image.regions.get((vertex, region), np.zeros(0, np.uint32)) for vertex in range(len(vertices))]
        vertices[size] = [len(each) for each in spans]
        vertices[first] = np.cumsum(vertices[size]) - vertices[size]
        netlist = attrs.evolve(netlist, **{table: np.concatenate(spans)})
    return attrs.evolve(netlist, vertices=vertices, placements=image.placements, routes=image.routes)


def synapses_of(netlist: Netlist) -> NDArray[np.int64]:
    netlist.validate()
    found = decode(netlist, follow(netlist))
    columns = (found.vertex(), found.neuron(), found.receptor, found.target, found.delay, found.weight)
    table = np.stack([column.astype(np.int64) for column in columns])
    return table[:, np.lexsort(table[::-1])]


class TestConvolutions:
    def test_have_the_same_synapses_in_fewer_words(self, tmp_path: Path) -> None:
        net = SpikingNet(1, 12, 12, groups=3, per_core=32)
        kernel = np.random.default_rng(3).integers(-50, 50, (4, 1, 3, 3))
        maps = net.population(net.project(net.x, "conv2d", kernel, (4, 12, 12), pads=(1, 1, 1, 1)), threshold=9)
        pooled = net.population(net.project(maps, "pool", 5, (4, 6, 6), kernel=(2, 2), strides=(2, 2)), threshold=5)
        netlist = build_netlist(net.module(pooled), BOARD, tiles=1)
        theirs = with_their_words(netlist, run_toolchain(netlist, tmp_path))
        assert np.array_equal(synapses_of(netlist), synapses_of(theirs))
        assert len(netlist.words) < len(theirs.words)


class TestTiles:
    def test_of_the_slides_fill_as_many_cores_and_chips(self, tmp_path: Path) -> None:
        module = dense_module(785, 100, 100, 100, density=0.02)
        netlist = build_netlist(module, BOARD.with_monitors(False), tiles=190, time_scale_factor=5)
        image = run_toolchain(netlist, tmp_path, tiles=190, monitors=False, words=False)
        used = [len(np.unique(table[["x", "y"]])) for table in (netlist.placements, image.placements)]
        assert len(netlist.placements) == len(image.placements) == 760 and used == [46, 46]
