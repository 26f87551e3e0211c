"""What links, routers and memories of a board pass in a step, and how busy its cores are, by the spikes of a run."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn1_tables import LINKS, WORD
from .checks import Integers
from .event_layout import Count
from .events import EventResult
from .machine_checks import chip_of
from .netlist import Netlist
from .routing import Paths

Floats = npt.NDArray[np.float64]


@frozen(eq=False)
class Traffic:
    """Averages over the steps of a run, with all tiles at work as the tiles of the run were.

    `links` float64[chips, 6] are packets a step that leave a chip by each of its LINKS, `routers` float64[chips] those
    that pass its router, `fetched` float64[chips] bytes that its cores fetch from SDRAM in a step. `clocks`
    float64[vertices] are those that a core of the tile works in a step.
    """

    links: Floats
    routers: Floats
    fetched: Floats
    clocks: Floats

    @classmethod
    def of(cls, netlist: Netlist, paths: Paths, result: EventResult) -> Traffic:
        """The traffic of a netlist whose packets take these paths, in a run with events."""
        chips, vertices = len(netlist.chips), max(len(netlist.vertices), 1)
        spikes = _rate(result, Count.SPIKES)
        fetched = np.tile(_rate(result, Count.FETCHED_WORDS) * WORD.itemsize, netlist.tiles)
        lane = paths.hop_chip * len(LINKS) + paths.hop_link
        return cls(
            links=_sums(lane, spikes[paths.hop_sender % vertices], chips * len(LINKS)).reshape(-1, len(LINKS)),
            routers=_sums(paths.visit_chip, spikes[paths.visit_sender % vertices], chips),
            fetched=_sums(chip_of(netlist.placements, netlist.chips, "placements"), fetched, chips),
            clocks=_rate(result, Count.BUSY_CLOCKS),
        )

    @property
    def link_packets(self) -> float:
        """Packets a step of the busiest link."""
        return float(self.links.max(initial=0.0))

    @property
    def router_packets(self) -> float:
        """Packets a step of the busiest router."""
        return float(self.routers.max(initial=0.0))

    @property
    def fetched_bytes(self) -> float:
        """Bytes a step of the busiest memory."""
        return float(self.fetched.max(initial=0.0))


def _rate(result: EventResult, count: Count) -> Floats:
    """What is counted of each vertex in a step, on average: float64[vertices]."""
    return result.counts[:, count] / max(result.steps, 1)


def _sums(key: Integers, weight: Floats, count: int) -> Floats:
    found: Floats = np.bincount(key, weights=weight, minlength=count).astype(np.float64)
    return found
