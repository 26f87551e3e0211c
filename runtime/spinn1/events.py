"""Runs a netlist event by event with the clocks of a machine: what comes too late, what is lost, how long steps take.

The model stands in `event_kernel.py`, and once more, plainly, in `event_reference.py`.
"""

from __future__ import annotations

import ctypes
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt
from attrs import frozen

from ..jit import engine
from ..jit.features import features
from .checks import Integers
from .costs import CoreCosts
from .event_kernel import RUN, SOURCES, generate
from .event_layout import Count, Events, Packet
from .event_plan import EventPlan
from .event_reference import TileRun, run_tile
from .netlist import Netlist
from .streams import deal

Call = ctypes.CFUNCTYPE(None, ctypes.c_int64)
PEAKS = (Count.PEAK_SPIKES, Count.PEAK_CLOCKS)


@frozen(eq=False)
class EventResult:
    """What a run gave: `outputs` uint8[samples, outputs]; `counts` int64[vertices, `event_layout.Count`], sums over all
    tiles, but the greatest of them where the name says peak; `steps`, int64, of all tiles together."""

    outputs: npt.NDArray[np.uint8]
    counts: Integers
    steps: int


@engine.once
def _library(mode: str) -> engine.Library:
    return engine.load(generate, SOURCES, [RUN], {}, features(mode))


def run_events(
    netlist: Netlist,
    plan: EventPlan,
    costs: CoreCosts,
    x: npt.NDArray[np.uint8],
    *,
    tick_clocks: int,
    mode: str,
    threads: int,
) -> EventResult:
    """Run samples x [N, elements], dealt to tiles as the executor does, with `tick_clocks` clocks for each step."""
    bounds = deal(len(x), netlist.tiles)
    # Compiled here: LLVM must not be entered by two threads at once.
    code = None if mode == "off" else _library(mode)

    def work(tile: int) -> TileRun:
        own = np.ascontiguousarray(x[bounds[tile] : bounds[tile + 1]])
        if code is None:
            return run_tile(netlist, plan, costs, own, tick_clocks)
        return _run_tile(netlist, plan, costs, own, tick_clocks, code)

    counts = np.zeros((len(netlist.vertices), len(Count)), np.int64)
    outputs = np.zeros((len(x), len(netlist.outputs)), np.uint8)
    steps = 0
    with ThreadPoolExecutor(threads, "snc") as pool:
        for tile, run in enumerate(pool.map(work, range(len(bounds) - 1 if len(x) else 0))):
            peaks = np.maximum(counts[:, PEAKS], run.counts[:, PEAKS])
            counts += run.counts
            counts[:, PEAKS] = peaks
            samples = np.arange(int(bounds[tile + 1] - bounds[tile]))
            due = samples[:, None] * netlist.interval + netlist.outputs["due"]
            outputs[bounds[tile] : bounds[tile + 1]] = run.record[due, np.arange(len(netlist.outputs))]
            steps += len(run.record)
    return EventResult(outputs, counts, steps)


def _run_tile(
    netlist: Netlist,
    plan: EventPlan,
    costs: CoreCosts,
    x: npt.NDArray[np.uint8],
    tick_clocks: int,
    code: engine.Library,
) -> TileRun:
    """One tile by machine code."""
    vertices, steps = len(netlist.vertices), (len(x) - 1) * netlist.interval + netlist.latency
    record = np.zeros((steps, len(netlist.outputs)), np.uint8)
    counts = np.zeros((vertices, len(Count)), np.int64)
    arrays: dict[Events, npt.NDArray[np.generic]] = {
        Events.VERTICES: plan.vertices,
        Events.PAIRS: plan.pairs,
        Events.ROWS: plan.rows,
        Events.QUEUES: np.zeros((len(plan.rows), len(Packet)), np.int64),
        Events.SYNAPSES: plan.synapses,
        Events.THRESHOLDS: plan.thresholds,
        Events.OFFSETS: plan.offsets,
        Events.SOURCES: plan.sources,
        Events.PHASES: plan.phases,
        Events.BITS: x,
        Events.RINGS: np.zeros(plan.ring_words, np.uint32),
        Events.TIMES: np.zeros(netlist.neurons, np.int64),
        Events.ACTIVE: np.zeros(vertices, np.int64),
        Events.FREE: np.zeros(vertices, np.int64),
        Events.ACCEPTED: np.zeros(vertices, np.int64),
        Events.FINISHED: np.zeros((vertices, costs.fifo_packets), np.int64),
        Events.SPIKED: np.zeros(netlist.neurons, np.uint8),
        Events.OUTPUTS: netlist.outputs["neuron"].astype(np.int64),
        Events.RECORD: record,
        Events.COUNTS: counts,
        Events.TOUCHED: np.zeros((vertices, plan.slots), np.int64),
        Events.SENT: np.zeros(vertices, np.int64),
        Events.LENGTHS: np.zeros(vertices, np.int64),
    }
    numbers = {
        Events.VERTEX_COUNT: vertices,
        Events.INTERVAL: netlist.interval,
        Events.STEPS: steps,
        Events.SAMPLES: len(x),
        Events.ELEMENTS: x.shape[1],
        Events.SLOT_MASK: plan.slots - 1,
        Events.FIFO: costs.fifo_packets,
        Events.TICK: tick_clocks,
        Events.TICK_CLOCKS: costs.tick_cycles,
        Events.NEURON_CLOCKS: costs.neuron_cycles,
        Events.SEND_CLOCKS: costs.send_cycles,
        Events.SOURCE_TICK_CLOCKS: costs.source_tick_cycles,
        Events.SOURCE_SEND_CLOCKS: costs.source_send_cycles,
        Events.OUTPUT_COUNT: len(netlist.outputs),
    }
    state = np.zeros(len(Events), np.int64)
    for name, array in arrays.items():
        assert array.flags.c_contiguous
        state[name] = array.ctypes.data
    for name, number in numbers.items():
        state[name] = number
    Call(code.address(RUN))(state.ctypes.data)
    return TileRun(record, counts)
