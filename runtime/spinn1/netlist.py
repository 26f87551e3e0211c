"""A SpiNNaker1 netlist as the executor, the timer and the artefact hold it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import field, frozen

from ...ir.dialects.spinn1 import NetlistOp
from ...ir.dialects.spinn1_tables import TABLES, WORD, WORD_TABLES, PopulationKind
from .checks import check_dtypes, check_parameters, check_populations, check_ports, check_scalars, check_vertices
from .errors import NetlistError
from .machine_checks import check_chips, check_placements, check_routes, tile_keys

__all__ = ["Netlist", "NetlistError"]

Words = npt.NDArray[np.uint32]
Table = npt.NDArray[np.void]
Integers = npt.NDArray[np.int64]

SCALARS = ("width", "height", "tiles", "interval", "latency", "timestep_us", "tick_us", "colour_bits", "key_stride")


def _table(name: str) -> Table:
    return np.zeros(0, TABLES[name])


def _words() -> Words:
    return np.zeros(0, WORD)


@frozen(eq=False)
class Netlist:
    """Tables and words (`ir/dialects/spinn1_tables.py`) and the numbers of `NetlistOp`, which says what they mean."""

    machine: str
    width: int
    height: int
    tiles: int
    interval: int
    latency: int
    timestep_us: int
    tick_us: int
    colour_bits: int
    key_stride: int
    labels: tuple[str, ...]
    populations: Table = field(factory=lambda: _table("populations"))
    vertices: Table = field(factory=lambda: _table("vertices"))
    sources: Table = field(factory=lambda: _table("sources"))
    outputs: Table = field(factory=lambda: _table("outputs"))
    placements: Table = field(factory=lambda: _table("placements"))
    routes: Table = field(factory=lambda: _table("routes"))
    chips: Table = field(factory=lambda: _table("chips"))
    master: Words = field(factory=_words)
    words: Words = field(factory=_words)
    parameters: Words = field(factory=_words)

    @classmethod
    def of(cls, op: NetlistOp) -> Netlist:
        """The netlist that an operation holds."""
        names = ("machine", *SCALARS, "labels", *TABLES, *WORD_TABLES)
        return cls(**{name: getattr(op, name) for name in names})

    def tables(self) -> dict[str, npt.NDArray[np.generic]]:
        """Every table by its name in `TABLES` and `WORD_TABLES`."""
        return {name: getattr(self, name) for name in (*TABLES, *WORD_TABLES)}

    @property
    def neurons(self) -> int:
        """Neurons of a tile, source neurons included."""
        return int(self.populations["neurons"].sum(dtype=np.int64))

    @property
    def computing_neurons(self) -> int:
        """Neurons of a tile that are no sources and do more than carry biases."""
        cells = self.populations[self.populations["kind"] == PopulationKind.NEURON]
        return int((cells["neurons"].astype(np.int64) - cells["bias_neurons"]).sum())

    @property
    def elements(self) -> int:
        """Elements of a sample that the sources ask for: one more than the largest that they name."""
        return int(self.sources["element"].max(initial=-1)) + 1

    @property
    def time_scale_factor(self) -> float:
        """Real time over simulated time."""
        return self.tick_us / self.timestep_us

    def vertex_neurons(self) -> Integers:
        """First neuron (within the tile) of each vertex: int64[vertices]."""
        first = self.populations["first_neuron"][self.vertices["population"]].astype(np.int64)
        return first + self.vertices["low"]

    def is_source(self) -> npt.NDArray[np.bool_]:
        """Whether each vertex belongs to a SOURCE population: bool[vertices]."""
        kinds: npt.NDArray[np.bool_] = self.populations["kind"][self.vertices["population"]] == PopulationKind.SOURCE
        return kinds

    def validate(self) -> None:
        """Check every table and span on its own; the words themselves are checked when they are decoded.

        Raises NetlistError, which names the first bad row, what was found and what was expected.
        """
        check_dtypes(self.tables())
        check_scalars({name: getattr(self, name) for name in SCALARS}, len(self.vertices))
        check_populations(self.populations, self.labels)
        lengths = {name: len(getattr(self, name)) for name in WORD_TABLES}
        check_vertices(self.vertices, self.populations, self.colour_bits, lengths)
        tile_keys(self.vertices, self.tiles, self.key_stride)
        check_parameters(self.vertices, self.parameters, ~self.is_source())
        source = self.populations["kind"] == PopulationKind.SOURCE
        check_ports(self.sources, self.outputs, np.repeat(source, self.populations["neurons"]), self.latency)
        check_chips(self.chips, self.width, self.height)
        check_placements(self.placements, self.chips, self.tiles, len(self.vertices))
        check_routes(self.routes, self.chips)
