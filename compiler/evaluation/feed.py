"""Batches of a data set in the shape and type that a network takes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from ..data.dataset import Array, Batch, DataSet, Field
from ..executable import Port

BATCH_BYTES = 1 << 25
MOST_SAMPLES = 1024
"""A batch has as many samples as stay within both, where nothing else is asked for."""
BYTES_TOP = 255
"""The greatest value of data in bytes."""
LIKE_BYTES = 32
"""From this greatest value on, whole numbers look like bytes."""
FAR_BEYOND = 16
"""How many times beyond a network's range data must lie to be in another unit."""


@frozen(eq=False)
class Fed:
    """Samples that follow each other from number `first` on: an array [N, ...] for each input, and labels."""

    first: int
    inputs: list[Array]
    labels: Array | None

    def __len__(self) -> int:
        return len(self.inputs[0])


@frozen(eq=False)
class Feed:
    """A data set as a network reads it.

    `ports` are the network's inputs, [1, ...] each; `binary` says which take 0 and 1 alone, in any type. `ranges` are
    the least and greatest number that an input can tell apart, None where it takes any. A batch has at most `most`
    samples.
    """

    data: DataSet
    ports: Sequence[Port]
    binary: Sequence[bool]
    ranges: Sequence[tuple[float, float] | None]
    names: Mapping[str, str]
    most: int

    @classmethod
    def of(
        cls,
        data: DataSet,
        ports: Sequence[Port],
        binary: Sequence[bool],
        ranges: Sequence[tuple[float, float] | None],
        most: int | None = None,
    ) -> Feed:
        """Raises UsageError for data that lacks inputs of the network, or has them in another shape."""
        names = _matched(data, ports)
        problems = [
            problem
            for port, zero_one in zip(ports, binary, strict=True)
            if (problem := _misfit(port, data.fields[names[port.name]], zero_one, data.source)) is not None
        ]
        if problems:
            raise UsageError(problems)
        return cls(data, ports, binary, ranges, names, MOST_SAMPLES if most is None else most)

    @property
    def batch(self) -> int:
        """Samples of a batch."""
        fields = [self.data.fields[name] for name in self.names.values()]
        each = sum(int(np.prod(field.shape)) * max(field.dtype.itemsize, 4) for field in fields)
        return max(1, min(self.most, BATCH_BYTES // max(1, each)))

    def __iter__(self) -> Iterator[Fed]:
        """All samples; raises UsageError for values that the network does not take."""
        first = 0
        for batch in self.data.batches(self.batch):
            fed = self.read(batch, first)
            yield fed
            first += len(fed)

    def read(self, batch: Batch, first: int) -> Fed:
        """One batch, whose first sample has number `first` of the data set."""
        arrays = []
        for port, zero_one, limits in zip(self.ports, self.binary, self.ranges, strict=True):
            array = batch.inputs[self.names[port.name]]
            _check_values(port, array, zero_one, limits, self.data.source)
            arrays.append(array.astype(port.dtype, copy=False))
        return Fed(first, arrays, batch.labels)


def _matched(data: DataSet, ports: Sequence[Port]) -> dict[str, str]:
    """The name of each input's array."""
    fields = data.fields
    if len(ports) == len(fields) == 1:
        return {ports[0].name: next(iter(fields))}
    missing = [port.name for port in ports if port.name not in fields]
    if missing:
        raise UsageError(
            Diagnostic(
                "SNC0840",
                "the data lacks inputs of the network",
                node=data.source,
                found=", ".join(name or "one array without a name" for name in fields),
                expected=", ".join(port.name for port in ports),
                help="store the samples of each input under its name: numpy.savez('data.npz', image=samples)",
            )
        )
    return {port.name: port.name for port in ports}


def _misfit(port: Port, field: Field, zero_one: bool, source: str) -> Diagnostic | None:
    shape, kind = port.shape[1:], field.dtype.kind
    exact = port.dtype.kind in "iub"
    if field.shape == shape and kind in "buif" and (zero_one or not exact or field.dtype == port.dtype):
        return None
    wanted = "0 and 1 of any type" if zero_one else f"{port.dtype}" if exact else "numbers"
    help = ""
    if field.shape != shape and int(np.prod(field.shape)) == int(np.prod(shape)):
        help = f"the elements are as many: --preprocess reshape={'x'.join(map(str, shape))}"
    return Diagnostic(
        "SNC0841",
        f"the data of input {port.name} has another shape or type",
        node=source,
        found=f"samples of shape {list(field.shape)}, {field.dtype}",
        expected=f"samples of shape {list(shape)}, {wanted}",
        help=help,
    )


def _check_values(port: Port, array: Array, zero_one: bool, limits: tuple[float, float] | None, source: str) -> None:
    """Raises UsageError for NaN, for what is not 0 or 1 where it must be, and for numbers in another unit."""
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        found = f"{int((~np.isfinite(array)).sum())} such values"
        raise UsageError(
            Diagnostic(
                "SNC0842",
                f"the data of input {port.name} holds NaN or infinite values",
                node=source,
                found=found,
                expected="finite numbers",
            )
        )
    low, high = float(array.min()), float(array.max())
    if zero_one and bool(((array != 0) & (array != 1)).any()):
        raise UsageError(_not_binary(port, array, low, high, source))
    if limits is not None and _in_another_unit(array, low, high, limits):
        raise UsageError(_other_range(port, low, high, f"{limits[0]:.4g} .. {limits[1]:.4g}", source))


def _in_another_unit(array: Array, low: float, high: float, limits: tuple[float, float]) -> bool:
    """Whether these are bytes, and the network takes numbers far smaller."""
    reach = max(abs(limits[0]), abs(limits[1]))
    bytes_only = low >= 0 and LIKE_BYTES <= high <= BYTES_TOP
    return bytes_only and high >= FAR_BEYOND * reach and bool((array == np.rint(array)).all())


def _other_range(port: Port, low: float, high: float, expected: str, source: str) -> Diagnostic:
    return Diagnostic(
        "SNC0843",
        f"the data of input {port.name} has another range than the network was built for",
        node=source,
        found=f"{low:.4g} .. {high:.4g}",
        expected=expected,
        help=f"divide by {BYTES_TOP}: --preprocess scale=1/{BYTES_TOP}",
    )


def _not_binary(port: Port, array: Array, low: float, high: float, source: str) -> Diagnostic:
    if high > 0 and bool(((array == 0) | (array == high)).all()):
        help = f"divide by {high:g}: --preprocess scale=1/{high:g}"
    elif _in_another_unit(array, low, high, (0.0, 1.0)):
        help = f"divide by {BYTES_TOP}, and threshold as for training: --preprocess 'scale=1/{BYTES_TOP} threshold=0.5'"
    else:
        help = "threshold the samples as for training: --preprocess threshold=LEVEL; or build with --input-threshold"
    return Diagnostic(
        "SNC0843",
        f"the data of input {port.name} has other values than the network takes",
        node=source,
        found=f"{low:.4g} .. {high:.4g}",
        expected="0 and 1 only",
        help=help,
    )
