"""Files of samples, as other programs write them."""

from __future__ import annotations

import gzip
import io
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from snc.compiler.data.dataset import DataSet

IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx(array: np.ndarray) -> bytes:
    """An IDX file."""
    kind = array.dtype.str[1:]
    header = bytes([0, 0, IDX_CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(f">{kind}").tobytes()


def npy(array: np.ndarray) -> bytes:
    """A .npy file."""
    packed = io.BytesIO()
    np.save(packed, array)
    return packed.getvalue()


def npz(arrays: Mapping[str, np.ndarray], *, compressed: bool = False) -> bytes:
    """A .npz file."""
    packed = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(packed, **arrays)
    return packed.getvalue()


def written(path: Path, content: bytes) -> Path:
    """The path, with a file there."""
    path.write_bytes(content)
    return path


def zipped(content: bytes) -> bytes:
    """The content in gzip."""
    return gzip.compress(content, 1, mtime=0)


def whole(data: DataSet, size: int) -> tuple[dict[str, np.ndarray], np.ndarray | None]:
    """All samples and labels, from batches of a size."""
    batches = list(data.batches(size))
    inputs = {name: np.concatenate([batch.inputs[name] for batch in batches]) for name in data.fields}
    labels = [batch.labels for batch in batches if batch.labels is not None]
    return inputs, np.concatenate(labels) if labels else None


@st.composite
def samples(draw: st.DrawFn, *, kinds: tuple[str, ...] = tuple(IDX_CODES)) -> np.ndarray:
    """Finite numbers [N, ...] of a type that IDX knows."""
    kind = np.dtype(draw(st.sampled_from(kinds)))
    shape = (draw(st.integers(1, 12)), *draw(st.lists(st.integers(1, 4), max_size=3)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.integers(-100 if kind.kind != "u" else 0, 100, shape).astype(kind)
