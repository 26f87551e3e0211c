"""The timeline of a program as Chrome trace events, for Perfetto: a track for each PE and each DRAM port."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..ir.dialects.spinn2_tables import Kernel, Phase
from ..runtime.spinn2.program import Program
from ..runtime.spinn2.timer import Timeline
from .summary import transfer_bytes
from .whole_files import whole_file

Integers = NDArray[np.int64]

MOST_EVENTS = 1_000_000
"""Events of a trace (about 150 bytes each); what comes later is left out."""
AT_ONCE = 1 << 14
ELEMENTS, PORTS = 1, 2
MICROSECONDS = 1e6

COMPLETE = ',\n{"ph":"X","pid":%d,"tid":%d,"ts":%.3f,"dur":%.3f,"name":"%s","cat":"%s","args":{"layer":%s}}'
COUNTER = ',\n{"ph":"C","pid":%d,"tid":0,"ts":%.3f,"name":"%s","args":{"bytes per clock":%.2f}}'


def write_trace(path: str | Path, program: Program, times: Timeline, *, most_events: int = MOST_EVENTS) -> int:
    """Writes the trace, whole or not at all; returns how many events were left out because there are too many.

    Tasks lie on the tracks of their PEs; on the track of a DRAM port lie the steps in which it moves bytes, one event
    for each layer and phase. Counters show the bytes a clock behind each port and between memories.
    """
    events = list(_parts(program, times))
    total = sum(len(columns[0]) for _, columns in events)
    with whole_file(path) as file:
        left = most_events
        file.write(b'{"displayTimeUnit":"ms","traceEvents":[\n')
        file.write(",\n".join(json.dumps(each) for each in _names(program, times)).encode("ascii"))
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


def _names(program: Program, times: Timeline) -> Iterator[dict[str, Any]]:
    for process, name in ((ELEMENTS, "processing elements"), (PORTS, "DRAM ports")):
        yield {"ph": "M", "pid": process, "name": "process_name", "args": {"name": name}}
    for process, kind, count in ((ELEMENTS, "PE", program.processing_elements), (PORTS, "port", len(times.dram_bytes))):
        for number in range(count):
            yield {
                "ph": "M",
                "pid": process,
                "tid": number,
                "name": "thread_name",
                "args": {"name": f"{kind} {number}"},
            }


def _parts(program: Program, times: Timeline) -> Iterator[tuple[str, Sequence[NDArray[Any]]]]:
    """Templates and their columns: port events, counters, then tasks by start, so that a cap keeps the overview."""
    layers = np.array([json.dumps(name) for name in program.layers], object)
    phases = np.array([phase.name.lower() for phase in Phase], object)
    kernels = np.array([""] * (max(Kernel) + 1), object)
    kernels[list(Kernel)] = [kernel.name.lower() for kernel in Kernel]
    scale = MICROSECONDS / times.hertz
    port, start, end, layer, phase, size = _port_work(program, times)
    columns = [np.full(len(port), PORTS), port, start * scale, (end - start) * scale]
    yield COMPLETE, [*columns, phases[phase], phases[phase], layers[layer]]
    for number in range(len(times.dram_bytes)):
        own = port == number
        yield _counter(f"port {number}", PORTS, start[own], end[own], size[own], scale)
    sent = transfer_bytes(program)
    at = np.searchsorted(times.steps, program.transfers["step"])
    by_step = np.bincount(at, sent, len(times.steps)).astype(np.int64)
    yield _counter("transfers", ELEMENTS, times.step_start, times.step_end, by_step, scale)
    tasks = program.tasks
    order = np.argsort(times.task_start, kind="stable")
    columns = [
        np.full(len(tasks), ELEMENTS),
        tasks["pe"].astype(np.int64),
        times.task_start * scale,
        (times.task_end - times.task_start) * scale,
        kernels[program.shapes["kernel"][tasks["shape"]]],
        phases[tasks["phase"]],
        layers[tasks["layer"]],
    ]
    yield COMPLETE, [column[order] for column in columns]


def _counter(
    name: str, process: int, start: Integers, end: Integers, size: Integers, scale: float
) -> tuple[str, Sequence[NDArray[Any]]]:
    """A value from each start on, and 0 from each end on where nothing starts."""
    rate = size / np.maximum(end - start, 1)
    when, value = np.concatenate([end, start]), np.concatenate([np.zeros(len(end)), rate])
    order = np.lexsort([value, when])
    count = len(order)
    return COUNTER, [np.full(count, process), when[order] * scale, np.full(count, name, object), value[order]]


def _port_work(program: Program, times: Timeline) -> tuple[Integers, ...]:
    """Port, start, end, layer, phase and bytes of what each DRAM port does in each step for each layer and phase."""
    rows = program.transfers
    memory = np.append(program.buffers["memory"].astype(np.int64), -1)
    number = np.arange(len(rows))
    ends = [memory[np.minimum(rows[name].astype(np.int64), len(memory) - 1)] for name in ("src", "dst")]
    which = np.concatenate([number[each >= program.processing_elements] for each in ends])
    port = np.concatenate([each[each >= program.processing_elements] for each in ends]) - program.processing_elements
    fields = [port, rows["step"][which], rows["layer"][which], rows["phase"][which]]
    keys, group = np.unique(
        np.stack([np.asarray(each, np.int64) for each in fields], axis=1), axis=0, return_inverse=True
    )
    group = group.reshape(-1)
    start = np.full(len(keys), np.iinfo(np.int64).max)
    end, size = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.int64)
    np.minimum.at(start, group, times.transfer_start[which])
    np.maximum.at(end, group, times.transfer_end[which])
    np.add.at(size, group, transfer_bytes(program)[which])
    order = np.argsort(start, kind="stable")
    return tuple(each[order] for each in (keys[:, 0], start, end, keys[:, 2], keys[:, 3], size))
