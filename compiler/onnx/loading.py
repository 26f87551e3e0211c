"""Reading an ONNX file that nobody vouches for.

The file is bounded and walked before protobuf sees it, external data is read by `external_data` alone, and every
tensor is checked against its shape. What comes back is a complete model in memory that refers to no file.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import onnx
from google.protobuf.internal import api_implementation  # type: ignore[import-untyped]
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import GraphProto, ModelProto, TensorProto

from ...ir.diagnostics import Diagnostic, LimitExceeded, ModelError, SncError, UnsafeInput, UsageError
from . import limits
from .external_data import ExternalDataError, ExternalFiles
from .limits import printable
from .tensor_checks import (
    DepthError,
    TensorError,
    bad_values,
    check_tensor,
    expected_bytes,
    graph_tensors,
    graphs,
    inner_graphs,
    node_tensors,
)
from .wire import TooManyFieldsError, WireError, check_wire

OLDEST_OPSET = 7
"""From here on broadcasting is by shape alone; before, each node said by attribute how to."""
_ERROR_OF_EXIT_CODE: dict[int, type[SncError]] = {1: ModelError, 5: UnsafeInput, 6: LimitExceeded}
_MAX_SHOWN_TENSORS = 10
_LARGE_TENSOR = 1024
"""Bytes; initializers above are handed to onnx.checker without their data."""


def load_model(path: str | Path, *, max_bytes: int = limits.DEFAULT_MAX_BYTES) -> ModelProto:
    """The model of an ONNX file with all external data in memory; the files are only read.

    `max_bytes` bounds the file and its external data together. Raises UsageError when there is no such file,
    UnsafeInput when it is no whole ONNX file or refers to places that it must not, LimitExceeded when it is too large
    or too deep, and ModelError when it is a model that nobody could run: no nodes, opset below 7, missing external
    data, NaN among the weights, or refused by onnx.checker.
    """
    where = str(path)
    data = _read_file(where, max_bytes)
    size = len(data)
    model = _parse(data, where)
    del data
    _check_size(model, where)
    with ExternalFiles(os.path.dirname(os.path.abspath(where)), max_bytes - size) as files:
        _complete_tensors(model, files, where)
    _check_names(model, where)
    opset_of(model)
    _check_values(model, where)
    _check_structure(model, where, size)
    return model


def opset_of(model: ModelProto) -> int:
    """The opset of ONNX's own operators; raises ModelError when it is missing, ambiguous or below 7."""
    versions = {each.version for each in model.opset_import if each.domain in ("", "ai.onnx")}
    if len(versions) == 1 and min(versions) >= OLDEST_OPSET:
        return min(versions)
    raise ModelError(
        Diagnostic(
            "SNC0205",
            "the model's opset is not taken",
            found=", ".join(f"opset {version}" for version in sorted(versions)[:5]) or "no opset",
            expected=f"opset {OLDEST_OPSET} or later",
            help="export the model again, or raise it with onnx.version_converter",
        )
    )


def _read_file(where: str, max_bytes: int) -> bytes:
    limit = min(max_bytes, limits.MAX_FILE_BYTES)
    try:
        handle = os.open(where, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UsageError(Diagnostic("SNC0201", "cannot open the model", found=reason, node=where)) from None
    with os.fdopen(handle, "rb") as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise UnsafeInput(Diagnostic("SNC0201", "the model is not a regular file", node=where))
        data = file.read(limit + 1) if status.st_size <= limit else b""
    if not data and not status.st_size:
        raise UnsafeInput(Diagnostic("SNC0202", "the file is empty", expected="an ONNX model", node=where))
    if not 0 < len(data) <= limit:
        found = f"{max(status.st_size, len(data))} bytes"
        raise _too_much(where, "the model file is too large", found, f"at most {limit} bytes")
    return data


def _parse(data: bytes, where: str) -> ModelProto:
    if api_implementation.Type() == "python":
        help = (
            "install protobuf with its C backend (the default wheel), and unset PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
        )
        raise UsageError(Diagnostic("SNC0201", "protobuf runs in pure Python, which no limit protects", help=help))
    try:
        check_wire(data)
        return ModelProto.FromString(data)
    except TooManyFieldsError as error:
        raise _too_much(where, "the model is too large or too deep", str(error)) from None
    except (WireError, DecodeError) as error:
        found = printable(str(error))
        raise UnsafeInput(Diagnostic("SNC0202", "not an ONNX file, or truncated", found=found, node=where)) from None


def _check_size(model: ModelProto, where: str) -> None:
    """The model has nodes, and not too many nodes, tensors or graphs inside graphs."""
    if not model.graph.node:
        raise ModelError(Diagnostic("SNC0204", "the file holds no graph, or one without nodes", node=where))
    try:
        nodes = sum(len(graph.node) for graph in _all_graphs(model))
        tensors = sum(1 for _ in _all_tensors(model))
    except DepthError as error:
        raise _too_much(where, "the model is too deep", str(error)) from None
    for found, most, what in ((nodes, limits.MAX_NODES, "nodes"), (tensors, limits.MAX_TENSORS, "tensors")):
        if found > most:
            raise _too_much(where, f"the model has too many {what}", f"{found}", f"at most {most}")


def _complete_tensors(model: ModelProto, files: ExternalFiles, where: str) -> None:
    """Reads external data into the tensors and checks each of them; raises all problems of a kind at once."""
    problems: dict[int, list[Diagnostic]] = {5: [], 6: [], 1: []}
    for name, tensor in _all_tensors(model):
        try:
            if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
                _load_external(tensor, files)
            check_tensor(tensor)
        except ExternalDataError as error:
            problems[error.exit_code].append(attrs.evolve(error.diagnostic, node=name))
        except TensorError as error:
            problems[5].append(Diagnostic("SNC0207", "a tensor is malformed", found=str(error), node=name))
        except MemoryError:
            raise _too_much(where, "the model needs more memory than there is", name) from None
    for exit_code, diagnostics in problems.items():
        if diagnostics:
            raise _ERROR_OF_EXIT_CODE[exit_code](diagnostics)


def _load_external(tensor: Any, files: ExternalFiles) -> None:
    if tensor.data_location != TensorProto.EXTERNAL or tensor.HasField("raw_data"):
        raise TensorError("data in the model and in another file at once")
    tensor.raw_data = files.read(tensor, expected_bytes(tensor))
    del tensor.external_data[:]
    tensor.ClearField("data_location")


def _check_names(model: ModelProto, where: str) -> None:
    for graph in _all_graphs(model):
        twice = [name for name, count in Counter(each.name for each in graph.initializer).items() if count > 1]
        if twice:
            shown = ", ".join(printable(name) for name in twice[:_MAX_SHOWN_TENSORS])
            raise ModelError(Diagnostic("SNC0204", "initializers share a name", found=shown, node=where))


def _check_values(model: ModelProto, where: str) -> None:
    """No NaN and no infinite weight in what the nodes use."""
    bad = []
    for graph in _all_graphs(model):
        used = {name for inner in graphs(graph) for node in inner.node for name in node.input}
        used.update(each.name for each in graph.output)
        bad += [(printable(each.name), bad_values(each)) for each in graph.initializer if each.name in used]
        bad += [(name, bad_values(tensor)) for name, tensor in node_tensors(graph.node)]
    diagnostics = [
        Diagnostic("SNC0208", "weights that are no numbers", found=found, expected="finite values", node=name)
        for name, found in bad
        if found
    ]
    if len(diagnostics) > _MAX_SHOWN_TENSORS:
        more = len(diagnostics) - _MAX_SHOWN_TENSORS
        note = Diagnostic("SNC0208", f"{more} more tensors hold weights that are no numbers", node=where)
        diagnostics = [*diagnostics[:_MAX_SHOWN_TENSORS], note]
    if diagnostics:
        raise ModelError(diagnostics)


def _check_structure(model: ModelProto, where: str, size: int) -> None:
    """onnx.checker on the model without the data of its large initializers, which it would copy twice."""
    graph = model.graph
    light = [each for each in graph.initializer if len(each.raw_data) <= _LARGE_TENSOR]
    heavy = [each for each in graph.initializer if len(each.raw_data) > _LARGE_TENSOR]
    if size - sum(len(each.raw_data) for each in heavy) > limits.MAX_CHECKED_BYTES:
        return
    stubs = [TensorProto(name=each.name, data_type=each.data_type, dims=[0]) for each in heavy]
    skeleton = ModelProto(
        ir_version=model.ir_version,
        opset_import=model.opset_import,
        functions=model.functions,
        graph=GraphProto(
            name=graph.name,
            node=graph.node,
            input=graph.input,
            output=graph.output,
            value_info=graph.value_info,
            sparse_initializer=graph.sparse_initializer,
            initializer=[*light, *stubs],
        ),
    )
    try:
        onnx.checker.check_model(skeleton)
    except (onnx.checker.ValidationError, RuntimeError, ValueError, TypeError, KeyError, IndexError) as error:
        first = printable(next(iter(str(error).strip().splitlines()), ""))
        raise ModelError(Diagnostic("SNC0209", "onnx.checker refuses the model", found=first, node=where)) from None


def _all_graphs(model: ModelProto) -> Iterator[Any]:
    """Every graph of the file: the main one, those for training, those inside nodes and functions."""
    yield from graphs(model.graph)
    for training in model.training_info:
        yield from graphs(training.initialization)
        yield from graphs(training.algorithm)
    for function in model.functions:
        yield from inner_graphs(function.node)


def _all_tensors(model: ModelProto) -> Iterator[tuple[str, Any]]:
    for graph in _all_graphs(model):
        yield from graph_tensors(graph)
    for function in model.functions:
        yield from node_tensors(function.node)


def _too_much(where: str, message: str, found: str, expected: str = "") -> LimitExceeded:
    help = "raise the size limit if you trust the file" if expected else ""
    return LimitExceeded(Diagnostic("SNC0203", message, found=found, expected=expected, help=help, node=where))
