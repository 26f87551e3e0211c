"""The timeline of a program as Chrome trace events, for Perfetto.

A track for the MAC array and one for the ARM core of each PE, one for each DRAM port; counters of what passes the
ports, the links and the memories. Slices of a track never overlap.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from numpy.typing import NDArray

from ..ir.dialects.spinn2_tables import MAC_KERNELS, Kernel, Phase
from ..runtime.spinn2.clocks import Clocks
from ..runtime.spinn2.loads import Resource
from ..runtime.spinn2.noc import DIRECTIONS, occupied
from ..runtime.spinn2.program import Program
from ..runtime.spinn2.step_work import StepWork
from ..runtime.spinn2.timer import Timeline
from ..runtime.spinn2.traffic import Occupancy
from .summary import transfer_bytes
from .whole_files import whole_file

Integers = NDArray[np.int64]

MOST_EVENTS = 1_000_000
"""Events of a trace (about 150 bytes each); what comes later is left out."""
AT_ONCE = 1 << 14
ELEMENTS, PORTS, MESH = 1, 2, 3
"""Processes: the tracks of PEs (2 n is the MAC array of PE n, 2 n + 1 its ARM core), of DRAM ports, of routers."""
MICROSECONDS = 1e6

COMPLETE = ',\n{"ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,"name":"%s","cat":"%s","args":{"layer":%s}}'
COUNTER = ',\n{"ph":"C","pid":%d,"tid":%d,"ts":%.3f,"name":"%s","args":{"bytes per clock":%.2f}}'
LINKS = (
    ',\n{"ph":"C","pid":%d,"tid":%d,"ts":%.3f,"name":"%s","args":{"east":%.3f,"west":%.3f,"south":%.3f,"north":%.3f}}'
)


def write_trace(
    path: str | Path, program: Program, times: Timeline, clocks: Clocks, *, most_events: int = MOST_EVENTS
) -> int:
    """Writes the trace, whole or not at all; returns how many events were left out because there are too many.

    `clocks` are those that `times` was made with. On the track of a DRAM port lie the times in which it moves bytes,
    one event for each step, layer and phase. Counters show the bytes a clock behind each port and between memories, and
    the packets a clock on the four links of each router.
    """
    events = list(_parts(program, times, clocks))
    total = sum(len(columns[0]) for _, columns in events)
    with whole_file(path) as file:
        left = most_events
        file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
        file.write(",\n".join(json.dumps(each) for each in _names(program, clocks)).encode("ascii"))
        for template, columns in events:
            for low in range(0, min(len(columns[0]), left), AT_ONCE):
                file.write(_text(template, columns, low, min(low + AT_ONCE, left)).encode("ascii"))
            left -= min(len(columns[0]), left)
        file.write(f'\n],"otherData":{{"events_left_out":{max(0, total - most_events)}}}}}\n'.encode("ascii"))
    return max(0, total - most_events)


def _text(template: str, columns: Sequence[Any], low: int, high: int) -> str:
    """The template filled with rows low .. high - 1."""
    rows = list(zip(*(column[low:high].tolist() for column in columns), strict=True))
    return (template * len(rows)) % tuple(value for row in rows for value in row)


def _names(program: Program, clocks: Clocks) -> Iterator[dict[str, Any]]:
    """Names of processes and tracks."""
    units = [f"PE {pe} {unit}" for pe in range(program.processing_elements) for unit in ("MAC array", "ARM core")]
    ports = [f"port {number}" for number in range(clocks.dram.ports)]
    routers = [_router(number, clocks) for number in range(clocks.noc.routers)]
    processes = (
        (ELEMENTS, "processing elements", units),
        (PORTS, "DRAM ports", ports),
        (MESH, "links, packets per clock", routers),
    )
    for process, title, tracks in processes:
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": title}}
        for number, name in enumerate(tracks):
            yield {"ph": "M", "pid": process, "tid": number, "name": "thread_name", "args": {"name": name}}


def _router(number: int, clocks: Clocks) -> str:
    row, column = divmod(number, clocks.noc.columns)
    return f"router {row},{column}"


def _parts(program: Program, times: Timeline, clocks: Clocks) -> Iterator[tuple[str, Sequence[NDArray[Any]]]]:
    """Templates and their columns: port events, counters, then tasks by start, so that a cap keeps the overview."""
    layers = np.array([json.dumps(name) for name in program.layers], object)
    phases = np.array([phase.name.lower() for phase in Phase], object)
    kernels = np.array([""] * (max(Kernel) + 1), object)
    kernels[list(Kernel)] = [kernel.name.lower() for kernel in Kernel]
    scale = MICROSECONDS / times.hertz
    work = StepWork.of(program, clocks)
    port, start, end, layer, phase, size = _port_work(program, times, work)
    columns = [np.full(len(port), PORTS), port, start * scale, (end - start) * scale]
    yield COMPLETE, [*columns, phases[phase], phases[phase], layers[layer]]
    for number in range(clocks.dram.ports):
        own = port == number
        when, rate = _rates(start[own], end[own], size[own])
        yield COUNTER, _counter(PORTS, number, when * scale, f"port {number}", [rate])
    sent = transfer_bytes(program)
    at = np.searchsorted(times.steps, program.transfers["step"])
    by_step = np.bincount(at, sent, len(times.steps)).astype(np.int64)
    when, rate = _rates(times.step_start, times.step_end, by_step)
    yield COUNTER, _counter(ELEMENTS, 0, when * scale, "transfers", [rate])
    yield from _links(times, clocks, work, scale)
    tasks = program.tasks
    on_mac = np.isin(program.shapes["kernel"][tasks["shape"]], [int(each) for each in MAC_KERNELS])
    order = np.argsort(times.task_start, kind="stable")
    columns = [
        np.full(len(tasks), ELEMENTS),
        2 * tasks["pe"].astype(np.int64) + ~on_mac,
        times.task_start * scale,
        (times.task_end - times.task_start) * scale,
        kernels[program.shapes["kernel"][tasks["shape"]]],
        phases[tasks["phase"]],
        layers[tasks["layer"]],
    ]
    yield COMPLETE, [column[order] for column in columns]


def _rates(start: Integers, end: Integers, size: NDArray[Any]) -> tuple[Integers, NDArray[np.float64]]:
    """When the sum of all rates changes, and what it is from then on; `size` is [n] or [n, k]."""
    took = np.maximum(end - start, 1)
    rate = (size.T / took).T
    when, place = np.unique(np.concatenate([start, start + took]), return_inverse=True)
    change = np.zeros((len(when), *size.shape[1:]))
    np.add.at(change, place.reshape(-1), np.concatenate([rate, -rate]))
    # Sums of floating point numbers leave a trace of what has ended.
    return when, np.maximum(np.cumsum(change, axis=0).round(6), 0.0)


def _counter(
    process: int, track: int, when: NDArray[Any], name: str, values: Sequence[NDArray[np.float64]]
) -> list[NDArray[Any]]:
    count = len(when)
    return [np.full(count, process), np.full(count, track), when, np.full(count, name, object), *values]


def _links(times: Timeline, clocks: Clocks, work: StepWork, scale: float) -> Iterator[tuple[str, list[NDArray[Any]]]]:
    """A counter for each router that packets leave: packets a clock to the east, west, south and north."""
    flows = work.loads.flows
    by_step = attrs.evolve(flows, group=work.order.group_step[flows.group])
    step, place, packets = occupied(by_step, attrs.evolve(clocks.noc, per_lane=True))
    router, direction = np.divmod(place, DIRECTIONS)
    for number in np.unique(router).tolist():
        own = router == number
        steps, at = np.unique(step[own], return_inverse=True)
        sent = np.zeros((len(steps), DIRECTIONS))
        np.add.at(sent, (at.reshape(-1), direction[own]), packets[own])
        when, rate = _rates(times.step_start[steps], times.step_end[steps], sent)
        yield LINKS, _counter(MESH, number, when * scale, f"{_router(number, clocks)} links", list(rate.T))


def _port_work(program: Program, times: Timeline, work: StepWork) -> tuple[Integers, ...]:
    """Port, start, end, layer, phase and bytes of what each DRAM port does in each step for each layer and phase.

    A port serves a step without a pause; its layers and phases follow each other, as their bytes share that time.
    """
    rows = program.transfers
    memory = np.append(program.buffers["memory"].astype(np.int64), -1)
    number = np.arange(len(rows))
    ends = [memory[np.minimum(rows[name].astype(np.int64), len(memory) - 1)] for name in ("src", "dst")]
    which = np.concatenate([number[each >= program.processing_elements] for each in ends])
    port = np.concatenate([each[each >= program.processing_elements] for each in ends]) - program.processing_elements
    step = np.searchsorted(times.steps, rows["step"][which])
    fields = [port, step, rows["layer"][which], rows["phase"][which]]
    keys, group = np.unique(
        np.stack([np.asarray(each, np.int64) for each in fields], axis=1), axis=0, return_inverse=True
    )
    size = np.zeros(len(keys), np.int64)
    np.add.at(size, group.reshape(-1), transfer_bytes(program)[which])
    busy = Occupancy.of(work, times)
    served, begin, end = busy.rows(Resource.DRAM)
    # The steps of one port are served in their order, in both tables.
    order = np.lexsort([begin, served])
    first = np.flatnonzero(np.any(np.diff(keys[:, :2], axis=0, prepend=-1) != 0, axis=1))
    until = np.cumsum(size)
    before = until - size
    count = np.diff(np.append(first, len(keys)))
    low, whole = np.repeat(before[first], count), np.repeat(np.add.reduceat(size, first) if len(first) else size, count)
    begin, took = np.repeat(begin[order], count), np.repeat((end - begin)[order], count)
    whole = np.maximum(whole, 1)
    found = [keys[:, 0], begin + took * (before - low) // whole, begin + took * (until - low) // whole]
    sort = np.argsort(found[1], kind="stable")
    return tuple(each[sort] for each in (*found, keys[:, 2], keys[:, 3], size))
