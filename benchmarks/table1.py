"""Table 1 of the slides again: accuracy of spiking and non-spiking networks at reduced precision.

    python benchmarks/table1.py train mnist.npz FOLDER [--seeds 10]     trains what is not in FOLDER yet
    python benchmarks/table1.py table mnist.npz FOLDER                  evaluates what is there and prints the tables
    python benchmarks/table1.py grey mnist.npz FOLDER                   the dense network of seed 0 on grey digits

mnist.npz is made by examples/digits/fetch.py. Two networks, ten seeds each:

    dense   784-512-512-100
    conv    5x5, 8 - pool - 5x5, 16 - pool - 128 - 128 - 128 - 100      ('same' padding, max pools of 2)

Inputs are 0 or 1, a pixel above 127, as the machine takes them; ten outputs vote for each class. Each network is
trained with bounded ReLUs for SOFT_EPOCHS. From there one copy is sharpened by `snc sharpen`'s own code; another goes
on as it is for FINISH_EPOCHS whose learning rate falls to 0: what the slides call non-sharpened, or non-spiking.
The 10,000 test digits are looked at by `table` alone.

Spiking networks are rounded by snc's own passes (binarize-activations, quantize-weights), and their integers are
multiplied by torch, exactly; for the first seed the reference interpreter must give the same spikes. Non-spiking ones
have weights and biases on the same grid, and the values of bounded ReLUs in 32 bit floats between the layers.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

Array = NDArray[Any]

SOFT_EPOCHS, LAYER_EPOCHS, FINISH_EPOCHS = 3, 0.5, 4
BLACK = 127
FRACTIONS = (16, 8, 7, 6, 5)
NAMES = ("float32", *(f"Q4.{fraction}" for fraction in FRACTIONS))
ROUNDINGS = ("nearest", "truncate", "floor")
SLIDES: Mapping[tuple[str, str], tuple[str, ...]] = {
    ("dense", "spiking"): (
        *("0.9794 [0.9784, 0.9820]", "0.9794 [0.9777, 0.9821]", "0.9786 [0.9772, 0.9803]"),
        *("0.9773 [0.9757, 0.9800]", "0.9712 [0.9673, 0.9742]", "0.8679 [0.7732, 0.9207]"),
    ),
    ("dense", "soft"): (
        *("0.9854 [0.9837, 0.9865]", "0.9854 [0.9838, 0.9865]", "0.9849 [0.9836, 0.9866]"),
        *("0.9842 [0.9834, 0.9855]", "0.9798 [0.9774, 0.9827]", "0.8922 [0.8385, 0.9447]"),
    ),
    ("conv", "spiking"): (
        *("0.9815 [0.9791, 0.9836]", "0.9815 [0.9789, 0.9835]", "0.9815 [0.9797, 0.9838]"),
        *("0.9802 [0.9782, 0.9817]", "0.9754 [0.9714, 0.9795]", "0.9306 [0.8867, 0.9482]"),
    ),
    ("conv", "soft"): (
        *("0.9905 [0.9896, 0.9914]", "0.9905 [0.9896, 0.9914]", "0.9905 [0.9897, 0.9915]"),
        *("0.9902 [0.9894, 0.9916]", "0.9884 [0.9871, 0.9899]", "0.9752 [0.9639, 0.9813]"),
    ),
}
CHECKED = 50
"""Samples on which the reference interpreter must agree."""
EXACT = 1 << 24
"""32 bit floats hold all integers up to here."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("train", "table", "grey"))
    parser.add_argument("data", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--nets", default="dense,conv")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    nets = arguments.nets.split(",")
    if arguments.what == "train":
        for net in nets:
            for seed in range(arguments.seeds):
                train(net, seed, arguments.data, arguments.folder)
                train_soft(net, seed, arguments.data, arguments.folder)
    elif arguments.what == "grey":
        print_grey(arguments.data)
    else:
        for net in nets:
            print_tables(net, arguments.data, arguments.folder, arguments.seeds)
    return 0


def samples(path: Path, part: str, net: str) -> Any:
    """The digits of `train` or `test` as 0 and 1, and their labels."""
    from snc.compiler.data.arrays import ArrayDataSet

    with np.load(path, allow_pickle=False) as stored:
        bits = (stored[f"{part}_images"] > BLACK).astype(np.uint8)
        labels = stored[f"{part}_labels"].astype(np.int64)
    shape = (784,) if net == "dense" else (1, 28, 28)
    return ArrayDataSet({"digit": bits.reshape(-1, *shape)}, labels, part)


def network(net: str, seed: int) -> Any:
    """An untrained network of ReLUs."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    if net == "dense":
        layers = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 100)]
        return nn.Sequential(*layers).eval()
    layers = [nn.Conv2d(1, 8, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.Conv2d(8, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    for inputs, outputs in ((784, 128), (128, 128), (128, 128)):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(128, 100)).eval()


def train(net: str, seed: int, data: Path, folder: Path) -> None:
    """One network, sharpened; its constants before that go beside it."""
    from snc.compiler.sharpen.checkpoint import load_checkpoint
    from snc.compiler.sharpen.epochs import Watch
    from snc.compiler.sharpen.settings import Settings
    from snc.compiler.sharpen.sharpen import sharpen

    out, soft = folder / f"{net}_{seed}.onnx", folder / f"{net}_{seed}_start.npz"
    if out.exists() and soft.exists():
        return
    checkpoint = folder / f"{net}_{seed}.checkpoint"
    start = time.process_time()

    def report(epoch: Any) -> None:
        if epoch.number == SOFT_EPOCHS:
            now = load_checkpoint(checkpoint).arrays
            kept = {name.removeprefix("now/"): array for name, array in now.items() if name.startswith("now/")}
            store(soft, kept)
        print(
            f"{net} {seed} epoch {epoch.number} {epoch.phase}: loss {epoch.loss:.4f}, "
            f"held out {epoch.validation:.4f}, {time.process_time() - start:.0f} s of a core",
            flush=True,
        )

    settings = Settings(seed=seed, soft_epochs=SOFT_EPOCHS, layer_epochs=LAYER_EPOCHS, finish_epochs=FINISH_EPOCHS)
    resume = checkpoint if checkpoint.exists() and soft.exists() else None
    made = sharpen(
        network(net, seed),
        samples(data, "train", net),
        settings,
        checkpoint=checkpoint,
        resume=resume,
        watch=Watch(report),
    )
    made.save(out)
    checkpoint.unlink()
    print(f"{net} {seed}: {made.validation:.4f} of the held-out digits", flush=True)


def train_soft(net: str, seed: int, data: Path, folder: Path) -> None:
    """The same network without sharpening: from where that began, for as many epochs as its finish has."""
    import torch

    from snc.compiler.onnx.importer import import_model
    from snc.compiler.sharpen.from_torch import exported
    from snc.compiler.sharpen.network import Network
    from snc.compiler.sharpen.samples import read_samples, split
    from snc.compiler.sharpen.schedule import SOFT, Stretch
    from snc.compiler.sharpen.settings import Settings
    from snc.compiler.sharpen.sharpen import prepared
    from snc.compiler.sharpen.training import Trainer, accuracy
    from snc.compiler.spinn1.executable import input_ports

    out = folder / f"{net}_{seed}_soft.npz"
    if out.exists():
        return
    torch.set_num_threads(1)
    settings, digits = Settings(seed=seed), samples(data, "train", net)
    module = import_model(exported(network(net, seed), digits))
    ports = input_ports(module)
    stepped, _ = prepared(module, 10, settings)
    every = read_samples(digits, ports, threshold=None)
    rows, held_rows = split(len(every), round(len(every) * settings.validation), seed)
    made = Network(stepped)
    with np.load(folder / f"{net}_{seed}_start.npz") as stored:
        made.load(stored)
    trainer = Trainer(made, stepped.key, every.take(rows), batch=settings.batch, rate=settings.rate, seed=seed)
    flat = (0.0,) * len(stepped.activations)
    for number in range(FINISH_EPOCHS):
        rates = [1 - each / FINISH_EPOCHS for each in (number, number + 1)]
        trainer.run(Stretch(SOFT, flat, flat, *rates), 100 + number, lambda _done, _steps: None)
    held = accuracy(made, stepped.key, every.take(held_rows), flat)
    store(out, made.arrays())
    print(f"{net} {seed} soft: {held:.4f} of the held-out digits", flush=True)


def print_grey(data: Path) -> None:
    """The accuracy of the spiking dense network whose inputs are shares of white, as floats."""
    from snc.compiler.data.arrays import ArrayDataSet
    from snc.compiler.sharpen.settings import Settings
    from snc.compiler.sharpen.sharpen import sharpen

    def digits(part: str) -> Any:
        with np.load(data, allow_pickle=False) as stored:
            shares = stored[f"{part}_images"].reshape(-1, 784) / np.float32(255)
            return ArrayDataSet({"digit": shares}, stored[f"{part}_labels"].astype(np.int64), part)

    settings = Settings(seed=0, soft_epochs=SOFT_EPOCHS, layer_epochs=LAYER_EPOCHS, finish_epochs=FINISH_EPOCHS)
    made = sharpen(network("dense", 0), digits("train"), settings)
    print(f"dense 0 on grey digits: {made.accuracy(digits('test')):.4f} of the test digits")


def store(path: Path, arrays: Mapping[str, Array]) -> None:
    """Arrays in a file that is whole or not there."""
    part = path.with_suffix(".part.npz")
    np.savez(part, **arrays)  # type: ignore[arg-type]
    shutil.move(part, path)


@frozen(eq=False)
class Layer:
    """A step of w x + bias >= threshold, by channel, and the max pooling of 2 behind it; `pads` None for a product."""

    weight: Array
    bias: Array
    threshold: Array
    pads: int | None
    pooled: bool


def layers_of(module: Any) -> list[Layer]:
    """The layers of a chain at stage binary or binary-fixed-point."""
    from snc.ir.dialects import nn, quant
    from snc.passes.spiking.layers import layer_terms

    found = []
    for op in module.main.body.ops:
        if not isinstance(op, quant.BinarizeOp):
            continue
        (term,) = layer_terms(op.terms)
        pads = None if isinstance(term.op, nn.MatMulOp | quant.MatMulOp) else term.op.pads[0]
        pooled = any(isinstance(user, nn.MaxPool2dOp | quant.MaxPool2dOp) for user in op.out.users)
        found.append(Layer(term.weight, op.bias, op.threshold, pads, pooled))
    return found


def run(layers: Sequence[Layer], bits: Array, *, soft: bool) -> Array:
    """The outputs [N, outputs]: spikes, or with `soft` the values of bounded ReLUs."""
    import torch
    from torch.nn import functional

    outputs = []
    with torch.no_grad():
        for part in torch.from_numpy(bits).split(500):
            x = part
            for layer in layers:
                most = np.abs(layer.weight).reshape(len(layer.weight), -1).sum(axis=1 if layer.pads is not None else 0)
                wide = layer.weight.dtype.kind == "i" and most.max() + np.abs(layer.bias).max() >= EXACT
                kind = torch.float64 if wide else torch.float32
                weight, bias, threshold = (
                    torch.from_numpy(np.array(each)).to(kind) for each in (layer.weight, layer.bias, layer.threshold)
                )
                shape = (-1, 1, 1) if layer.pads is not None else (-1,)
                bias, threshold = (each.reshape(shape) if each.dim() == 1 else each for each in (bias, threshold))
                x = x.to(kind)
                if layer.pads is not None:
                    z = functional.conv2d(x, weight, padding=layer.pads) + bias
                else:
                    z = x.flatten(1) @ weight + bias
                x = torch.clamp(z - threshold + 0.5, 0, 1) if soft else (z >= threshold).to(kind)
                x = functional.max_pool2d(x, 2) if layer.pooled else x
            outputs.append(x.numpy())
    return np.concatenate(outputs)


def rounded(layers: Sequence[Layer], fraction: int, rounding: str) -> list[Layer]:
    """Weights and biases on the grid of 2^-fraction, weights within four bits before the point."""
    from attrs import evolve

    from snc.passes.spiking.grid import on_grid

    end = 2.0**3 - 2.0**-fraction
    return [
        evolve(
            layer,
            weight=np.clip(np.ldexp(on_grid(layer.weight, fraction, rounding), -fraction), -(2.0**3), end),
            bias=np.ldexp(on_grid(layer.bias, fraction, rounding), -fraction),
        )
        for layer in layers
    ]


def evaluated(net: str, seed: int, kind: str, data: Path, folder: Path) -> dict[str, float]:
    """Accuracies on the test digits of one seed's network, `spiking` or `soft`; kept in the folder."""
    import onnx

    from snc.compiler.onnx.importer import import_model
    from snc.compiler.sharpen.keys import consecutive_key

    path = folder / f"{net}_{seed}_{kind}.json"
    if path.exists():
        found: dict[str, float] = json.loads(path.read_text())
        return found
    batch = next(samples(data, "test", net).batches(10_000))
    bits, key = batch.inputs["digit"].astype(np.float32), consecutive_key(100, 10)

    def accuracy(layers: Sequence[Layer]) -> float:
        return float((key.decode(run(layers, bits, soft=kind == "soft")) == batch.labels).mean())

    model = onnx.load(folder / f"{net}_{seed}.onnx")
    if kind == "soft":
        with np.load(folder / f"{net}_{seed}_soft.npz") as stored:
            for tensor in model.graph.initializer:
                if tensor.name in stored:
                    tensor.CopyFrom(onnx.numpy_helper.from_array(stored[tensor.name], tensor.name))
    binary = passed(import_model(model), "fold-constants,fold-batch-norm,binarize-activations")
    floats = layers_of(binary)
    found = {"float32": accuracy(floats)}
    for fraction in FRACTIONS:
        for rounding in ROUNDINGS:
            name = f"Q4.{fraction} {rounding}"
            if kind == "soft":
                found[f"{name} none"] = accuracy(rounded(floats, fraction, rounding))
                continue
            for scale in ("none", "layer") if rounding == "nearest" else ("none",):
                options = f"weights=q4.{fraction} rounding={rounding} weight-scale={scale} overflow=saturate"
                found[f"{name} {scale}"] = accuracy(quantized(binary, options, bits if seed == 0 else bits[:0]))
    path.write_text(json.dumps(found))
    return found


def quantized(binary: Any, options: str, bits: Array) -> list[Layer]:
    """The layers in integers; the reference interpreter must find the same spikes for the first of `bits`."""
    from snc.ir.clone import clone_module
    from snc.ir.dialects import quant
    from snc.runtime.interpreter.evaluate import evaluate

    module = passed(clone_module(binary), f"quantize-weights{{{options}}}")
    layers = layers_of(module)
    last = [op.out for op in module.main.body.ops if isinstance(op, quant.BinarizeOp)][-1]
    for row in bits[:CHECKED]:
        seen: dict[Any, Array] = {}
        evaluate(module, [row[None]], observe=lambda value, array, seen=seen: seen.update({value: array}))
        assert (run(layers, row[None], soft=False) == seen[last]).all(), options
    return layers


def passed(module: Any, pipeline: str) -> Any:
    """The module after a pipeline."""
    from snc.passes.base import PassContext
    from snc.passes.manager import PassManager
    from snc.passes.pipeline import parse_pipeline

    PassManager(parse_pipeline(pipeline).passes, ()).run(module, PassContext())
    return module


def print_tables(net: str, data: Path, folder: Path, seeds: int) -> None:
    """Markdown: mean and range over the seeds that are there."""
    for kind, title, ending in (("spiking", "spiking", ".onnx"), ("soft", "non-spiking", "_soft.npz")):
        there = [seed for seed in range(seeds) if (folder / f"{net}_{seed}{ending}").exists()]
        if not there:
            continue
        rows = [evaluated(net, seed, kind, data, folder) for seed in there]
        columns = {rounding: f"{rounding} none" for rounding in ROUNDINGS}
        if kind == "spiking":
            columns["nearest, scaled by layer"] = "nearest layer"
        print(f"\n{net}, {title}, {len(rows)} seeds\n")
        print("| precision | slides | " + " | ".join(columns) + " |")
        print("| --- |" + " --- |" * (1 + len(columns)))
        for index, name in enumerate(NAMES):
            keys = [name if index == 0 else f"{name} {column}" for column in columns.values()]
            cells = [_cell([row[key] for row in rows]) for key in keys]
            print(f"| {name} | {SLIDES[net, kind][index]} | " + " | ".join(cells) + " |")


def _cell(accuracies: Sequence[float]) -> str:
    return f"{np.mean(accuracies):.4f} [{min(accuracies):.4f}, {max(accuracies):.4f}]"


if __name__ == "__main__":
    sys.exit(main())
