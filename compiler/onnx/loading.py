"""Reading an ONNX file that nobody vouches for.

The file is bounded and walked before protobuf sees it, external data is read by `external_data` alone, and every
tensor is checked against its shape. What comes back is a complete model in memory that refers to no file.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Iterable, Iterator
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
    CheckedTensor,
    DepthError,
    HeldTensor,
    TensorError,
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
    all_graphs = _find_graphs(model, where)
    _check_names(all_graphs, where)
    opset_of(model)
    with ExternalFiles(os.path.dirname(os.path.abspath(where)), max_bytes - size) as files:
        checked = _complete_tensors(_tensors(model, all_graphs), files, where)
    _check_values(checked, where)
    _check_structure(model, checked, where, size)
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
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise UnsafeInput(Diagnostic("SNC0201", "the model is not a regular file", node=where))
    with os.fdopen(handle, "rb") as file:
        data = file.read(status.st_size + 1) if status.st_size <= limit else b""
    if not data and not status.st_size:
        raise UnsafeInput(Diagnostic("SNC0202", "the file is empty", expected="an ONNX model", node=where))
    if not 0 < len(data) <= limit:
        found = f"{max(status.st_size, len(data))} bytes"
        help = "raise the size limit if you trust the file" if limit < limits.MAX_FILE_BYTES else ""
        raise _too_much(where, "the model file is too large", found, f"at most {limit} bytes", help)
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


def _find_graphs(model: ModelProto, where: str) -> list[Any]:
    """Every graph of the file: the main one first, those for training, those inside nodes and functions.

    Raises ModelError when the main graph has no nodes, LimitExceeded for too many nodes, tensors or inner graphs.
    """
    if not model.graph.node:
        raise ModelError(Diagnostic("SNC0204", "the file holds no graph, or one without nodes", node=where))
    try:
        found = list(graphs(model.graph))
        for training in model.training_info:
            found += [*graphs(training.initialization), *graphs(training.algorithm)]
        for function in model.functions:
            found += inner_graphs(function.node)
    except DepthError as error:
        raise _too_much(where, "the model is too deep", str(error)) from None
    nodes = sum(len(graph.node) for graph in found) + sum(len(function.node) for function in model.functions)
    if nodes > limits.MAX_NODES:
        raise _too_much(where, "the model has too many nodes", f"{nodes}", f"at most {limits.MAX_NODES}")
    tensors = sum(1 for _ in _tensors(model, found))
    if tensors > limits.MAX_TENSORS:
        raise _too_much(where, "the model has too many tensors", f"{tensors}", f"at most {limits.MAX_TENSORS}")
    return found


def _complete_tensors(tensors: Iterable[HeldTensor], files: ExternalFiles, where: str) -> list[CheckedTensor]:
    """Reads external data into the tensors and checks each of them; raises all problems of a kind at once."""
    problems: dict[int, list[Diagnostic]] = {5: [], 6: [], 1: []}
    checked = []
    for held in tensors:
        try:
            if held.tensor.data_location == TensorProto.EXTERNAL or held.tensor.external_data:
                _load_external(held.tensor, files)
            checked.append(check_tensor(held))
        except ExternalDataError as error:
            problems[error.exit_code].append(attrs.evolve(error.diagnostic, node=held.name))
        except TensorError as error:
            problems[5].append(Diagnostic("SNC0207", "a tensor is malformed", found=str(error), node=held.name))
        except MemoryError:
            raise _too_much(where, "the model needs more memory than there is", held.name) from None
    for exit_code, diagnostics in problems.items():
        if diagnostics:
            raise _ERROR_OF_EXIT_CODE[exit_code](diagnostics)
    return checked


def _load_external(tensor: Any, files: ExternalFiles) -> None:
    if tensor.data_location != TensorProto.EXTERNAL or tensor.HasField("raw_data"):
        raise TensorError("data in the model and in another file at once")
    tensor.raw_data = files.read(tensor, expected_bytes(tensor))
    del tensor.external_data[:]
    tensor.ClearField("data_location")


def _check_names(all_graphs: Iterable[Any], where: str) -> None:
    for graph in all_graphs:
        twice = [name for name, count in Counter(each.name for each in graph.initializer).items() if count > 1]
        if twice:
            shown = ", ".join(printable(name) for name in twice[:_MAX_SHOWN_TENSORS])
            raise ModelError(Diagnostic("SNC0204", "initializers share a name", found=shown, node=where))


def _check_values(checked: list[CheckedTensor], where: str) -> None:
    """No NaN and no infinite weight in what the nodes use."""
    diagnostics = [
        Diagnostic("SNC0208", "weights that are no numbers", found=each.bad, expected="finite values", node=each.name)
        for each in checked
        if each.bad and each.used
    ]
    if len(diagnostics) > _MAX_SHOWN_TENSORS:
        more = len(diagnostics) - _MAX_SHOWN_TENSORS
        note = Diagnostic("SNC0208", f"{more} more tensors hold weights that are no numbers", node=where)
        diagnostics = [*diagnostics[:_MAX_SHOWN_TENSORS], note]
    if diagnostics:
        raise ModelError(diagnostics)


def _check_structure(model: ModelProto, checked: list[CheckedTensor], where: str, size: int) -> None:
    """onnx.checker on the model without the data of its large initializers, which it would copy twice."""
    graph = model.graph
    # The initializers of the main graph come first among all tensors.
    sized = list(zip(graph.initializer, (each.raw_bytes for each in checked), strict=False))
    light = [tensor for tensor, raw_bytes in sized if raw_bytes <= _LARGE_TENSOR]
    if size - sum(raw_bytes for _, raw_bytes in sized if raw_bytes > _LARGE_TENSOR) > limits.MAX_CHECKED_BYTES:
        return
    stubs = [
        TensorProto(name=tensor.name, data_type=tensor.data_type, dims=[0])
        for tensor, raw_bytes in sized
        if raw_bytes > _LARGE_TENSOR
    ]
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


def _tensors(model: ModelProto, all_graphs: Iterable[Any]) -> Iterator[HeldTensor]:
    """Every tensor of the file, the initializers of the main graph first."""
    for graph in all_graphs:
        yield from graph_tensors(graph)
    for function in model.functions:
        yield from node_tensors(function.node)


def _too_much(where: str, message: str, found: str, expected: str = "", help: str = "") -> LimitExceeded:
    return LimitExceeded(Diagnostic("SNC0203", message, found=found, expected=expected, help=help, node=where))
