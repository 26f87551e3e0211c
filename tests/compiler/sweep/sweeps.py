"""Small sweeps, in a folder with the files that they need."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from snc.backends.spinn1.machine import machine_text

from ..step_models import dense_steps, samples

FORTY = """
model = "net.onnx"
data = "data.npz"
target = ["spinn1", "spinn2"]

[axes]
weights = ["code16", "q4.8", "q4.3", "q2.1"]
groups = [1, 2, 3]
tiles = [1, 9998, 9999]     # the last two do not fit
level = [0, 1, 2, 3]        # of spinn2, which refuses steps

[fixed]
calibrate = "samples.npy"
time-scale-factor = 5
machine = "board.toml"
"""
"""Forty points: 12 are measured, 24 do not fit, 4 are refused."""

FOUR = """
model = "net.onnx"
data = "data.npz"
target = "spinn1"
machine = "spinn3"

[axes]
weights = ["code16", "q2.1"]
groups = [1, 2]

[fixed]
calibrate = "samples.npy"
tiles = 1
time-scale-factor = 5
"""


def write_sweep(folder: Path, text: str) -> Path:
    """The specification in `folder`, beside a network of steps with votes behind it, samples, and labelled samples."""
    (folder / "net.onnx").write_bytes(dense_steps("key"))
    np.save(folder / "samples.npy", samples(6, 12))
    labels = np.random.default_rng(3).integers(0, 3, 30)
    np.savez(folder / "data.npz", x=samples(30, 12), labels=labels)
    (folder / "board.toml").write_text(machine_text("spinn3"))
    path = folder / "sweep.toml"
    path.write_text(text)
    return path
