"""Builds and runs ResNet-50 for SpiNNaker2 beside onnxruntime int8, in one run.

    python benchmarks/resnet50.py [--model resnet50_dynamo] [--runs 20]

The model and its int8 twin come from tests/models/zoo.py. Building happens in a process of its own, so that its peak
memory can be read. Inference takes the best of the runs, each side with one and with two threads.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

import snc

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.models import zoo

BUILD = """
import json, resource, sys, time
start = time.perf_counter()
import snc
snc.compile(sys.argv[1]).save(sys.argv[2])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": time.perf_counter() - start, "peak_bytes": peak * 1024}))
"""


def best(call: Callable[[], object], runs: int) -> float:
    """Least seconds of one call."""
    call()
    times = []
    for _ in range(runs):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="resnet50_dynamo", help="a float model of the zoo that has a _qdq twin")
    parser.add_argument("--runs", type=int, default=20)
    arguments = parser.parse_args()
    model, twin = zoo.model(arguments.model), zoo.model(f"{arguments.model}_qdq")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.snc"
        command = [sys.executable, "-c", BUILD, str(model), str(path)]
        built = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        network = snc.load(path)
    print(f"build          {built['seconds']:7.2f} s    peak memory {built['peak_bytes'] / 1e9:.2f} GB")
    x = np.random.default_rng(0).standard_normal(network.inputs[0].shape).astype(np.float32)
    words = [np.zeros(network.inputs[0].shape, np.int8)]
    for threads in (1, 2):
        executor = network.executor(threads=threads)
        ours = best(lambda executor=executor: executor.run(words), arguments.runs)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(str(twin), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        theirs = best(lambda session=session, name=name: session.run(None, {name: x}), arguments.runs)
        print(
            f"{threads} thread{'s' if threads > 1 else ' '}      snc {ours * 1e3:7.1f} ms    "
            f"onnxruntime int8 {theirs * 1e3:7.1f} ms    ratio {ours / theirs:.1f}"
        )
    print(f"this process's peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
