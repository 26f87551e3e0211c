"""Runs spiking networks of SpiNNaker1 beside NEST, in one run, and times their mapping.

    python benchmarks/spiking.py [--samples 10000] [--nest-samples 500] [--conv conv_ste_bn.onnx]

SNC_NEST_PYTHON names the Python of an environment with NEST 3 (`pip install nest-simulator`); without it NEST is left
out. Both sides get the same netlist and the same digits, use one thread, and must give the same spikes. NEST's time is
that of its simulation alone, after set-up.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from snc.backends.spinn1.export.pynn import DATA, export_pynn
from snc.backends.spinn1.machine import load_machine
from snc.backends.spinn1.netlist import build_netlist
from snc.compiler.onnx.importer import import_model
from snc.compiler.onnx.loading import load_model
from snc.ir.dialects.builtin import ModuleOp
from snc.passes.pipeline import parse_pipeline
from snc.runtime.spinn1.executor import Executor
from snc.runtime.spinn1.netlist import Netlist

TEST_DATA = Path(__file__).resolve().parents[1] / "tests" / "data"
PIPELINE = (
    "fold-constants,fold-batch-norm,binarize-activations,quantize-weights,lower-to-spiking,"
    "schedule-temporal-groups{{groups={groups}}}"
)
CONV_NEST_SAMPLES = 20
RUNS, RUNS_SECONDS = 5, 5
"""Runs of ours of which the best counts, as long as they do not take longer."""

NEST = Path(__file__).with_name("nest_netlist.py")


def digits(count: int) -> np.ndarray:
    """The binarised test digits, uint8 [count, 784], at even distances."""
    bits = np.load(TEST_DATA / "mnist_test_bits.npz")["bits"]
    return np.unpackbits(bits, axis=1)[:: max(len(bits) // count, 1)][:count]


def spiking(path: Path, shape: tuple[int, ...], groups: int) -> ModuleOp:
    """A network as a scheduled module at stage spiking."""
    module = import_model(load_model(path), shapes={"x": shape})
    parse_pipeline(PIPELINE.format(groups=groups)).run(module)
    return module


def nest(netlist: Netlist, x: np.ndarray, expected: np.ndarray) -> str:
    """What NEST makes of the same netlist and samples."""
    python = os.environ.get("SNC_NEST_PYTHON")
    if not python:
        return "NEST left out (SNC_NEST_PYTHON is not set)"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, DATA).write_bytes(export_pynn(netlist)[DATA])
        np.save(Path(folder, "x.npy"), x)
        environment = {**os.environ, "PYTHONPATH": "", "PYNEST_QUIET": "1"}
        command = [python, str(NEST), folder, str(len(x))]
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        times = json.loads(done.stdout.strip().splitlines()[-1])
        same = np.array_equal(np.load(Path(folder, "y.npy")), expected)
    return (
        f"NEST {times['run'] / len(x) * 1e3:9.3f} ms a sample ({len(x)} samples, set-up {times['setup']:.1f} s), "
        f"spikes {'equal' if same else 'DIFFER'}"
    )


def race(name: str, module: ModuleOp, samples: int, nest_samples: int) -> None:
    """Prints our time for all samples, and NEST's for some."""
    netlist = build_netlist(module, load_machine("spinn5").with_monitors(False), tiles=1)
    start = time.perf_counter()
    executor = Executor(netlist, threads=1)
    x = digits(samples)
    executor.run(x[:1])
    ready = time.perf_counter()
    times = []
    while not times or (len(times) < RUNS and sum(times) < RUNS_SECONDS):
        begin = time.perf_counter()
        y = executor.run(x).outputs
        times.append(time.perf_counter() - begin)
    seconds = min(times)
    print(
        f"{name:6} snc  {seconds / len(x) * 1e3:9.5f} ms a sample ({len(x)} samples in {seconds:.2f} s, "
        f"{len(x) / seconds:,.0f} a second on one core, set-up {ready - start:.1f} s)"
    )
    print(f"{name:6} {nest(netlist, x[:nest_samples], y[:nest_samples])}", flush=True)


def mapping(module: ModuleOp) -> None:
    """Prints how long it takes to map the dense network on a board and on a machine of 24."""
    for name, tiles in (("spinn5", 190), ("spinn5-24", None)):
        machine = load_machine(name).with_monitors(False)
        start = time.perf_counter()
        netlist = build_netlist(module, machine, tiles=tiles)
        seconds = time.perf_counter() - start
        chips = len(np.unique(netlist.placements[["x", "y"]]))
        print(f"map    {netlist.tiles:5} tiles, {len(netlist.placements):5} cores, {chips:4} chips {seconds:7.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--nest-samples", type=int, default=500)
    folder = Path(os.environ.get("SNC_MODELS", "."))
    parser.add_argument("--conv", type=Path, default=folder / "conv_ste_bn.onnx", help="the convolutional network")
    arguments = parser.parse_args()
    dense = spiking(TEST_DATA / "mnist_dense3_bn.onnx", (1, 784), 1)
    race("dense", dense, arguments.samples, arguments.nest_samples)
    if arguments.conv.exists():
        race("conv", spiking(arguments.conv, (1, 1, 28, 28), 20), arguments.samples, CONV_NEST_SAMPLES)
    else:
        print(f"conv   left out: there is no {arguments.conv}")
    mapping(dense)


if __name__ == "__main__":
    main()
