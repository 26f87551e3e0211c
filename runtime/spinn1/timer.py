"""What a netlist costs on a machine: the shortest step at which nothing is late, latency, throughput, energy.

The clocks of cores come from an event-driven run of samples (`event_kernel.py`); routers, links and memories are
checked for what they have to pass in a second. A core is charged
- for a step: `tick_cycles`, `neuron_cycles` for each neuron, `send_cycles` for each spike;
- for a packet: `packet_cycles`, `lookup_cycles`, `lookup_step_cycles` for each halving of its master population table;
- for each row that the packet asks for: `dma_setup_cycles`, `dma_word_cycles` for each word, header and padding
  included, and `synapse_cycles` for each synapse. Rows of a neuron without synapses on the core are spared.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from attrs import frozen

from .checks import Integers, field
from .costs import Costs
from .event_layout import Count
from .events import EventResult
from .executor import Executor
from .machine_checks import chip_of
from .netlist import Netlist
from .traffic import Traffic

MICRO = 10**6
ENDLESS_US = 1 << 31
"""Length of a step in which every core gets all its work done."""


@frozen
class PopulationRow:
    """One population of a tile. Spikes and packets are counted for one sample, on average; `late` and `lost` are all
    packets that its cores got too late or lost; `step_us` is the longest time that one of its cores needed for a step,
    `busy` the share of time for which its busiest core works."""

    label: str
    neurons: int
    bias_neurons: int
    cores: int
    synapses: int
    spikes: float
    packets: float
    late: int
    lost: int
    step_us: float
    busy: float


@frozen(eq=False)
class Timing:
    """Times of one tile hold for all: they are alike.

    `smallest_tick_us` is the shortest step at which nothing of the samples was late, `limit` says what sets it. With
    `lost_at_any_tick` packets find a FIFO full however long a step is. `link_load`, `router_load` and `sdram_load` are
    shares of what the busiest link, router and memory can pass, on average, with all tiles at work. Energy is that of
    one sample: its share of the power of all boards in use and of their busy cores, and its packets. `traffic` is
    that of the samples at steps that are long enough.
    """

    tick_us: int
    time_scale_factor: float
    smallest_tick_us: int
    smallest_time_scale_factor: int
    limit: str
    latency_s: float
    throughput_per_s: float
    energy_j: float
    samples: int
    late: int
    lost: int
    lost_at_any_tick: int
    link_load: float
    router_load: float
    sdram_load: float
    chips: int
    boards: int
    cores: int
    rows: tuple[PopulationRow, ...]
    traffic: Traffic

    @property
    def in_time(self) -> bool:
        """Whether nothing is late or lost at the netlist's step."""
        return self.late == 0 and self.lost == 0 and max(self.link_load, self.router_load, self.sdram_load) <= 1


def time_netlist(executor: Executor, costs: Costs, x: npt.ArrayLike, *, tick_us: int | None = None) -> Timing:
    """The timing of a netlist with samples x (at least one) at steps of `tick_us` (default: the netlist's)."""
    netlist = executor.netlist
    tick = netlist.tick_us if tick_us is None else tick_us
    free = executor.run_congested(x, costs, tick_us=ENDLESS_US)
    samples = len(free.outputs)
    if samples == 0:
        raise ValueError("no samples to time")
    traffic = Traffic.of(netlist, executor.paths, free)
    smallest, limit = _smallest_tick(netlist, costs, free, traffic)
    # Where every core ends each step in time, a longer step would have changed nothing.
    enough = tick * costs.core.hertz >= int(free.counts[:, Count.PEAK_CLOCKS].max()) * MICRO
    found = free if enough else executor.run_congested(x, costs, tick_us=tick)
    sample_s = netlist.interval * tick / MICRO / netlist.tiles
    used, boards = _used(netlist)
    watts = costs.energy.core_w * len(netlist.placements) + costs.energy.board_w * len(boards)
    watts += costs.energy.chip_w * int(np.isin(netlist.chips["board"], boards).sum())
    hops = np.bincount(executor.paths.visit_sender, minlength=len(netlist.vertices))[: len(netlist.vertices)]
    passages = float((free.counts[:, Count.SPIKES] * hops).sum()) / samples
    step_s = tick / MICRO
    return Timing(
        tick_us=tick,
        time_scale_factor=tick / netlist.timestep_us,
        smallest_tick_us=smallest,
        smallest_time_scale_factor=-(-smallest // netlist.timestep_us),
        limit=limit,
        latency_s=netlist.latency * step_s,
        throughput_per_s=1 / sample_s,
        energy_j=watts * sample_s + passages * costs.energy.packet_j,
        samples=samples,
        late=int(found.counts[:, Count.LATE].sum()),
        lost=int(found.counts[:, Count.LOST].sum()),
        lost_at_any_tick=int(free.counts[:, Count.LOST].sum()),
        link_load=traffic.link_packets / (costs.fabric.link_packets_per_s * step_s),
        router_load=traffic.router_packets / (costs.fabric.router_packets_per_s * step_s),
        sdram_load=traffic.fetched_bytes / (costs.fabric.sdram_bytes_per_s * step_s),
        chips=used,
        boards=len(boards),
        cores=len(netlist.placements),
        rows=_rows(executor, costs, found, step_s),
        traffic=traffic,
    )


def _smallest_tick(netlist: Netlist, costs: Costs, free: EventResult, traffic: Traffic) -> tuple[int, str]:
    """The shortest step in microseconds, rounded up, and what limits it."""
    clocks = free.counts[:, Count.PEAK_CLOCKS]
    slowest = int(np.argmax(clocks))
    population = int(netlist.vertices["population"][slowest])
    bounds = {
        f"a core of {netlist.labels[population]}": -(-int(clocks[slowest]) * MICRO // costs.core.hertz),
        "a link": _microseconds(traffic.link_packets, costs.fabric.link_packets_per_s),
        "a router": _microseconds(traffic.router_packets, costs.fabric.router_packets_per_s),
        "a memory": _microseconds(traffic.fetched_bytes, costs.fabric.sdram_bytes_per_s),
    }
    limit = max(bounds, key=lambda name: bounds[name])
    return max(1, bounds[limit]), limit


def _microseconds(amount: float, per_second: int) -> int:
    return int(np.ceil(amount * MICRO / per_second))


def _used(netlist: Netlist) -> tuple[int, Integers]:
    """How many chips run a vertex, and the boards that they are on."""
    chips = np.unique(chip_of(netlist.placements, netlist.chips, "placements"))
    return len(chips), np.unique(netlist.chips["board"][chips]).astype(np.int64)


def _rows(executor: Executor, costs: Costs, found: EventResult, step_s: float) -> tuple[PopulationRow, ...]:
    netlist, samples = executor.netlist, len(found.outputs)
    owner = field(netlist.vertices, "population")
    synapses = np.bincount(
        owner[executor.synapses.rows.vertex],
        weights=executor.synapses.rows.synapses,
        minlength=len(netlist.populations),
    )
    step_clocks = step_s * costs.core.hertz
    rows = []
    for number, population in enumerate(netlist.populations):
        counts = found.counts[owner == number]
        total = counts.sum(axis=0)
        rows.append(
            PopulationRow(
                label=netlist.labels[number],
                neurons=int(population["neurons"]),
                bias_neurons=int(population["bias_neurons"]),
                cores=int(population["vertices"]),
                synapses=int(synapses[number]),
                spikes=float(total[Count.SPIKES]) / samples,
                packets=float(total[Count.PACKETS]) / samples,
                late=int(total[Count.LATE]),
                lost=int(total[Count.LOST]),
                step_us=float(counts[:, Count.PEAK_CLOCKS].max()) * MICRO / costs.core.hertz,
                busy=float(counts[:, Count.BUSY_CLOCKS].max()) / max(found.steps, 1) / step_clocks,
            )
        )
    return tuple(rows)
