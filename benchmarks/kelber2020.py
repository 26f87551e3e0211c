"""Our times of VGG-16 and ResNet-50 beside those that Kelber, Wu et al. 2020 publish for the same machine.

    python benchmarks/kelber2020.py [--net vgg16] [--net resnet50] [--mapping kelber2020] [--mapping baseline]
                                    [--mapping optimized]

Networks are built from their shapes with seeded random weights; both sides are simulated times, so that the load of
this machine does not matter. A cell reads: paper, ours, ratio. Clocks are those of the PEs (250 MHz).
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

import snc
from snc.backends.spinn2.clocks import clocks_of
from snc.backends.spinn2.machine import load_machine
from snc.backends.spinn2.order import dataflow_order
from snc.compiler.profile import profile, timeline
from snc.runtime.spinn2.timer import time_program

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from benchmarks.paper_nets import NETS

DATA = Path(__file__).resolve().parent / "data"
CLOCKS_PER_MS = 250_000

LATENCY_MS = {
    ("vgg16", "kelber2020"): 43.28,
    ("resnet50", "kelber2020"): 19.49,
    ("vgg16", "baseline"): 145.6,
    ("resnet50", "baseline"): 81.3,
}
"""Sums of the thesis; those of the baseline are extended from the layers that it logs."""

COLUMNS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "weights": (("weights_clk",), ("weights",)),
    "inputs": (("inputs_clk",), ("inputs",)),
    "migration": (("migration_clk",), ("migration",)),
    "MAC + results": (("mla_and_output_clk",), ("compute", "results")),
    "ARM": (("arm_pad_clk", "arm_add_clk", "arm_relu_clk", "arm_quantise_clk", "arm_pool_clk"), ("post", "layout")),
}
"""Heading: columns of the paper, phases of ours."""

PHASE_MS = {
    "vgg16": {"weights": 1.87, "inputs": 2.01, "migration": 1.45, "MAC + results": 10.77, "ARM": 11.60},
    "resnet50": {"weights": 3.30, "inputs": 3.24, "migration": 0.44, "MAC + results": 4.63, "ARM": 7.62},
}
"""Phases of the convolutions; the ARM column holds all layers, the others leave the matrix products out."""


def published(net: str) -> dict[str, dict[str, int]]:
    """Clocks by our name of the layer and column of the data file, in the file's order."""
    text = (DATA / f"kelber2020_{net}.csv").read_text(encoding="ascii")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    return {
        row.get("name") or row["layer"]: {
            name: int(value) for name, value in row.items() if name.endswith("_clk") and value
        }
        for row in csv.DictReader(lines)
    }


def cell(paper: float | None, ours: float, form: str = ",.0f") -> str:
    """Paper, ours and their ratio."""
    if not paper:
        return f"{'-' if paper is None else '0':>9} {ours:>9{form}}      "
    return f"{paper:>9{form}} {ours:>9{form}} {ours / paper:5.2f}"


def print_layers(layers: list[Mapping[str, Any]], paper: Mapping[str, Mapping[str, int]]) -> None:
    """A line for each layer; the total is without ARM work where the paper gives none."""
    print(f"{'layer':<18}" + "".join(f"{name:>27}" for name in (*COLUMNS, "total")))
    for row in layers:
        name = row["onnx"][0]
        known = paper.get(name, {})
        cells = []
        for theirs, ours in COLUMNS.values():
            given = any(column in known for column in theirs) and "weights_clk" in known
            cells.append(
                cell(
                    sum(known.get(column, 0) for column in theirs) if given else None,
                    sum(row["phases"][phase] for phase in ours),
                )
            )
        arm, own_arm = COLUMNS["ARM"]
        whole, clocks = known.get("conv_fc_total_clk"), row["clocks"]
        if whole is not None and any(column in known for column in arm):
            whole += sum(known.get(column, 0) for column in arm)
        elif whole is not None:
            clocks -= sum(row["phases"][phase] for phase in own_arm)
        print(f"{name:<18}" + "".join(f"{each:>27}" for each in (*cells, cell(whole, clocks))))


def print_baseline(layers: list[Mapping[str, Any]], paper: Mapping[str, Mapping[str, int]]) -> None:
    """The layers of the baseline that the logs have: the first block of each is the bare convolution or product."""
    seen: set[str] = set()
    for row in layers:
        name = row["onnx"][0]
        logged = paper.get(name, {}).get("baseline_total_clk")
        if logged is not None and name not in seen:
            print(f"  {name:<18} {cell(logged, row['clocks'])} clocks")
        seen.add(name)


def print_sums(net: str, layers: list[Mapping[str, Any]]) -> None:
    """Milliseconds by phase."""
    for heading, (_, phases) in COLUMNS.items():
        counted = [row for row in layers if heading == "ARM" or not row["onnx"][0].startswith("FC")]
        ours = sum(row["phases"][phase] for row in counted for phase in phases) / CLOCKS_PER_MS
        print(f"  {heading:<14} {cell(PHASE_MS[net][heading], ours, '.2f')} ms")
    dense = [row["clocks"] for row in layers if row["onnx"][0].startswith("FC")]
    print(f"  {'FC layers':<14} {cell(15.58 if net == 'vgg16' else 0.27, sum(dense) / CLOCKS_PER_MS, '.2f')} ms")


def print_gains(net: str, model: onnx.ModelProto) -> None:
    """What each part of the optimized mapping brings."""
    machine = load_machine("spinn2-2020")
    clocks = clocks_of(machine)
    paper = snc.compile(model, machine="spinn2-2020", mapping="kelber2020")
    loose = dataflow_order(paper.program, clocks, urgency=False)
    print(f"\n{net}, from kelber2020 to optimized, roofline {profile(paper)['roofline_s'] * 1e3:.2f} ms")
    print(f"  kelber2020                                {timeline(paper).latency_s * 1e3:8.2f} ms")
    print(f"  elements have lists of their transfers    {time_program(paper.program, clocks).latency_s * 1e3:8.2f} ms")
    print(f"  its steps wait for shared bytes only      {time_program(loose, clocks).latency_s * 1e3:8.2f} ms")
    ordered = dataflow_order(paper.program, clocks)
    print(f"  and the most urgent come first            {time_program(ordered, clocks).latency_s * 1e3:8.2f} ms")
    for level in range(4):
        start = time.perf_counter()
        found = snc.compile(model, machine="spinn2-2020", mapping="optimized", level=level)
        seconds = time.perf_counter() - start
        latency = timeline(found).latency_s * 1e3
        print(f"  optimized -O{level} (built in {seconds:5.1f} s)         {latency:8.2f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", action="append", choices=sorted(NETS))
    parser.add_argument("--mapping", action="append", choices=["kelber2020", "baseline", "optimized"])
    arguments = parser.parse_args()
    for net in arguments.net or ["vgg16", "resnet50"]:
        model = NETS[net]()
        for mapping in arguments.mapping or ["kelber2020", "baseline", "optimized"]:
            if mapping == "optimized":
                print_gains(net, model)
                continue
            executable = snc.compile(model, machine="spinn2-2020", mapping=mapping)
            start = time.perf_counter()
            times = timeline(executable)
            seconds = time.perf_counter() - start
            found = profile(executable, times)
            layers = found["layers"]
            print(f"\n{net}, {mapping}: {cell(LATENCY_MS[net, mapping], found['latency_s'] * 1e3, '.2f')} ms", end="")
            print(f"   roofline {found['roofline_s'] * 1e3:.2f} ms, timed in {seconds:.2f} s")
            if mapping == "baseline":
                print_baseline(layers, published(net))
            else:
                print_sums(net, layers)
                print_layers(layers, published(net))


if __name__ == "__main__":
    main()
