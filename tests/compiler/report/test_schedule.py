"""Drawings of a schedule against its tables and its timeline."""

from __future__ import annotations

import re

import numpy as np
import pytest

import snc
from snc.compiler.report.grid import port_rows, qpe_grid
from snc.compiler.report.heat import STEPS
from snc.compiler.report.layers import details, layer_rows, phase_rows
from snc.compiler.report.measured import Measured, measure
from snc.compiler.report.mesh import link_map
from snc.compiler.report.timeline import BINS, HEIGHT, area, net_timeline
from snc.compiler.self_test import small_model
from snc.runtime.spinn2.loads import Resource


@pytest.fixture(scope="module", params=["spinn2-2020", "spinn2-chip"])
def found(request: pytest.FixtureRequest) -> Measured:
    executable = snc.compile(small_model(), target="spinn2", machine=request.param)
    return measure(executable, lambda stage: None)


def area_of(path: str) -> float:
    """The average height of an area, as a share."""
    steps = re.findall(r"V(\d+)H(\d+)", path)
    ends = [int(end) for _, end in steps]
    widths = np.diff([0, *ends])
    assert ends[-1] == BINS
    return float(sum((HEIGHT - int(height)) * width for (height, _), width in zip(steps, widths, strict=True))) / (
        HEIGHT * BINS
    )


class TestGrid:
    def test_has_a_tile_for_each_element_that_leads_to_its_layer(self, found: Measured) -> None:
        grid = qpe_grid(found)
        assert grid is not None
        tiles = [tile for quad in grid.quads for tile in quad.tiles]
        assert len(tiles) == found.program.processing_elements
        for pe, tile in enumerate(tiles):
            own = found.layer_clocks[pe]
            assert (tile.layer is None) == (not own.any())
            assert tile.layer is None or own[tile.layer] == own.max()
            assert f"PE {pe}," in tile.title
        assert max(tile.level for tile in tiles) == STEPS

    def test_tiles_do_not_overlap_and_lie_within(self, found: Measured) -> None:
        grid = qpe_grid(found)
        assert grid is not None
        corners = [(tile.x, tile.y, tile.side) for quad in grid.quads for tile in quad.tiles]
        taken = [(x, y, side, side) for x, y, side in corners]
        taken += [(port.x, port.y, port.width, port.height) for port in grid.ports]
        for number, (x, y, width, height) in enumerate(taken):
            assert x >= 0 and y >= 0 and x + width <= grid.width and y + height <= grid.height
            for other_x, other_y, other_width, other_height in taken[:number]:
                apart_x = x >= other_x + other_width or other_x >= x + width
                assert apart_x or y >= other_y + other_height or other_y >= y + height

    def test_ports_are_those_of_the_machine(self, found: Measured) -> None:
        rows = port_rows(found)
        assert [row.name for row in rows] == [port.name for port in found.machine.dram.ports]


class TestMesh:
    def test_every_link_between_neighbours_is_there_once(self, found: Measured) -> None:
        mesh = link_map(found)
        assert mesh is not None
        rows, columns = found.machine.mesh.qpe_rows, found.machine.mesh.qpe_columns
        assert len(mesh.routers) == rows * columns
        assert len(mesh.links) == 2 * (rows * (columns - 1) + columns * (rows - 1))
        assert len({(link.x1, link.y1, link.x2, link.y2) for link in mesh.links}) == len(mesh.links)


class TestTimeline:
    def test_areas_are_the_shares_of_the_profile(self, found: Measured) -> None:
        lanes = net_timeline(found, 10).lanes
        for lane, kind in zip(lanes, (Resource.MAC, Resource.ARM, Resource.SRAM, Resource.NOC), strict=False):
            # Heights are whole percents: half a percent is lost at most in each bin.
            assert area_of(lane.area) == pytest.approx(found.times.busy[kind.name.lower()], abs=0.005)

    def test_bars_lie_within_the_run(self, found: Measured) -> None:
        bars = net_timeline(found, 10).bars
        assert [bar.layer for bar in bars] == list(range(len(found.program.layers)))
        for bar in bars:
            # Percents of floats.
            assert -1e-9 <= bar.start <= bar.work_start and bar.start + bar.width <= 100 + 1e-9
            assert bar.work_start + bar.work_width == pytest.approx(bar.start + bar.width)

    def test_an_area_has_a_step_for_each_change(self) -> None:
        assert area(np.array([0.0, 0.0, 0.5, 2.0])) == "M0 100V100H2V50H3V0H4V100z"

    def test_only_the_layers_that_take_most_have_bars(self, found: Measured) -> None:
        (bar,) = net_timeline(found, 1).bars
        assert bar.layer == int(found.times.phase_clocks.sum(axis=1).argmax())


class TestLayers:
    def test_rows_are_those_of_profile_and_summary(self, found: Measured) -> None:
        rows = layer_rows(found, np.array([0]))
        assert [row.clocks for row in rows] == [f"{each['clocks']:,}" for each in found.profile["layers"]]
        assert [row.detailed for row in rows] == [True, *[False] * (len(rows) - 1)]
        for row in rows:
            assert sum(part.width for part in row.parts) == pytest.approx(100)

    def test_phases_and_the_host_make_the_whole_run(self, found: Measured) -> None:
        rows = phase_rows(found)
        assert sum(row.width for row in rows) == pytest.approx(100)
        assert ("host" in [row.name for row in rows]) == (found.times.setup_clocks + found.times.cleanup_clocks > 0)

    def test_a_closer_look_shows_the_elements_where_they_are(self, found: Measured) -> None:
        looks = details(found, np.arange(len(found.program.layers)))
        mesh = found.machine.mesh
        for look in looks:
            assert (look.elements.columns, look.elements.rows) == (2 * mesh.qpe_columns, 2 * mesh.qpe_rows)
            cells = sum(int(length) for _, path in look.elements.paths for length in re.findall(r"h(\d+)", path))
            assert cells == np.count_nonzero(found.layer_clocks[:, look.index])
            assert look.timeline.rows
