"""Reading a NIR file (HDF5) that nobody vouches for: every number is bounded before it is read."""

from __future__ import annotations

import importlib
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from ..ir.diagnostics import Diagnostic, LimitExceeded, ModelError, SncError, UnsafeInput, UsageError
from .onnx.limits import printable

Array = NDArray[Any]

MAX_FILE_BYTES = 1 << 30
MAX_ARRAY_BYTES = 1 << 30
"""Arrays of a file together, unpacked."""
MAX_NODES = 1000
MAX_FIELDS = 32
"""Entries of a node."""
MAX_TEXT = 200
MAX_AXES = 8
NEEDED = {
    "Affine": ("weight", "bias"),
    "AvgPool2d": ("kernel_size", "stride", "padding"),
    "Conv2d": ("weight", "bias", "stride", "padding", "dilation", "groups"),
    "Flatten": (),
    "Input": ("shape",),
    "Linear": ("weight",),
    "Output": ("shape",),
    "Scale": ("scale",),
    "SumPool2d": ("kernel_size", "stride", "padding"),
    "Threshold": ("threshold",),
}
"""The types of nodes that are read, with the fields that each must have."""


@frozen(eq=False)
class NirNode:
    """A node: its name, type, and fields; numbers are arrays."""

    name: str
    kind: str
    fields: dict[str, Array | str]

    def array(self, field: str) -> Array:
        """A field of finite numbers; raises ModelError for a text or NaN."""
        found = self.fields[field]
        if isinstance(found, str) or not np.isfinite(found).all():
            raise self.error("a field holds no finite numbers", found=f"{field} = {found!s:.60}")
        return found

    def error(self, message: str, *, found: str, expected: str = "", help: str = "") -> ModelError:
        """What is wrong with the node."""
        return ModelError(Diagnostic("SNC0321", message, found=found, expected=expected, help=help, node=self.name))


def read_chain(path: str | Path) -> list[NirNode]:
    """The nodes of a NIR file whose graph is one chain, from Input to Output.

    Raises UsageError when there is no such file or h5py is missing, UnsafeInput when it is no whole HDF5 file or is not
    laid out as NIR says, LimitExceeded when it is too large, ModelError for other graphs and nodes.
    """
    where = str(path)
    h5py = _package()
    _check_file(where)
    try:
        with h5py.File(where, "r") as file:
            reader = _Reader(h5py, where)
            graph = reader.group(file, "node")
            if reader.text(graph, "type") != "NIRGraph":
                raise reader.corrupt("the outermost node is no NIRGraph")
            nodes = reader.nodes(reader.group(graph, "nodes"))
            edges = reader.edges(graph)
    except SncError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeError) as error:
        # What h5py raises for files that are cut off or damaged.
        found = printable(str(error) or type(error).__name__)
        raise UnsafeInput(Diagnostic("SNC0322", "the file is no whole HDF5 file", found=found, node=where)) from None
    return _chain(nodes, edges, where)


def _package() -> Any:
    try:
        return importlib.import_module("h5py")
    except ImportError:
        message = "NIR files are read by the package h5py, which is not installed"
        raise UsageError(Diagnostic("SNC0320", message, help="pip install 'snc[nir]'")) from None


def _check_file(where: str) -> None:
    try:
        found = os.stat(where)
    except OSError as error:
        raise UsageError(
            Diagnostic("SNC0323", "the file cannot be read", found=str(error.strerror), node=where)
        ) from None
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(Diagnostic("SNC0323", "the file cannot be read", found="no regular file", node=where))
    if found.st_size > MAX_FILE_BYTES:
        raise _too_large(where, f"{found.st_size} bytes", f"at most {MAX_FILE_BYTES}")


def _too_large(where: str, found: str, expected: str) -> LimitExceeded:
    return LimitExceeded(Diagnostic("SNC0324", "the NIR file is too large", found=found, expected=expected, node=where))


class _Reader:
    """Takes groups and arrays out of a file as long as they stay within its limits."""

    def __init__(self, h5py: Any, where: str) -> None:
        self._h5py = h5py
        self._where = where
        self._left = MAX_ARRAY_BYTES

    def corrupt(self, message: str, found: str = "") -> UnsafeInput:
        return UnsafeInput(Diagnostic("SNC0322", message, found=printable(found), node=self._where))

    def group(self, parent: Any, name: str) -> Any:
        found = self._member(parent, name)
        if not isinstance(found, self._h5py.Group):
            raise self.corrupt("a group is missing", name)
        return found

    def _member(self, parent: Any, name: str) -> Any:
        """What lies under a name in this very file: no link to anywhere else."""
        if not isinstance(parent.get(name, getlink=True), self._h5py.HardLink):
            raise self.corrupt("an entry is missing or a link", name)
        return parent[name]

    def _dataset(self, parent: Any, name: str) -> Any:
        found = self._member(parent, name)
        if not isinstance(found, self._h5py.Dataset) or found.is_virtual or found.external:
            raise self.corrupt("an entry is no array of this file", name)
        if found.shape is None or len(found.shape) > MAX_AXES:
            raise self.corrupt("an array has no shape, or too many axes", name)
        return found

    def text(self, parent: Any, name: str) -> str:
        found = self._dataset(parent, name)
        if found.shape != () or found.dtype.kind not in "OS":
            raise self.corrupt("an entry is no text", name)
        return self._as_text(found[()], name)

    def _as_text(self, value: object, name: str) -> str:
        if not isinstance(value, bytes) or len(value) > MAX_TEXT:
            raise self.corrupt("an entry is no short text", name)
        return printable(value.decode("utf-8"))

    def array(self, parent: Any, name: str) -> Array | str:
        """Numbers, or a text where there is one. Sizes are checked before anything is unpacked."""
        found = self._dataset(parent, name)
        if found.dtype.kind in "OS":
            return self.text(parent, name)
        if found.dtype.kind not in "biuf" or found.dtype.itemsize > 8:
            raise self.corrupt("an array holds no plain numbers", f"{name}: {found.dtype}")
        size = found.dtype.itemsize
        for length in found.shape:
            size *= int(length)
        self._left -= size
        if self._left < 0:
            raise _too_large(
                self._where, f"{name}: {size} bytes", f"arrays of at most {MAX_ARRAY_BYTES} bytes together"
            )
        return np.asarray(found[()])

    def nodes(self, parent: Any) -> dict[str, NirNode]:
        if len(parent) > MAX_NODES:
            raise _too_large(self._where, f"{len(parent)} nodes", f"at most {MAX_NODES}")
        nodes: dict[str, NirNode] = {}
        problems: list[Diagnostic] = []
        for name in parent:
            node = self.group(parent, name)
            kind, shown = self.text(node, "type"), printable(name)
            if kind not in NEEDED:
                problems.append(_unknown(shown, kind))
                continue
            if len(node) > MAX_FIELDS or any(each not in node for each in NEEDED[kind]):
                raise self.corrupt(f"a {kind} node lacks fields, or has too many", shown)
            nodes[name] = NirNode(shown, kind, {each: self.array(node, each) for each in NEEDED[kind]})
        if problems:
            raise ModelError(problems)
        return nodes

    def edges(self, graph: Any) -> list[tuple[str, str]]:
        found = self._dataset(graph, "edges")
        if len(found.shape) != 2 or found.shape[1] != 2 or found.dtype.kind not in "OS":
            raise self.corrupt("edges are no pairs of names")
        if found.shape[0] > 2 * MAX_NODES or found.dtype.itemsize > MAX_TEXT:
            raise _too_large(self._where, f"{found.shape[0]} edges", f"at most {2 * MAX_NODES}, of short names")
        return [(self._as_text(one, "edges"), self._as_text(other, "edges")) for one, other in found[()]]


def _unknown(name: str, kind: str) -> Diagnostic:
    return Diagnostic(
        "SNC0325",
        f"a node of type {kind} has no exact form for SpiNNaker1",
        expected=f"one of {', '.join(NEEDED)}",
        help="neurons that keep something from step to step are not taken: train with Threshold",
        node=name,
    )


def _chain(nodes: dict[str, NirNode], edges: Iterable[tuple[str, str]], where: str) -> list[NirNode]:
    """The nodes in the order of the chain that they form; raises ModelError for any other graph."""
    after: dict[str, str] = {}
    before: dict[str, str] = {}
    branches = []
    for one, other in edges:
        if one not in nodes or other not in nodes:
            raise UnsafeInput(Diagnostic("SNC0322", "an edge joins no nodes", found=f"{one} -> {other}", node=where))
        if one in after or other in before:
            branches.append(f"{one} -> {other}")
        after[one], before[other] = other, one
    starts = [name for name, node in nodes.items() if node.kind == "Input"]
    chain: list[str] = starts[:1]
    while chain and chain[-1] in after and len(chain) <= len(nodes):
        chain.append(after[chain[-1]])
    whole = len(chain) == len(nodes) and nodes[chain[-1]].kind == "Output" if chain else False
    if branches or len(starts) != 1 or not whole:
        raise ModelError(
            Diagnostic(
                "SNC0326",
                "the graph is no chain from one Input to one Output",
                found=f"{len(nodes)} nodes, {len(chain)} in a row" + (f"; branch at {branches[0]}" if branches else ""),
                node=where,
            )
        )
    return [nodes[name] for name in chain]
