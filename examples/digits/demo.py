"""Builds the digit network for SpiNNaker2 and classifies real digits with it: `make demo`."""

import os
import time
from pathlib import Path

import numpy as np

import snc
from snc.compiler.cli.schedule_report import print_summary
from snc.compiler.summary import summary

FOLDER = Path(__file__).resolve().parent
SHOWN = 20
GREYS = " .:-=+*#%@"


def main() -> int:
    started = time.perf_counter()
    calibration = np.load(FOLDER / "calibration.npz")
    network = snc.compile(FOLDER / "digits_cnn.onnx", target="spinn2", calibration={"image": calibration["image"]})
    built = time.perf_counter() - started
    artefact = FOLDER / "digits.snc"
    network.save(artefact)
    print_summary(artefact.name, summary(network), artefact.stat().st_size)
    print(f"\nbuilt in {built:.2f} s\n")

    digits = np.load(FOLDER / "digits.npz")
    labels = digits["labels"]
    images = digits["images"] / np.float32(255)
    network(images[:1])
    started = time.perf_counter()
    logits = network(images)
    seconds = time.perf_counter() - started
    predicted = logits.argmax(axis=1)

    print(f"the first of {len(images)} digits, then {SHOWN} of them:\n")
    print(picture(images[0, 0]))
    print("\n  true       ", *labels[:SHOWN])
    print("  predicted  ", *predicted[:SHOWN], "\n")

    right = int((predicted == labels).sum())
    (exact,) = network.interpret([images[:SHOWN]])
    same = np.array_equal(exact, logits[:SHOWN])
    print(f"{right} of {len(labels)} right ({right / len(labels):.1%}), {seconds / len(labels) * 1e3:.2f} ms a digit")
    print(f"bit for bit the reference interpreter's values on {SHOWN} digits: {'yes' if same else 'NO'}")
    print(f"\nlook inside: snc inspect {os.path.relpath(artefact)}")
    return 0 if same else 1


def picture(image: np.ndarray) -> str:
    """Every second row of a 28 x 28 image as text; a character is about twice as high as wide."""
    levels = (image[::2] * (len(GREYS) - 1)).round().astype(int)
    return "\n".join("  " + "".join(GREYS[level] for level in row).rstrip() for row in levels)


if __name__ == "__main__":
    raise SystemExit(main())
