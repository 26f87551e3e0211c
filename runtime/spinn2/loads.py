"""What the rows of a program demand of each resource of a machine.

Resources are numbered: the MAC arrays, ARM cores, SRAM ports and NoC inputs of all PEs, then the places of the mesh
(see `noc.occupied`), the DRAM ports and the host. A load is an amount in the resource's own unit: clocks, accesses,
packets, bytes, tasks.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ...ir.dialects.spinn2_tables import MAC_KERNELS, NO_BUFFER, Copy
from .arm_clocks import arm_clocks
from .clocks import Clocks, Integers
from .mac_clocks import mac_work
from .noc import DIRECTIONS, Flows, hops, join_flows, occupied
from .orders import Orders
from .program import Program
from .touches import ceil_div, field, is_kernel


class Resource(IntEnum):
    """Classes of resources."""

    MAC = 0
    ARM = 1
    SRAM = 2
    PE_INPUT = 3
    NOC = 4
    DRAM = 5
    HOST = 6


@frozen(eq=False)
class Resources:
    """Number of the first resource of each class (and the end), and what one unit of load costs: clocks / units."""

    first: Integers
    clocks: Integers
    units: Integers

    @classmethod
    def of(cls, clocks: Clocks) -> Resources:
        """The resources of a machine."""
        noc, elements = clocks.noc, clocks.processing_elements
        places = noc.routers * (DIRECTIONS if noc.per_lane else 1)
        count = [elements] * 4 + [places, clocks.dram.ports, 1]
        words = max(clocks.sram_port_bytes_per_clock // noc.packet_bytes, 1)
        slower = max(noc.packet_bytes // clocks.sram_port_bytes_per_clock, 1)
        cost = [1, 1, slower, 1, noc.clocks, clocks.dram.clocks, 1]
        unit = [1, 1, words, noc.pe_packets_per_clock, noc.packets, clocks.dram.bytes, clocks.host.tasks_per_clock]
        return cls(np.append(0, np.cumsum(count)), np.repeat(cost, count), np.repeat(unit, count))

    def busy(self, resource: Integers, load: Integers) -> Integers:
        """Clocks that resources need for their loads."""
        return ceil_div(load * self.clocks[resource], self.units[resource])


@frozen(eq=False)
class Moves:
    """Transfers as the timer sees them, int64[transfers] each.

    `source`, `target` are memories (-1 for the source of a fill), `start`, `end` the routers at both ends, `size` bytes
    that arrive, `packets` packets, `latency` clocks from the start to the first byte.
    """

    source: Integers
    target: Integers
    start: Integers
    end: Integers
    size: Integers
    packets: Integers
    latency: Integers


@frozen(eq=False)
class Loads:
    """Amounts int64[n] by (group, resource), each pair once, in order; and what single rows need.

    `task_resource`, `task_clocks` tell what each task occupies for how long, `macs` its useful products. `flows` are
    the packets on the mesh.
    """

    group: Integers
    resource: Integers
    amount: Integers
    task_resource: Integers
    task_clocks: Integers
    macs: Integers
    moves: Moves
    flows: Flows
    orders: Orders


def moves_of(program: Program, clocks: Clocks) -> Moves:
    """Where transfers go and how much they carry."""
    elements, noc = clocks.processing_elements, clocks.noc
    memory = np.append(field(program.buffers, "memory"), -1)
    rows, boxes = program.transfers, program.boxes
    source = memory[np.where(rows["src"] == NO_BUFFER, len(memory) - 1, rows["src"].astype(np.int64))]
    target = memory[rows["dst"].astype(np.int64)]
    gather = boxes["copy"] == Copy.GATHER
    runs = field(boxes, "n0") * field(boxes, "n1") * np.where(gather, field(boxes, "n2"), 1)
    size = runs * field(boxes, "bytes")
    # Rows of a box are packed; of a gather, each element is fetched by itself.
    alone = runs * ceil_div(field(boxes, "bytes"), noc.packet_bytes)
    packets = np.where(gather, alone, ceil_div(size, noc.packet_bytes))
    from_dram, to_dram = source >= elements, target >= elements
    start = _router(np.where(from_dram, 0, source), noc.router_of_pe)
    end = _router(np.where(to_dram, 0, target), noc.router_of_pe)
    start_port = np.where(from_dram, source - elements, 0)
    end_port = np.where(to_dram, target - elements, 0)
    end = np.where(from_dram & to_dram, noc.attach[end_port, 0], end)
    start = np.where(from_dram, noc.attach[start_port, end], start)
    end = np.where(to_dram, noc.attach[end_port, start], end)
    still = (source == target) | (source < 0)
    start = np.where(still, end, start)
    way = np.where(still, 0.0, (hops(start, end, noc) + 1) * noc.hop_clocks)
    side = clocks.dram.interface_clocks + clocks.dram.attach_clocks
    # A read of DRAM is a request and its answer.
    latency = np.where(from_dram, 2 * (way + side), way) + np.where(to_dram, side, 0.0)
    box = rows["box"].astype(np.int64)
    return Moves(source, target, start, end, size[box], packets[box], np.ceil(latency).astype(np.int64))


def _router(pe: Integers, router_of_pe: Integers) -> Integers:
    return router_of_pe[np.maximum(pe, 0)]


def loads_of(program: Program, clocks: Clocks, task_group: Integers, transfer_group: Integers) -> Loads:
    """The loads of all rows, added up by groups of rows."""
    first, elements = Resources.of(clocks).first, clocks.processing_elements
    tasks, shapes = program.tasks, program.shapes
    shape, pe = field(tasks, "shape"), field(tasks, "pe")
    memory = np.append(field(program.buffers, "memory"), -1)
    holder = memory[np.where(tasks["b"] == NO_BUFFER, len(memory) - 1, tasks["b"].astype(np.int64))]
    on_mac = is_kernel(shapes, *MAC_KERNELS)[shape]
    work = mac_work(shapes, clocks.mac)
    busy = np.where(on_mac, np.where(holder == pe, work.local[shape], work.remote[shape]), 0)
    busy += arm_clocks(shapes, clocks.arm)[shape]
    task_resource = np.where(on_mac, first[Resource.MAC], first[Resource.ARM]) + pe
    moves = moves_of(program, clocks)
    orders = Orders.of(program, moves.source, moves.target, clocks)
    ordered = transfer_group[orders.first]
    parts = [
        (task_group, task_resource, busy),
        (task_group, first[Resource.SRAM] + pe, work.port_accesses[shape]),
        (task_group, np.full(len(tasks), first[Resource.HOST]), np.ones(len(tasks), np.int64)),
        (ordered, np.full(len(ordered), first[Resource.HOST]), np.ones(len(ordered), np.int64)),
        *_memory_loads(moves, transfer_group, first, elements, clocks),
    ]
    fetched = work.weight_packets[shape]
    fetching = np.flatnonzero(fetched)
    weights = fetched[fetching]
    lent = np.where(holder < elements, first[Resource.SRAM] + holder, first[Resource.SRAM] + pe)
    parts.append((task_group[fetching], lent[fetching], weights))
    flows = join_flows(
        [
            *_fetch_flows(task_group[fetching], holder[fetching], pe[fetching], weights, clocks),
            *_move_flows(program, moves, transfer_group, clocks),
        ]
    )
    group, place, packets = occupied(flows, clocks.noc)
    parts.append((group, first[Resource.NOC] + place, packets))
    group, resource, amount = _added(parts, int(first[-1]))
    return Loads(group, resource, amount, task_resource, busy, work.macs[shape], moves, flows, orders)


def _memory_loads(
    moves: Moves, group: Integers, first: Integers, elements: int, clocks: Clocks
) -> list[tuple[Integers, Integers, Integers]]:
    """SRAM ports, NoC inputs and DRAM ports at both ends of transfers."""
    found = []
    crossing = moves.source != moves.target
    # Elements of a gather occupy whole packets; a DRAM port reads and writes boxes without such gaps.
    in_dram = np.where(
        moves.packets * clocks.noc.packet_bytes >= moves.size + clocks.noc.packet_bytes,
        moves.packets * clocks.noc.packet_bytes,
        moves.size,
    )
    for memory in (moves.source, moves.target):
        inside = (memory >= 0) & (memory < elements)
        found.append((group[inside], first[Resource.SRAM] + memory[inside], moves.packets[inside]))
        outside = memory >= elements
        found.append((group[outside], first[Resource.DRAM] + memory[outside] - elements, in_dram[outside]))
    taken = (moves.target < elements) & crossing & (moves.source >= 0)
    found.append((group[taken], first[Resource.PE_INPUT] + moves.target[taken], moves.packets[taken]))
    return found


def _fetch_flows(group: Integers, holder: Integers, pe: Integers, packets: Integers, clocks: Clocks) -> list[Flows]:
    """Weights go through the router even when they lie in the PE's own SRAM; each packet is asked for."""
    noc = clocks.noc
    there = noc.router_of_pe[np.where(holder < clocks.processing_elements, holder, pe)]
    here = noc.router_of_pe[pe]
    stream = np.arange(len(group), dtype=np.int64)
    return [
        Flows(group, there, here, packets, stream),
        Flows(group, here, there, packets * noc.request_packets, len(group) + stream),
    ]


def _move_flows(program: Program, moves: Moves, group: Integers, clocks: Clocks) -> list[Flows]:
    """Transfers between memories; a port of DRAM sends a whole transfer on one request."""
    noc, elements = clocks.noc, clocks.processing_elements
    crossing = np.flatnonzero((moves.source != moves.target) & (moves.source >= 0))
    base = 2 * len(program.tasks)
    stream = base + np.arange(len(crossing), dtype=np.int64)
    if noc.multicast and len(crossing):
        rows = program.transfers[crossing]
        keys = np.stack([group[crossing], field(rows, "box"), field(rows, "src"), field(rows, "src_address")], axis=1)
        stream = base + np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
    sent = Flows(group[crossing], moves.start[crossing], moves.end[crossing], moves.packets[crossing], stream)
    # The DMA of DRAM streams what it is asked for once; elements send what they hold.
    asked = np.flatnonzero(moves.source[crossing] >= elements)
    request = np.full(len(asked), noc.request_packets, np.int64)
    own = base + len(crossing) + np.arange(len(asked), dtype=np.int64)
    back = Flows(sent.group[asked], sent.end[asked], sent.start[asked], request, own)
    return [sent, back]


def _added(parts: list[tuple[Integers, Integers, Integers]], resources: int) -> tuple[Integers, Integers, Integers]:
    """Amounts by (group, resource), in order."""
    key = np.concatenate([group * resources + resource for group, resource, _ in parts])
    amount = np.concatenate([each[2] for each in parts])
    order = np.argsort(key, kind="stable")
    key, amount = key[order], amount[order]
    start = np.flatnonzero(np.diff(key, prepend=-1))
    total: npt.NDArray[np.int64] = np.add.reduceat(amount, start) if len(start) else amount
    group, resource = np.divmod(key[start], resources)
    return group, resource, total
