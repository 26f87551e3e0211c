"""Drawings of a spiking network against its netlist and its spikes."""

from __future__ import annotations

import math

import attrs
import numpy as np
import pytest

from snc.compiler.report.board import MARGIN, PITCH, board
from snc.compiler.report.populations import population_rows
from snc.compiler.report.raster import raster, sample_timeline
from snc.compiler.report.spiking_measured import TRACED_SAMPLES, SpikingMeasured, measure_spikes, traced_samples
from snc.compiler.spinn1.executable import SpikingExecutable
from snc.ir.dialects.spinn1_tables import LINKS
from snc.runtime.spinn1.streams import deal

from ..step_models import samples
from .pages import compiled_for, spiking
from .test_heat import painted


@pytest.fixture(scope="module")
def found() -> SpikingMeasured:
    return measure_spikes(spiking(), [samples(12, 12)], lambda stage: None)


class TestBoard:
    def test_every_core_lies_on_its_chip_in_the_group_of_its_layer(self, found: SpikingMeasured) -> None:
        drawing = board(found)
        assert drawing is not None
        netlist = found.netlist
        assert [chip.label for chip in drawing.chips] == [f"{chip['x']},{chip['y']}" for chip in netlist.chips]
        drawn = sorted(
            (chip.label, group.layer) for chip in drawing.chips for group in chip.groups for _ in group.cores
        )
        layer = netlist.vertices["population"][netlist.placements["vertex"]]
        placed = zip(netlist.placements["x"], netlist.placements["y"], layer, strict=True)
        assert drawn == sorted((f"{x},{y}", int(own)) for x, y, own in placed)
        for chip in drawing.chips:
            cores = [(core.x, core.y) for group in chip.groups for core in group.cores] + list(chip.idle)
            assert len(set(cores)) == len(cores)
            assert all(math.dist(core, (chip.x, chip.y)) < PITCH / 2 for core in cores)

    def test_neighbours_by_link_are_neighbours_on_paper(self) -> None:
        executable = compiled_for("spinn5")
        assert isinstance(executable, SpikingExecutable)
        drawing = board(measure_spikes(executable, None, lambda stage: None))
        assert drawing is not None
        at = {chip.label: (chip.x, chip.y) for chip in drawing.chips}
        assert len(at) == 48
        for chip in drawing.chips:
            x, y = map(int, chip.label.split(","))
            beside = [at[place] for dx, dy in LINKS if (place := f"{x + dx},{y + dy}") in at]
            assert len(beside) >= 3
            # The lattice is made of floats.
            assert all(math.dist(place, (chip.x, chip.y)) == pytest.approx(PITCH) for place in beside)

    def test_a_torus_fills_a_rectangle(self, found: SpikingMeasured) -> None:
        drawing = board(found)
        assert drawing is not None and found.machine.mesh.wraps
        width, height = found.netlist.width, found.netlist.height
        assert len({(round(chip.x), round(chip.y)) for chip in drawing.chips}) == width * height
        # Rows are shifted by half a chip.
        assert drawing.width == pytest.approx(2 * MARGIN + (width - 0.5) * PITCH)

    def test_links_are_those_that_work(self, found: SpikingMeasured) -> None:
        drawing = board(found)
        assert drawing is not None
        assert len(drawing.links) == sum(int(links).bit_count() for links in found.netlist.chips["links"])


class TestRaster:
    def test_shows_every_spike_of_the_trace(self, found: SpikingMeasured) -> None:
        drawing = raster(found)
        spikes = sum(np.count_nonzero(painted(band.cells)) for band in drawing.bands)
        # The network is so small that each neuron has a row of its own.
        assert spikes == np.count_nonzero(found.trace)
        assert drawing.samples == TRACED_SAMPLES == len(drawing.entries)

    def test_the_first_tile_gets_the_samples(self) -> None:
        netlist = spiking().netlist
        shown = traced_samples(netlist, spiking().activity)
        assert deal(len(shown), netlist.tiles)[1] == TRACED_SAMPLES

    def test_a_network_too_large_to_follow_gets_one_sample(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("snc.compiler.report.spiking_measured.MOST_CELLS", 10)
        assert len(traced_samples(spiking().netlist, spiking().activity)) == 1


class TestSampleTimeline:
    def test_counts_the_spikes_of_neurons_when_they_are_due(self, found: SpikingMeasured) -> None:
        drawing = sample_timeline(found)
        assert drawing is not None
        interval = found.netlist.interval
        for band, row in zip(drawing.bands, found.netlist.populations, strict=True):
            cells = painted(band.cells)
            for group in range(len(cells)):
                neurons = np.flatnonzero(found.due == found.due[int(row["first_neuron"])] + group)
                own = neurons[(neurons >= row["first_neuron"]) & (neurons < row["first_neuron"] + row["neurons"])]
                times = [found.trace[found.due[own] + sample * interval, own] for sample in range(found.traced)]
                assert cells[group].any() == bool(np.any(times))

    def test_is_left_out_where_the_network_says_nothing_of_steps(self, found: SpikingMeasured) -> None:
        assert sample_timeline(attrs.evolve(found, due=np.full_like(found.due, -1))) is None
        assert sample_timeline(attrs.evolve(found, operations=None)) is None


class TestPopulations:
    def test_rows_name_the_nodes_and_share_the_clocks(self, found: SpikingMeasured) -> None:
        rows = population_rows(found)
        assert [row.index for row in rows] == list(range(len(found.netlist.labels)))
        assert "first" in rows[1].nodes
        assert max(row.width for row in rows) == pytest.approx(100)
        assert found.core_clocks.sum() == pytest.approx(found.traffic.clocks.sum())
