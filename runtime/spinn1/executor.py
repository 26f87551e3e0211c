"""Runs a netlist from its words: samples dealt to tiles, steps of the simulation, exact integers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from ..jit.features import jit_mode
from ..spinn2.executor import thread_count
from .costs import Costs
from .dues import due_steps, history
from .errors import netlist_error
from .event_plan import EventPlan, event_plan
from .events import EventResult, run_events
from .machine_code import Counts, MachineCode
from .netlist import Netlist
from .plan import plan
from .reference import Bits, Result, run
from .routing import follow
from .streams import LANES, Pieces, cut, group, unmasked
from .synapses import decode

MAX_SAMPLES = 1 << 24


class Executor:
    """Executes one netlist any number of times, by machine code or (`jit="off"`) in numpy: the same spikes.

    The netlist is validated first: tables, routes of all tiles, words. `jit` is one of the modes of
    `runtime.jit.features` (default: SNC_JIT, "auto"); `threads` the number of threads of machine code (default:
    SNC_THREADS, the number of processors up to 4). Raises NetlistError.
    """

    def __init__(self, netlist: Netlist, *, jit: str | None = None, threads: int | None = None) -> None:
        netlist.validate()
        self.netlist = netlist
        self.paths = follow(netlist)
        self.synapses = decode(netlist, self.paths)
        self._mode = jit_mode(jit)
        self._threads = thread_count(threads)
        self._code: MachineCode | None = None
        due = due_steps(netlist, self.synapses)
        self._history = history(netlist, self.synapses, due)
        self._events: tuple[Costs, EventPlan] | None = None
        if self._mode != "off":
            self._code = MachineCode(plan(netlist, self.synapses, due), netlist.interval, self._mode)

    def run(self, x: npt.ArrayLike) -> Result:
        """Run samples x [N, ...] of 0 and 1 (flattened: at least `netlist.elements` each).

        Raises NetlistError if x does not fit.
        """
        samples = self._samples(x)
        if self._code is None:
            return run(self.netlist, self.synapses, samples)[0]
        pieces = cut(self.netlist, len(samples), self._history, LANES * self._threads)
        return self._run(self._code, samples, pieces)

    def run_congested(self, x: npt.ArrayLike, costs: Costs, *, tick_us: int | None = None) -> EventResult:
        """Run samples with the clocks of a machine, and without the spikes that come too late or are lost there.

        `tick_us` is the length of a step (default: the netlist's). Tiles run one by one: far slower than `run`.
        """
        if self._events is None or self._events[0] != costs:
            self._events = costs, event_plan(self.netlist, self.paths, self.synapses, costs)
        tick = (self.netlist.tick_us if tick_us is None else tick_us) * costs.core.hertz // 10**6
        plan, samples = self._events[1], self._samples(x)
        return run_events(
            self.netlist, plan, costs.core, samples, tick_clocks=tick, mode=self._mode, threads=self._threads
        )

    def trace(self, x: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """Every spike of a run: bool[steps, neurons, tiles in use]. Slow and large: for a few samples."""
        return run(self.netlist, self.synapses, self._samples(x))[1]

    def _samples(self, x: npt.ArrayLike) -> Bits:
        given = np.asarray(x)
        node = "input"
        if given.ndim < 1 or given.dtype.kind not in "buif":
            found = f"{given.dtype} of shape {given.shape}"
            raise netlist_error("the input does not fit", node=node, found=found, expected="[samples, ...] of 0 and 1")
        flat = given.reshape(len(given), -1) if len(given) else given.reshape(0, max(self.netlist.elements, 1))
        if len(flat) > MAX_SAMPLES or flat.shape[1] < self.netlist.elements:
            expected = f"at most {MAX_SAMPLES} samples of {self.netlist.elements} elements"
            raise netlist_error("the input does not fit", node=node, found=given.shape, expected=expected)
        plain = flat.max(initial=0) <= 1 if flat.dtype.kind in "bu" else bool(np.all((flat == 0) | (flat == 1)))
        if not plain:
            found = flat[(flat != 0) & (flat != 1)][0]
            raise netlist_error("an input is no spike", node=node, found=found, expected="0 or 1")
        return np.asarray(flat, np.uint8)

    def _run(self, code: MachineCode, samples: Bits, pieces: Pieces) -> Result:
        netlist = self.netlist
        interval, due = netlist.interval, netlist.outputs["due"].astype(np.int64)
        outputs = np.zeros((len(samples), len(netlist.outputs)), np.uint8)
        spikes = np.zeros((len(netlist.populations), interval), np.int64)
        saturations = np.zeros(len(netlist.populations), np.int64)

        def work(first: int) -> None:
            lanes = slice(first, min(first + LANES, len(pieces)))
            streams = group(netlist, pieces, lanes, samples)
            record, counts = code.run(streams)
            start = np.arange(streams.place.shape[1]) * interval
            own = np.flatnonzero((streams.place >= 0).any(axis=0))
            found = record[start[own, None] + due, code.plan.columns]
            place = streams.place[:, own]
            outputs[place[place >= 0]] = unmasked(found, len(place))[place >= 0]
            totals.append(counts)

        totals: list[Counts] = []
        if len(samples):
            with ThreadPoolExecutor(self._threads, "snc") as pool:
                list(pool.map(work, range(0, len(pieces), LANES)))
        for counts in totals:
            spikes += counts.spikes
            saturations += counts.saturations
        longest = int(pieces.samples.max(initial=0))
        steps = (longest - 1) * interval + netlist.latency if longest else 0
        return Result(outputs, spikes, saturations, steps)
