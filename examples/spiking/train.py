"""Trains the networks of this example, whose every activation is a step, and exports them to ONNX.

    python train.py dense --data mnist.npz [--out digits_dense.onnx]      784-100-100-100
    python train.py conv --data mnist.npz [--out digits_conv.onnx]

    conv: 5x5, 32 -> step -> max pool 2 -> 5x5, 64 -> step -> max pool 2 -> 500 -> step -> 100 -> step

Inputs are 0 or 1: a pixel above 127. Ten outputs in a row vote for each class. A batch normalisation stands before
every step, y = 1 where z >= 0.5. The step has no slope, so the backward pass takes that of clip(z, 0, 1) (a
straight-through estimator; Bengio, Leonard, Courville 2013). What is exported are steps: GreaterOrEqual and Cast.

Needs torch and onnx, and mnist.npz from ../digits/fetch.py. Prints the accuracy over the 10,000 test digits, which are
looked at once, after the last epoch.
"""

import argparse
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

SEED = 0
EPOCHS = {"dense": 20, "conv": 2}
BATCH = 128
LEARNING_RATE = {"dense": 0.004, "conv": 0.003}
BLACK = 127
CLASSES, VOTES = 10, 10
SHARPNESS = 0.25
"""Share of a vote in the logits that training sees."""
OPSET = 18


class StraightThrough(torch.autograd.Function):
    """A step at 0.5 whose gradient is that of clip(z, 0, 1)."""

    @staticmethod
    def forward(ctx: Any, z: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(z)
        return (z >= 0.5).to(z.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (z,) = ctx.saved_tensors
        return gradient * ((z > 0) & (z < 1))


class Step(nn.Module):
    """The activation: straight-through in training, a plain comparison else."""

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return StraightThrough.apply(z) if self.training else (z >= 0.5).to(z.dtype)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=sorted(EPOCHS))
    parser.add_argument("--data", type=Path, required=True, help="mnist.npz, made by ../digits/fetch.py")
    parser.add_argument("--out", type=Path, help="digits_NET.onnx beside this script")
    arguments = parser.parse_args()
    out = arguments.out or Path(__file__).with_name(f"digits_{arguments.net}.onnx")

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    with np.load(arguments.data, allow_pickle=False) as data:
        train_bits, train_labels = tensors(data["train_images"], data["train_labels"], arguments.net)
        test_bits, test_labels = tensors(data["test_images"], data["test_labels"], arguments.net)
    net = dense_network() if arguments.net == "dense" else conv_network()
    train(net, train_bits, train_labels, EPOCHS[arguments.net], LEARNING_RATE[arguments.net])
    print(f"test accuracy {accuracy(net, test_bits, test_labels):.4f} over {len(test_labels)} digits")
    export(net, test_bits[:1], out)
    print(f"{out.name}: {out.stat().st_size / 1000:.1f} kB")
    return 0


def tensors(images: np.ndarray, labels: np.ndarray, net: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Binary images in the shape that the network takes, and their labels."""
    bits = (images > BLACK).astype(np.float32).reshape(len(images), *((784,) if net == "dense" else (1, 28, 28)))
    return torch.from_numpy(bits), torch.from_numpy(labels.astype(np.int64))


def normalised(norm: nn.BatchNorm1d | nn.BatchNorm2d) -> nn.Module:
    """A batch normalisation that starts with the middle of its values at the step."""
    nn.init.constant_(norm.weight, 0.5)
    nn.init.constant_(norm.bias, 0.5)
    return norm


def dense_network() -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for number, (inputs, outputs) in enumerate(((784, 100), (100, 100), (100, CLASSES * VOTES)), 1):
        layers[f"fc{number}"] = nn.Linear(inputs, outputs, bias=False)
        layers[f"norm{number}"] = normalised(nn.BatchNorm1d(outputs))
        layers[f"step{number}"] = Step()
    return nn.Sequential(layers)


def conv_network() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 32, 5, padding=2, bias=False),
            norm1=normalised(nn.BatchNorm2d(32)),
            step1=Step(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(32, 64, 5, padding=2, bias=False),
            norm2=normalised(nn.BatchNorm2d(64)),
            step2=Step(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            fc3=nn.Linear(64 * 7 * 7, 500, bias=False),
            norm3=normalised(nn.BatchNorm1d(500)),
            step3=Step(),
            fc4=nn.Linear(500, CLASSES * VOTES, bias=False),
            norm4=normalised(nn.BatchNorm1d(CLASSES * VOTES)),
            step4=Step(),
        )
    )


def votes(spikes: torch.Tensor) -> torch.Tensor:
    """How many neurons of each class spike: [N, classes]."""
    return spikes.reshape(-1, CLASSES, VOTES).sum(dim=2)


def train(net: nn.Module, bits: torch.Tensor, labels: torch.Tensor, epochs: int, rate: float) -> None:
    """Adam on the cross entropy of the votes, the learning rate rising and falling once."""
    steps = len(labels) // BATCH
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=epochs * steps)
    net.train()
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(labels))[: steps * BATCH].split(BATCH):
            # A class gains by its own votes and by the silence of all others: (2x - 1)(2K - 1) of the key K.
            loss = nn.functional.cross_entropy(4 * SHARPNESS * votes(net(bits[batch])), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {epochs}: loss {total / steps:.4f}", flush=True)
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, bits: torch.Tensor, labels: torch.Tensor) -> float:
    guesses = torch.cat([votes(net(part)).argmax(dim=1) for part in bits.split(1000)])
    return float((guesses == labels).float().mean())


def export(net: nn.Module, example: torch.Tensor, path: Path) -> None:
    """Writes the network with its batch normalisations, for the compiler to fold."""
    torch.onnx.export(
        net,
        (example,),
        path,
        dynamo=False,
        do_constant_folding=False,
        opset_version=OPSET,
        input_names=["digit"],
        output_names=["spikes"],
        dynamic_axes={"digit": {0: "N"}, "spikes": {0: "N"}},
    )


if __name__ == "__main__":
    sys.exit(main())
