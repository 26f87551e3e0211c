"""Writes the static int8 twin of a float model, in QDQ form.

    python quantize_qdq.py MODEL.onnx [PHOTOS.npz] FOLDER        writes FOLDER/MODEL_qdq.onnx

Made by onnxruntime: weights int8, symmetric, a scale per output channel; activations uint8, a scale and zero point per
tensor; biases int32. The ranges come from seeded standard normal noise. A trained network answers a photograph more
firmly than noise, and its largest logits would saturate and tie: it takes photographs too, mirrored, so that those of
the archive remain unseen.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

SEED = 0
NOISE_IMAGES = 4


class Calibration(CalibrationDataReader):
    """The calibration images: one dictionary of input name to array after the other, then None."""

    def __init__(self, model: Path, photographs: Path | None) -> None:
        (data,) = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).get_inputs()
        rng = np.random.default_rng(SEED)
        images = [rng.standard_normal(data.shape, dtype=np.float32) for _ in range(NOISE_IMAGES)]
        if photographs:
            with np.load(photographs, allow_pickle=False) as archive:
                images += list(archive["images"][:, None, :, :, ::-1])
        self.feeds: Iterator[dict[str, np.ndarray]] = iter([{data.name: image} for image in images])

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("photographs", type=Path, nargs="?")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    quantize_static(
        arguments.model,
        arguments.folder / f"{arguments.model.stem}_qdq.onnx",
        Calibration(arguments.model, arguments.photographs),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
