"""The numbers of a machine that decide how long a program takes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

Integers = npt.NDArray[np.int64]


@frozen
class MacClocks:
    """The MAC array: its size, what it fetches and writes a clock, and its stalls (clocks for one ideal clock)."""

    columns: int
    rows: int
    result_bytes_per_clock: int
    conv_strides: tuple[int, ...]
    clocks_per_16_bit_step: int
    weight_request_clocks: int
    input_step_clocks: int
    task_clocks: int
    conv_1x1_stall: float
    conv_stall: float
    matmul_local_stall: float
    matmul_remote_stall: float


@frozen
class ArmClocks:
    """Clocks of the ARM core for one element, unless the name says another unit."""

    pad_word: float
    quantize: float
    relu_i32: float
    relu_i8: float
    max_pool_i8_input: float
    max_pool_i32_input: float
    add: float
    multiply: float
    average_pool_input: float
    table: float
    maximum: float
    softmax: float
    lrn_term: float


@frozen(eq=False)
class NocClocks:
    """The mesh: a router for each of `rows` x `columns` positions, numbered row by row.

    `router_of_pe` is int64[PEs]; `attach` is int64[DRAM ports, routers]: where packets between a port and a router
    enter or leave the mesh. A router, or with `per_lane` each of its outgoing links, passes `packets` packets in
    `clocks` PE clocks.
    """

    rows: int
    columns: int
    router_of_pe: Integers
    attach: Integers
    packet_bytes: int
    packets: int
    clocks: int
    per_lane: bool
    request_packets: int
    pe_packets_per_clock: int
    hop_clocks: float
    multicast: bool

    @property
    def routers(self) -> int:
        """Number of routers."""
        return self.rows * self.columns


@frozen
class DramClocks:
    """Each DRAM port passes `bytes` in `clocks` PE clocks; the interface and the way to the mesh delay the first."""

    ports: int
    bytes: int
    clocks: int
    interface_clocks: int
    attach_clocks: float


@frozen
class HostClocks:
    """The host: clocks of a message to or from it, orders that it gives a clock, fixed clocks around a run.

    With `orders_transfers` it tells each element what to load or copy, too, one after the other, and what the element
    needs for it waits; else elements have lists of their own transfers.
    """

    interface_clocks: int
    tasks_per_clock: int
    setup_clocks: int
    layer_clocks: int
    cleanup_clocks: int
    orders_transfers: bool = False


@frozen(eq=False)
class Clocks:
    """A machine as the timer sees it. Every time is in clocks of the PEs, of which there are `hertz` a second."""

    processing_elements: int
    hertz: int
    sram_port_bytes_per_clock: int
    mac: MacClocks
    arm: ArmClocks
    noc: NocClocks
    dram: DramClocks
    host: HostClocks
