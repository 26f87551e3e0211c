"""Runs an exported network with the real toolchain on a virtual board and reads what it would have loaded.

SNC_SPYNNAKER_PYTHON names the interpreter of an environment that holds `spynnaker==1!7.4.1`; it runs as a process of
its own and nothing of it is imported here.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from snc.backends.spinn1.export.pynn import SCRIPT, export_pynn
from snc.ir.dialects.spinn1_tables import PLACEMENT, ROUTE, WORD
from snc.runtime.spinn1.netlist import Netlist

PYTHON = os.environ.get("SNC_SPYNNAKER_PYTHON", "")
SETTINGS = """[Machine]
version = 5
virtual_board = True
{machine}
[Reports]
write_network_graph = False
[Mode]
mode = {mode}
"""
MONITORS_OFF = "enable_advanced_monitor_support = False\nenable_reinjection = False"
LABEL = re.compile(r"(?P<population>.*)/(?P<tile>\d+)\((?P<low>\d+):\d+\)")


@attrs.frozen
class Image:
    """`placements` as in a netlist; also memory `regions` of tile 0 by (vertex, name) and `routes`, if asked for."""

    regions: dict[tuple[int, str], NDArray[np.uint32]]
    placements: NDArray[Any]
    routes: NDArray[Any]


def run_toolchain(
    netlist: Netlist, folder: Path, *, tiles: int = 1, monitors: bool = True, words: bool = True
) -> Image:
    """What the toolchain makes of an exported netlist; `words` asks for memory images and routes, too."""
    for name, content in export_pynn(netlist).items():
        (folder / name).write_bytes(content)
    mode = "Debug" if words else "Info"
    settings = SETTINGS.format(machine="" if monitors else MONITORS_OFF, mode=mode)
    (folder / ".spynnaker.cfg").write_text(settings)
    done = subprocess.run(
        [PYTHON, SCRIPT, "spiNNaker", "--tiles", str(tiles)],
        cwd=folder,
        env={**os.environ, "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (report,) = folder.glob("reports/2*/run_1")
    placements = _placements(netlist, report)
    by_core = {(x, y, p): vertex for tile, vertex, x, y, p in placements.tolist() if tile == 0}
    if not words:
        return Image({}, placements, np.zeros(0, ROUTE))
    return Image(_regions(report, by_core), placements, _routes(report))


def _placements(netlist: Netlist, report: Path) -> NDArray[Any]:
    populations, found = netlist.populations, []
    with sqlite3.connect(report / "input_output_database.sqlite3") as base:
        rows = base.execute(
            "select label, chip_x, chip_y, chip_p from Machine_vertices join Placements using (vertex_id)"
        )
        for label, x, y, p in rows:
            if label.startswith("SYSTEM:"):
                continue
            named = LABEL.fullmatch(label)
            assert named is not None, label
            population = populations[netlist.labels.index(named["population"])]
            vertex = population["first_vertex"] + int(named["low"]) // population["neurons_per_core"]
            found.append((int(named["tile"]), int(vertex), x, y, p))
    return np.array(sorted(found), PLACEMENT)


def _routes(report: Path) -> NDArray[Any]:
    tables = json.loads((report / "json_files" / "routing_tables.json").read_text())
    rows = [
        (table["x"], table["y"], entry["key"], entry["mask"], entry["spinnaker_route"])
        for table in sorted(tables, key=lambda table: (table["x"], table["y"]))
        for entry in table["entries"]
    ]
    return np.array(rows, ROUTE)


def _regions(report: Path, by_core: dict[tuple[int, int, int], int]) -> dict[tuple[int, str], NDArray[np.uint32]]:
    found = {}
    with sqlite3.connect(report / "ds.sqlite3") as base:
        for x, y, p, name, content in base.execute("select x, y, p, region_label, content from region"):
            if (x, y, p) in by_core and content is not None:
                found[by_core[x, y, p], name] = np.frombuffer(content, WORD)
    return found
