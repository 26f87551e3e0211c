"""Four photographs as ImageNet classifiers take them.

    python photographs.py FOLDER        writes FOLDER/photos.npz

A cat, a cup of espresso, a rocket and a motorcycle, from scikit-image. The centre square, 7/8 of the shorter side, is
resized to 224 x 224 and scaled from [0, 1] to [-1, 1], as EfficientNet-Lite0 was trained. The archive holds no pickle:

    images      float32 [4, 3, 224, 224]
    names       str [4]
    expected    int64 [4, 3]    ImageNet classes that a viewer would accept, -1 where there are fewer than three

Runs in the environment of requirements-photos.txt.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import skimage.data
import skimage.io
import skimage.transform

SIDE = 224
KEPT_SHARE = 0.875

PHOTOGRAPHS = {
    "cat": ("chelsea.png", (281, 282, 285)),  # tabby, tiger cat, Egyptian cat
    "espresso": ("coffee.png", (967, -1, -1)),
    "rocket": ("rocket.jpg", (657, 744, 812)),  # missile, projectile, space shuttle
    "motorcycle": ("motorcycle_left.png", (665, 670, -1)),  # moped, motor scooter
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    np.savez_compressed(
        arguments.folder / "photos.npz",
        images=np.stack([prepared(file) for file, _ in PHOTOGRAPHS.values()]),
        names=np.array(list(PHOTOGRAPHS)),
        expected=np.array([classes for _, classes in PHOTOGRAPHS.values()], np.int64),
    )
    return 0


def prepared(file: str) -> np.ndarray:
    """One photograph of scikit-image's package as float32 [3, 224, 224] in [-1, 1]."""
    picture = skimage.io.imread(Path(skimage.data.__file__).parent / file)[..., :3]
    height, width = picture.shape[:2]
    side = int(min(height, width) * KEPT_SHARE)
    top, left = (height - side) // 2, (width - side) // 2
    square = picture[top : top + side, left : left + side]
    unit = skimage.transform.resize(square, (SIDE, SIDE), anti_aliasing=True)
    return (2 * unit - 1).astype(np.float32).transpose(2, 0, 1)


if __name__ == "__main__":
    sys.exit(main())
