"""Real networks for the long tests, built on demand and kept in a folder.

    python tests/models/zoo.py --all            builds everything (about 5 GB with the environments)
    python tests/models/zoo.py light_resnet50   builds what is named and prints its path

The folder is the environment variable SNC_MODELS, or `./models`. A fresh machine needs this package's own test
environment and a package index: the scripts beside this file do the work, those that need torch or scikit-image in
environments made in the folder from the requirements files beside them. Every random choice is seeded.

    light_*                 nine ImageNet graphs of the onnx package with random weights (opset 9)
    *_dynamo, *_legacy      torch networks through its two exporters; EfficientNet-Lite0 is trained
    *_qdq                   the static int8 twin of another, quantised by onnxruntime
    qonnx_mnist             a trained MNIST network of 26 kB with a recorded input and output
"""

import argparse
import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs
import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

HERE = Path(__file__).resolve().parent

LIGHT_NETS = (
    "bvlc_alexnet",
    "densenet121",
    "inception_v1",
    "inception_v2",
    "resnet50",
    "shufflenet",
    "squeezenet",
    "vgg19",
    "zfnet512",
)
TORCH_NETS = ("resnet50", "mobilenet_v2", "efficientnet_lite0", "vgg16")
QUANTISED_FROM = {
    "resnet50_dynamo_qdq": ("resnet50_dynamo",),
    "efficientnet_lite0_dynamo_qdq": ("efficientnet_lite0_dynamo", "photos"),
}


@attrs.frozen
class Recipe:
    """How some files are made: a script beside this file, run as `script *arguments FOLDER`."""

    files: tuple[str, ...]
    script: str
    arguments: tuple[str, ...] = ()
    environment: str | None = None
    """Runs in the environment of `requirements-<environment>.txt`; None means this interpreter."""
    sources: tuple[str, ...] = ()
    """The recipes whose files the script reads: their paths are its first arguments."""


@attrs.frozen(eq=False)
class Photographs:
    """Pictures for ImageNet classifiers, scaled to [-1, 1].

    `images` is float32 [n, 3, 224, 224]; `expected` is int64 [n, 3], the classes that a viewer would accept, padded
    with -1.
    """

    images: npt.NDArray[np.float32]
    names: tuple[str, ...]
    expected: npt.NDArray[np.int64]


class ZooError(RuntimeError):
    """A model could not be built; the message ends with what the script said."""


def _recipes() -> dict[str, Recipe]:
    recipes = {f"light_{net}": Recipe((f"light_{net}.onnx",), "light_nets.py", (net,)) for net in LIGHT_NETS}
    recipes["qonnx_mnist"] = Recipe(
        ("qonnx_mnist.onnx", "qonnx_mnist_input.pb", "qonnx_mnist_output.pb"), "qonnx_mnist.py"
    )
    for net in TORCH_NETS:
        for exporter in ("dynamo", "legacy"):
            name = f"{net}_{exporter}"
            recipes[name] = Recipe((f"{name}.onnx",), "export_torch.py", (net, exporter), environment="torch")
    for name, sources in QUANTISED_FROM.items():
        recipes[name] = Recipe((f"{name}.onnx",), "quantize_qdq.py", sources=sources)
    return recipes


NETWORKS = _recipes()
CATALOGUE = {**NETWORKS, "photos": Recipe(("photos.npz",), "photographs.py", environment="photos")}


def names() -> tuple[str, ...]:
    """Every network, in building order: the quick ones first."""
    return tuple(NETWORKS)


def model(name: str) -> Path:
    """The ONNX file of the network, built first if it is not there.

    Raises KeyError for an unknown name and ZooError if the building fails.
    """
    return _made(name, NETWORKS[name])[0]


def mnist_sample() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """The recorded input [1, 1, 28, 28], in 0 to 255, and output [1, 10] of `qonnx_mnist`."""
    _, *records = _made("qonnx_mnist", CATALOGUE["qonnx_mnist"])
    digit, logits = (numpy_helper.to_array(onnx.load_tensor(record)) for record in records)
    return digit, logits


def photographs() -> Photographs:
    """Four photographs with their expected classes."""
    (path,) = _made("photos", CATALOGUE["photos"])
    with np.load(path, allow_pickle=False) as archive:
        return Photographs(archive["images"], tuple(archive["names"].tolist()), archive["expected"])


def folder() -> Path:
    """Where the models are kept: SNC_MODELS, or `./models`."""
    return Path(os.environ.get("SNC_MODELS", "models")).resolve()


def _made(name: str, recipe: Recipe) -> list[Path]:
    paths = [folder() / file for file in recipe.files]
    if all(path.exists() for path in paths):
        return paths
    sources = tuple(str(path) for source in recipe.sources for path in _made(source, CATALOGUE[source]))
    folder().mkdir(parents=True, exist_ok=True)
    with _locked():
        if not all(path.exists() for path in paths):
            _build(name, recipe, sources)
    return paths


def _build(name: str, recipe: Recipe, sources: tuple[str, ...]) -> None:
    """Runs the script into a folder of its own, so that a broken run leaves no half-written model."""
    python = _environment(recipe.environment) if recipe.environment else Path(sys.executable)
    _say(f"{name}: building with {recipe.script}")
    start = time.monotonic()
    with tempfile.TemporaryDirectory(dir=folder(), prefix=".building-") as staging:
        _run([str(python), str(HERE / recipe.script), *sources, *recipe.arguments, staging])
        for file in recipe.files:
            (Path(staging) / file).replace(folder() / file)
    megabytes = sum((folder() / file).stat().st_size for file in recipe.files) / 1e6
    _say(f"{name}: {megabytes:.2f} MB in {time.monotonic() - start:.1f} s")


def _environment(name: str) -> Path:
    """The interpreter of `.venv-<name>` in the folder, made anew when its requirements have changed."""
    requirements = HERE / f"requirements-{name}.txt"
    home = folder() / f".venv-{name}"
    python, installed = home / "bin" / "python", home / requirements.name
    if not installed.exists() or installed.read_bytes() != requirements.read_bytes():
        _say(f"{home.name}: installing {requirements.name}")
        shutil.rmtree(home, ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(home)])
        _run([str(python), "-m", "pip", "install", "--disable-pip-version-check", "-r", str(requirements)])
        shutil.copyfile(requirements, installed)
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode != 0:
        raise ZooError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout[-4000:]}")


@contextmanager
def _locked() -> Iterator[None]:
    """One builder at a time, also across processes."""
    with (folder() / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _say(message: str) -> None:
    print(f"zoo: {message}", file=sys.stderr, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of {', '.join(CATALOGUE)}")
    parser.add_argument("--all", action="store_true", help="every network and the photographs")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in CATALOGUE]
    if unknown or not (arguments.names or arguments.all):
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "name a network, or --all")
    try:
        for name in CATALOGUE if arguments.all else arguments.names:
            for path in _made(name, CATALOGUE[name]):
                print(path)
    except ZooError as error:
        print(f"zoo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
