"""Builds and runs a network that snc compiled, on any PyNN back end that has IF_curr_delta.

    python run_pynn.py spiNNaker --input x.npy --output y.npy
    python run_pynn.py nest --input x.npy --output y.npy

x holds 0 or 1, [samples, elements]; y gets the output spikes, [samples, outputs], and how often each population spiked
is printed. Without --input the network runs for one sample of ones. A virtual board is mapped and loaded but has no
spikes: there, leave --output away. network.npz lies beside this script.
"""

import argparse
import importlib
import pathlib
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

START = 3  # steps before the first sample: NEST takes no spikes earlier than the shortest delay
INSTANT = {"tau_m": 2**-13, "cm": 2**-13, "v_rest": 0.0, "v_reset": 0.0, "tau_refrac": 0.0}  # V = input of the step
ALWAYS_ON = -1


Network = Mapping[str, Any]


def deal(samples: int, tiles: int) -> list[int]:
    """First sample of each tile, and the number of all samples behind them."""
    return [tile * samples // tiles for tile in range(tiles + 1)]


def run_steps(net: Network, samples: int) -> int:
    """Steps until the last of so many samples has come out."""
    return START + max(samples - 1, 0) * int(net["interval"]) + int(net["latency"]) + 1


def spike_times(net: Network, x: Any) -> list[list[float]]:
    """Times (ms) at which each source neuron spikes, for samples x."""
    starts = START + np.arange(len(x)) * int(net["interval"])
    times = []
    for element, due in zip(net["source_element"], net["source_due"], strict=True):
        on = np.ones(len(x), bool) if element == ALWAYS_ON else x[:, element] != 0
        times.append(((starts[on] + due) * float(net["timestep_ms"])).tolist())
    if not any(times):  # sPyNNaker takes no source that never spikes: this one would, after the end
        times[0] = [(run_steps(net, len(x)) + 1) * float(net["timestep_ms"])]
    return times


def build_tile(sim: Any, net: Network, tile: int, x: Any) -> list[Any]:
    """Populations and projections of one copy of the network."""
    on_spinnaker = sim.__name__.endswith("spiNNaker")
    times = spike_times(net, x)
    populations, sources = [], 0
    for number, size in enumerate(net["neurons"].tolist()):
        label = f"{net['label'][number]}/{tile}"
        first = int(net["first_neuron"][number])
        if net["is_source"][number]:
            cell = sim.SpikeSourceArray(spike_times=times[sources : sources + size])
            sources += size
            population = sim.Population(size, cell, label=label)
        else:
            threshold, offset = (net[name][first : first + size] for name in ("threshold", "offset"))
            # NEST wants thresholds above v_reset; V and the threshold may be raised together.
            raised = 0.0 if on_spinnaker else np.maximum(1.0 - threshold, 0.0)
            cell = sim.IF_curr_delta(
                v_thresh=(threshold + raised).tolist(), i_offset=(offset + raised).tolist(), **INSTANT
            )
            # The shift of the ring buffers, which sPyNNaker would guess from mean rates.
            more = {"max_expected_summed_weight": net["largest_sum"][number].tolist()} if on_spinnaker else None
            extra = {"additional_parameters": more} if on_spinnaker else {}
            population = sim.Population(size, cell, label=label, **extra)
            population.initialize(v=0.0)
        if on_spinnaker:
            population.set_max_atoms_per_core(int(net["neurons_per_core"][number]))
        populations.append(population)
    for number, begin in enumerate(net["projection_begin"][:-1]):
        of = slice(int(begin), int(net["projection_begin"][number + 1]))
        inhibitory = bool(net["projection_receptor"][number])
        weight = -net["weight"][of] if inhibitory else net["weight"][of]
        delay = net["delay"][of] * float(net["timestep_ms"])
        sim.Projection(
            populations[int(net["projection_source"][number])],
            populations[int(net["projection_target"][number])],
            sim.FromListConnector(np.column_stack([net["pre"][of], net["post"][of], weight, delay])),
            sim.StaticSynapse(),
            receptor_type="inhibitory" if inhibitory else "excitatory",
        )
    return populations


def read_outputs(net: Network, populations: list[Any], samples: int) -> Any:
    """The output spikes of one tile, [samples, outputs]; prints how many spikes each population sent."""
    y = np.zeros((samples, len(net["output_neuron"])), np.uint8)
    owner = np.searchsorted(net["first_neuron"], net["output_neuron"], side="right") - 1
    for number in np.flatnonzero(~net["is_source"]):
        trains = populations[number].get_data("spikes").segments[0].spiketrains
        print(f"{populations[number].label}: {sum(len(train) for train in trains)} spikes")
        by_neuron = {int(train.annotations.get("source_index", i)): train for i, train in enumerate(trains)}
        for index in np.flatnonzero(owner == number):
            train = by_neuron.get(int(net["output_neuron"][index] - net["first_neuron"][number]), ())
            step = np.rint(np.asarray(train, float) / float(net["timestep_ms"])).astype(int)
            sample, phase = np.divmod(step - START - int(net["output_due"][index]), int(net["interval"]))
            hit = sample[(phase == 0) & (sample >= 0) & (sample < samples)]
            y[hit, index] = 1
    return y


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("backend", help="spiNNaker, nest or another module of pyNN")
    parser.add_argument("--input", help="samples: .npy, [samples, elements] of 0 and 1")
    parser.add_argument("--output", help="where to write the output spikes: .npy")
    parser.add_argument("--tiles", type=int, default=1, help="copies of the network, which share the samples")
    arguments = parser.parse_args()

    net = dict(np.load(pathlib.Path(__file__).with_name("network.npz"), allow_pickle=False))
    elements = int(net["source_element"].max(initial=ALWAYS_ON)) + 1
    x = np.load(arguments.input, allow_pickle=False) if arguments.input else np.ones((1, elements), np.uint8)
    x = x.reshape(len(x), -1)
    if x.shape[1] != elements:
        parser.error(f"the network takes {elements} elements, the samples have {x.shape[1]}")

    sim = importlib.import_module("pyNN." + arguments.backend)
    timestep = float(net["timestep_ms"])
    longest = float(net["delay"].max(initial=1)) * timestep
    options: dict[str, dict[str, Any]] = {
        "spiNNaker": {"time_scale_factor": float(net["time_scale_factor"])},
        # Neurons of NEST that know no steps would insist on a refractory time.
        "nest": {"max_delay": longest, "spike_precision": "on_grid"},
    }
    sim.setup(timestep=timestep, min_delay=timestep, **options.get(arguments.backend, {"max_delay": longest}))
    bounds = deal(len(x), arguments.tiles)
    tiles = [build_tile(sim, net, tile, x[bounds[tile] : bounds[tile + 1]]) for tile in range(arguments.tiles)]
    if arguments.output:
        for populations in tiles:
            for population, source in zip(populations, net["is_source"], strict=True):
                if not source:
                    population.record("spikes")
    most = max(end - begin for begin, end in pairwise(bounds))
    sim.run(run_steps(net, most) * timestep)
    if arguments.output:
        shares = [read_outputs(net, tiles[tile], bounds[tile + 1] - bounds[tile]) for tile in range(arguments.tiles)]
        np.save(arguments.output, np.concatenate(shares))
    sim.end()


if __name__ == "__main__":
    main()
