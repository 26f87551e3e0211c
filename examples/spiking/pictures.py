"""Draws where a spiking network lies on a board and when its neurons spike.

    python pictures.py [--model digits_dense.onnx] [--groups 8] [--folder .]

Needs matplotlib. Writes chips.png, the board with the tiles of the network chip by chip, and raster.png, every spike of
one tile while a few digits pass through it: a layer fires in as many steps as there are temporal groups.
"""

import argparse
import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import snc

DIGITS = Path(__file__).resolve().parents[1] / "digits" / "digits.npz"
BLACK = 127
SAMPLES = 6


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("digits_dense.onnx"))
    parser.add_argument("--groups", type=int, default=8, help="temporal groups of the raster")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()
    with np.load(DIGITS, allow_pickle=False) as stored:
        digits = (stored["images"] > BLACK).astype(np.uint8).reshape(len(stored["images"]), -1)
    options = {"target": "spinn1", "shapes": {"digit": (1, 784)}, "calibration": {"digit": digits}, "monitors": False}
    board = snc.compile(arguments.model, **options)
    draw_chips(board.netlist, arguments.folder / "chips.png")
    grouped = snc.compile(arguments.model, groups=arguments.groups, tiles=1, **options)
    draw_raster(grouped, digits[:SAMPLES], arguments.folder / "raster.png")
    return 0


def draw_chips(netlist, path: Path) -> None:
    """Every chip as a square, every core that runs a vertex as a small one in the colour of its tile."""
    figure, axes = plt.subplots(figsize=(7, 7))
    for chip in netlist.chips:
        axes.add_patch(plt.Rectangle((chip["x"] - 0.46, chip["y"] - 0.46), 0.92, 0.92, color="0.9"))
    core = np.stack(np.divmod(np.arange(18), 5)[::-1], axis=1) * 0.2 - 0.4
    place = core[netlist.placements["p"]]
    # Neighbouring tiles get different colours; which ones means nothing.
    colour = netlist.placements["tile"] * 7 % 20
    x, y = netlist.placements["x"] + place[:, 0], netlist.placements["y"] + place[:, 1] + 0.1
    axes.scatter(x, y, c=colour, cmap="tab20", s=22, marker="s")
    axes.set(
        aspect="equal", xlabel="chip x", ylabel="chip y", xticks=range(netlist.width), yticks=range(netlist.height)
    )
    axes.set_title(f"{netlist.machine}: {netlist.tiles} tiles on {len(netlist.placements)} cores")
    figure.savefig(path, dpi=90, bbox_inches="tight")


def draw_raster(network, digits: np.ndarray, path: Path) -> None:
    """Step and neuron of every spike of tile 0, populations in turn, from the first layer behind the sources on."""
    netlist = network.netlist
    trace = network.executor(threads=1).trace(digits)[:, :, 0]
    figure, axes = plt.subplots(figsize=(9, 6))
    populations = netlist.populations[1:]
    first = int(populations["first_neuron"][0])
    for population, label in zip(populations, netlist.labels[1:], strict=True):
        low = int(population["first_neuron"])
        step, neuron = np.nonzero(trace[:, low : low + int(population["neurons"])])
        axes.plot(step, neuron + low - first, ".", markersize=3, label=label)
    for sample in range(len(digits)):
        axes.axvline(sample * netlist.interval - 0.5, color="0.85", linewidth=0.8, zorder=0)
    axes.set(xlabel="step (a grey line: a digit enters)", ylabel="neuron")
    axes.set_title(f"{len(digits)} digits, one every {netlist.interval} steps; a spike is a point")
    axes.legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=90, bbox_inches="tight")


if __name__ == "__main__":
    sys.exit(main())
