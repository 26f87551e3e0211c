"""From plain ReLU classifiers of digits to spikes: `snc sharpen`, `snc build`, `snc eval`, with accuracies and times.

    python benchmarks/sharpen_digits.py mnist.npz FOLDER [--nets dense,conv] [--seed 0] [--threads 1]

mnist.npz is made by examples/digits/fetch.py; a pixel above 127 is 1. The networks are trained a little as everybody
trains them (ReLU, one output a class, no batch normalisation), exported, and handed to the commands:

    dense   784-100-100-10                                            ten neurons for each output: 784-100-100-100
    conv    5x5, 32 - pool - 5x5, 64 - pool - 500 - 10                the same: ... - 500 - 100

Nothing is tuned on the test digits: `snc sharpen` holds out a tenth of the training digits, drawn by
the seed, and chooses by them. What is in FOLDER already is not trained again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

BLACK = 127
BATCH = 128
PLAIN_STEPS = {"dense": 940, "conv": 140}
"""Batches of plain training: two epochs, and a third of one."""
SHAPES = {"dense": (784,), "conv": (1, 28, 28)}
BUILD = ("--target", "spinn1", "--weights", "q4.8", "--weight-scale", "layer")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="mnist.npz")
    parser.add_argument("folder", type=Path, help="where networks and artefacts go")
    parser.add_argument("--nets", default="dense,conv")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for net in arguments.nets.split(","):
        measure(net, arguments.data, arguments.folder, arguments.seed, arguments.threads)
    return 0


def measure(net: str, data: Path, folder: Path, seed: int, threads: int) -> None:
    """One network all the way; prints a line for each command."""
    train, test = (store(data, folder, net, part) for part in ("train", "test"))
    plain, sharp, built = (folder / f"{net}_{seed}.{kind}" for kind in ("plain.onnx", "sharp.onnx", "snc"))
    if not plain.exists():
        train_plain(net, train, plain, seed)
    print(f"{net}, seed {seed}")
    print(f"  plain ReLU        {plain_accuracy(plain, test):.4f} of 10,000 test digits")
    if not sharp.exists():
        options = ("--seed", seed, "--threads", threads, "--json")
        found, seconds = snc("sharpen", plain, "--data", train, "--test", test, "-o", sharp, *options)
        (folder / f"{net}_{seed}.sharpen.json").write_text(json.dumps({**found["sharpened"], "seconds": seconds}))
    found = json.loads((folder / f"{net}_{seed}.sharpen.json").read_text())
    print(
        f"  sharpened         {found['test']['accuracy']:.4f} of {found['test']['samples']:,} test digits, "
        f"{found['validation']['accuracy']:.4f} of {found['validation']['samples']:,} held out; "
        f"{found['training_samples']:,} trained on, {len(found['epochs'])} epochs, {found['seconds']:.0f} s"
    )
    _, seconds = snc("build", sharp, *BUILD, "-o", built, "--json")
    print(f"  built             {' '.join(BUILD)}: {seconds:.0f} s")
    evaluated, seconds = snc("eval", built, "--data", test, "--no-stages", "--json")
    score = evaluated["evaluation"]["scores"]["top1"]
    print(f"  evaluated         {score:.4f} of {evaluated['evaluation']['samples']:,} test digits: {seconds:.0f} s")
    print(f"  lost by building  {100 * (found['test']['accuracy'] - score):+.2f} points", flush=True)


def store(data: Path, folder: Path, net: str, part: str) -> Path:
    """The digits of `train` or `test` as 0 and 1 with their labels, in a file as users have them."""
    path = folder / f"{net}_{part}.npz"
    if not path.exists():
        with np.load(data, allow_pickle=False) as stored:
            bits = (stored[f"{part}_images"] > BLACK).astype(np.uint8).reshape(-1, *SHAPES[net])
            np.savez(path, digit=bits, labels=stored[f"{part}_labels"].astype(np.int64))
    return path


def snc(*words: object) -> tuple[dict[str, Any], float]:
    """What a command prints as JSON, and the seconds that it took."""
    start = time.monotonic()
    command = [sys.executable, "-m", "snc", *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout}")
    return json.loads(done.stdout), time.monotonic() - start


def train_plain(net: str, data: Path, path: Path, seed: int) -> None:
    """A plain classifier, trained by Adam for a short while."""
    import torch
    from torch import nn

    torch.manual_seed(seed)
    torch.set_num_threads(1)
    if net == "dense":
        layers = [nn.Linear(784, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)]
    else:
        layers = [nn.Conv2d(1, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)]
        layers += [nn.Conv2d(32, 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
        layers += [nn.Linear(64 * 49, 500), nn.ReLU(), nn.Linear(500, 10)]
    module = nn.Sequential(*layers)
    with np.load(data, allow_pickle=False) as stored:
        bits, labels = torch.from_numpy(stored["digit"]), torch.from_numpy(stored["labels"])
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-3)
    order = torch.randperm(len(labels)).repeat(1 + PLAIN_STEPS[net] * BATCH // len(labels))
    for rows in order[: PLAIN_STEPS[net] * BATCH].split(BATCH):
        loss = nn.functional.cross_entropy(module(bits[rows].float()), labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    module.eval()
    torch.onnx.export(
        module,
        (torch.zeros(1, *SHAPES[net]),),
        path,
        dynamo=False,
        opset_version=18,
        input_names=["digit"],
        output_names=["logits"],
        dynamic_axes={"digit": {0: "N"}, "logits": {0: "N"}},
    )


def plain_accuracy(model: Path, data: Path) -> float:
    """By onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    with np.load(data, allow_pickle=False) as stored:
        (logits,) = session.run(None, {"digit": stored["digit"].astype(np.float32)})
        return float((logits.argmax(axis=1) == stored["labels"]).mean())


if __name__ == "__main__":
    sys.exit(main())
