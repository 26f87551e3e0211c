"""Trains the digit network of this example and exports it to ONNX.

    python train.py --data mnist.npz [--out digits_cnn.onnx]

    image [N, 1, 28, 28] in [0, 1]
      -> conv 3x3, 16 -> batch norm -> ReLU -> max pool 2
      -> conv 3x3, 32 -> batch norm -> ReLU -> max pool 2
      -> fully connected, 10 -> logits [N, 10]

Needs torch and onnx (made with torch 2.13.0 and onnx 1.23.2) and `mnist.npz` from fetch.py. Prints the accuracy over
the 10,000 test digits, which are looked at once, after the last epoch.
"""

import argparse
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import torch
from torch import nn

SEED = 0
EPOCHS = 5
BATCH = 128
LEARNING_RATE = 0.01
OPSET = 17


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="mnist.npz, made by fetch.py")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("digits_cnn.onnx"))
    arguments = parser.parse_args()

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    with np.load(arguments.data, allow_pickle=False) as data:
        train_images, train_labels = tensors(data["train_images"], data["train_labels"])
        test_images, test_labels = tensors(data["test_images"], data["test_labels"])

    net = digit_network()
    train(net, train_images, train_labels)
    print(f"test accuracy {accuracy(net, test_images, test_labels):.4f} over {len(test_labels)} digits")
    export(net, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1000:.1f} kB")
    return 0


def tensors(images: np.ndarray, labels: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.from_numpy(images[:, None] / np.float32(255)), torch.from_numpy(labels.astype(np.int64))


def digit_network() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(1, 16, 3, padding=1),
            norm1=nn.BatchNorm2d(16),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(16, 32, 3, padding=1),
            norm2=nn.BatchNorm2d(32),
            relu2=nn.ReLU(),
            pool2=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            classify=nn.Linear(32 * 7 * 7, 10),
        )
    )


def train(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> None:
    """Adam on the cross entropy, the learning rate rising and falling once."""
    steps = len(labels) // BATCH
    optimizer = torch.optim.Adam(net.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=EPOCHS * steps)
    net.train()
    for epoch in range(EPOCHS):
        total = 0.0
        for batch in torch.randperm(len(labels))[: steps * BATCH].split(BATCH):
            loss = nn.functional.cross_entropy(net(images[batch]), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f"epoch {epoch + 1} of {EPOCHS}: loss {total / steps:.4f}", flush=True)
    net.eval()


@torch.no_grad()
def accuracy(net: nn.Module, images: torch.Tensor, labels: torch.Tensor) -> float:
    guesses = torch.cat([net(part).argmax(dim=1) for part in images.split(1000)])
    return float((guesses == labels).float().mean())


def export(net: nn.Module, path: Path) -> None:
    """Writes the network with its batch normalisations, for the compiler to fold.

    By default both exporters fold them. The TorchScript one can be told not to, and it does not write the paths of the
    machine's Python files into the model as the other does.
    """
    torch.onnx.export(
        net,
        (torch.zeros(1, 1, 28, 28),),
        path,
        dynamo=False,
        training=torch.onnx.TrainingMode.PRESERVE,
        do_constant_folding=False,
        opset_version=OPSET,
        input_names=["image"],
        output_names=["logits"],
        dynamic_axes={"image": {0: "N"}, "logits": {0: "N"}},
    )


if __name__ == "__main__":
    sys.exit(main())
