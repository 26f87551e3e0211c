"""The tables of a machine file as records: what each key is, with its unit."""

from __future__ import annotations

from typing import NamedTuple

from attrs import frozen

from ..machine_file import Index


class Chip(NamedTuple):
    """Position of a chip on the mesh, or of a board's first chip."""

    x: int
    y: int


class ChipRow(NamedTuple):
    """A row of a board: its first column and its number of chips."""

    first_column: int
    chips: int


class ChipCores(NamedTuple):
    """A chip of a board and how many cores it has."""

    x: int
    y: int
    cores: int


class Core(NamedTuple):
    """A core of a chip, by number."""

    x: int
    y: int
    core: int


class Link(NamedTuple):
    """The way out of a chip in one direction (see LINKS)."""

    x: int
    y: int
    link: int


@frozen
class Identity:
    """Name of the machine and where it is described."""

    name: str
    title: str
    source: str


@frozen
class Mesh:
    """The grid of chips; `wraps` joins its opposite sides. `board_origins` are the boards' own [0, 0]."""

    width_chips: int
    height_chips: int
    wraps: bool
    board_origins: tuple[Chip, ...]
    source: str


@frozen
class Board:
    """The chips of one board, row by row from the bottom, and their cores."""

    chip_rows: tuple[ChipRow, ...]
    cores_per_chip: int
    smaller_chips: tuple[ChipCores, ...]
    source: str


@frozen
class Defects:
    """What is broken; a dead link takes one direction only."""

    dead_chips: tuple[Chip, ...]
    dead_cores: tuple[Core, ...]
    dead_links: tuple[Link, ...]


@frozen
class System:
    """Cores that the system keeps for itself; the last two only when `monitors` is set."""

    scamp_cores_per_chip: int
    monitors: bool
    monitor_cores_per_chip: Index
    gatherer_cores_per_board: Index
    source: str


@frozen
class CoreUnit:
    """One core: clock in Hz, memories in bytes, the toolchain's limits."""

    clock_hz: int
    itcm_bytes: int
    dtcm_bytes: int
    neurons_per_core: int
    ring_buffer_entries: int
    row_words: int
    source: str


@frozen
class Dtcm:
    """What a core's data memory holds besides ring buffers, in bytes; `row_buffers` rows of the largest size."""

    core_bytes: Index
    neuron_bytes: Index
    source_neuron_bytes: Index
    table_entry_bytes: Index
    table_address_bytes: Index
    row_buffers: int
    source: str


@frozen
class Sdram:
    """The memory that the cores of a chip share, in bytes, and what each core takes of it at least."""

    chip_bytes: int
    core_bytes: Index
    bytes_per_second: int
    source: str


@frozen
class Router:
    """The packet router of a chip; `application_entries` of its `entries` are free. Keys hold `colour_bits` bits."""

    entries: int
    application_entries: int
    key_bits: int
    colour_bits: Index
    hop_ns: Index
    packets_per_second: int
    link_packets_per_second: int
    source: str


@frozen
class CycleCosts:
    """Clocks of a core for its operations, and how many packets wait in its queue at most."""

    tick_cycles: Index
    packet_cycles: Index
    lookup_cycles: Index
    lookup_step_cycles: Index
    dma_setup_cycles: Index
    dma_word_cycles: Index
    synapse_cycles: int
    neuron_cycles: int
    send_cycles: Index
    source_tick_cycles: Index
    source_send_cycles: Index
    fifo_packets: int
    source: str


@frozen
class Energy:
    """Watts of idle chips, of busy cores on top and of a board beside its chips; joules of a packet's hop."""

    chip_idle_watts: float
    core_active_watts: float
    board_watts: float
    packet_hop_joules: float
    uncertainty_percent: float
    source: str
