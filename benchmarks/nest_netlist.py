"""Runs a netlist on NEST, in an environment of its own; called by spiking.py.

    python nest_netlist.py FOLDER SAMPLES

FOLDER holds network.npz as `snc export --to pynn` writes it and x.npy, the samples; it gets y.npy, the output spikes of
the first SAMPLES of them. Seconds of set-up and simulation are printed as JSON.
"""

import json
import sys
import time
from pathlib import Path

import nest
import numpy as np

START = 1  # step in which parrots repeat what generators send in step 0; a neuron answers in the step of its input


def build(net, x):
    """Populations and connections; neuron ids of each population."""
    cells, source = [], 0
    for number, size in enumerate(net["neurons"].tolist()):
        of = slice(int(net["first_neuron"][number]), int(net["first_neuron"][number]) + size)
        if net["is_source"][number]:
            generators, parrots = nest.Create("spike_generator", size), nest.Create("parrot_neuron", size)
            rows = range(source, source + size)
            for generator, element, due in zip(
                generators, net["source_element"][rows], net["source_due"][rows], strict=False
            ):
                samples = np.flatnonzero(x[:, element]) if element >= 0 else np.arange(len(x))
                generator.spike_times = (samples * int(net["interval"]) + due + START).astype(float)
            nest.Connect(generators, parrots, "one_to_one", {"delay": 1.0})
            cells.append(parrots)
            source += size
            continue
        raised = np.maximum(1.0 - net["threshold"][of], 0.0)  # NEST wants thresholds above the reset potential
        instant = {"E_L": 0.0, "V_reset": 0.0, "V_m": 0.0, "t_ref": 0.0, "tau_m": 0.01, "C_m": 0.01}
        levels = {"V_th": net["threshold"][of] + raised, "I_e": net["offset"][of] + raised}
        cells.append(nest.Create("iaf_psc_delta", size, {**instant, **levels}))
    ids = [np.asarray(each.tolist()) for each in cells]
    for number, begin in enumerate(net["projection_begin"][:-1]):
        of = slice(int(begin), int(net["projection_begin"][number + 1]))
        sign = -1.0 if net["projection_receptor"][number] else 1.0
        pre = ids[int(net["projection_source"][number])][net["pre"][of]]
        post = ids[int(net["projection_target"][number])][net["post"][of]]
        synapses = {"weight": sign * net["weight"][of], "delay": net["delay"][of].astype(float)}
        nest.Connect(pre, post, "one_to_one", synapses)
    return cells, ids


def main():
    folder, samples = Path(sys.argv[1]), int(sys.argv[2])
    net, x = dict(np.load(folder / "network.npz")), np.load(folder / "x.npy")[:samples]
    start = time.perf_counter()
    nest.ResetKernel()
    nest.resolution = 1.0
    nest.local_num_threads = 1
    cells, ids = build(net, x)
    recorder = nest.Create("spike_recorder")
    owner = np.searchsorted(net["first_neuron"], net["output_neuron"], side="right") - 1
    for number in np.unique(owner):
        nest.Connect(cells[number], recorder)
    nest.Simulate(1.0)
    ready = time.perf_counter()
    interval = int(net["interval"])
    nest.Simulate(float((samples - 1) * interval + int(net["latency"]) + START + 1))
    end = time.perf_counter()
    times, senders = np.rint(recorder.events["times"]).astype(int), np.asarray(recorder.events["senders"])
    y = np.zeros((samples, len(owner)), np.uint8)
    for index, neuron in enumerate(net["output_neuron"].tolist()):
        mine = senders == ids[owner[index]][neuron - int(net["first_neuron"][owner[index]])]
        due = START + 1 + int(net["output_due"][index])
        sample, phase = np.divmod(times[mine] - due, interval)
        y[sample[(phase == 0) & (sample >= 0) & (sample < samples)], index] = 1
    np.save(folder / "y.npy", y)
    print(json.dumps({"setup": ready - start, "run": end - ready}))


if __name__ == "__main__":
    main()
