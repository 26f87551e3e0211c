"""Types of the model's inputs: free dimensions are pinned by the user, a lone free batch to 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from attrs import frozen

from ...ir.diagnostics import Diagnostic, UsageError
from ...ir.types import ElementType, TensorType
from .problems import BATCH_OF_ONE, ELEMENT_TYPE, FREE_SHAPE, WRONG_SHAPE
from .tensors import data_type_name, element_of_onnx

MAX_ELEMENTS = 1 << 31
"""No input has more elements."""

Dimension = int | str
"""A size, or the name of a free one (empty when it has none)."""


@frozen
class DeclaredInput:
    """An input as the model declares it; `dimensions` is None when it has no shape."""

    name: str
    element: ElementType
    dimensions: tuple[Dimension, ...] | None


@frozen
class PinnedInputs:
    """Types of all inputs in order, or the problems; warnings may stand beside types."""

    types: tuple[tuple[str, TensorType], ...]
    diagnostics: tuple[Diagnostic, ...]


def pin_inputs(values: Sequence[onnx.ValueInfoProto], shapes: Mapping[str, Sequence[int]]) -> PinnedInputs:
    """The types of `values`, with free dimensions taken from `shapes`.

    Raises UsageError when `shapes` names no input or contradicts the model.
    """
    declared, problems = _declared(values)
    bound = _bind(declared, shapes)
    types: list[tuple[str, TensorType]] = []
    open_inputs: list[DeclaredInput] = []
    warnings: list[Diagnostic] = []
    for entry in declared:
        dimensions = tuple(shapes[entry.name]) if entry.name in shapes else entry.dimensions
        if dimensions is None:
            open_inputs.append(entry)
            continue
        sizes = [bound.get(size, size) if isinstance(size, str) and size else size for size in dimensions]
        free = [axis for axis, size in enumerate(sizes) if isinstance(size, str)]
        if free == [0]:
            sizes[0] = 1
            warnings.append(_batch_of_one(entry))
        elif free:
            open_inputs.append(entry)
            continue
        kind = TensorType(tuple(int(size) for size in sizes), entry.element)
        if kind.size > MAX_ELEMENTS:
            problems.append(
                Diagnostic(
                    WRONG_SHAPE,
                    "the input is too large",
                    found=f"{kind.size} elements",
                    expected=f"at most {MAX_ELEMENTS}",
                    node=entry.name,
                )
            )
            continue
        types.append((entry.name, kind))
    problems += [_free(entry) for entry in open_inputs]
    return PinnedInputs(tuple(types), (*problems, *warnings))


def _declared(values: Sequence[onnx.ValueInfoProto]) -> tuple[list[DeclaredInput], list[Diagnostic]]:
    declared, problems = [], []
    for value in values:
        kind = value.type.WhichOneof("value")
        element = element_of_onnx(value.type.tensor_type.elem_type) if kind == "tensor_type" else None
        if element is None:
            name = data_type_name(value.type.tensor_type.elem_type) if kind == "tensor_type" else str(kind or "no type")
            problems.append(
                Diagnostic(
                    ELEMENT_TYPE,
                    "the type of this input is not taken",
                    found=name,
                    expected="a tensor of integers or of f16 to f64",
                    node=value.name,
                )
            )
            continue
        tensor = value.type.tensor_type
        dimensions = tuple(map(_dimension, tensor.shape.dim)) if tensor.HasField("shape") else None
        declared.append(DeclaredInput(value.name, element, dimensions))
    return declared, problems


def _dimension(dimension: onnx.TensorShapeProto.Dimension) -> Dimension:
    if dimension.WhichOneof("value") == "dim_value" and dimension.dim_value >= 0:
        return int(dimension.dim_value)
    return str(dimension.dim_param)


def _bind(declared: Sequence[DeclaredInput], shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """Sizes of named free dimensions, from the inputs whose shape the user gives."""
    problems, bound = [], dict[str, int]()
    known = {entry.name: entry for entry in declared}
    for name, sizes in shapes.items():
        entry = known.get(name)
        if entry is None:
            names = ", ".join(known) or "none"
            problems.append(Diagnostic(WRONG_SHAPE, f"the model has no input {name}", expected=f"one of {names}"))
            continue
        wanted = entry.dimensions
        fits = all(size >= 1 for size in sizes) and (wanted is None or len(wanted) == len(sizes))
        for size, dimension in zip(sizes, wanted or (), strict=False):
            if isinstance(dimension, int):
                fits = fits and dimension == size
            elif dimension:
                fits = fits and bound.setdefault(dimension, size) == size
        if not fits:
            problems.append(
                Diagnostic(
                    WRONG_SHAPE,
                    f"the shape given for {name} contradicts the model",
                    found=_text(tuple(sizes)),
                    expected=_text(wanted) if wanted is not None else "positive sizes",
                    node=name,
                )
            )
    if problems:
        raise UsageError(problems)
    return bound


def _text(dimensions: Sequence[Dimension]) -> str:
    return "[" + ", ".join(str(size) or "?" for size in dimensions) + "]"


def _free(entry: DeclaredInput) -> Diagnostic:
    if entry.dimensions is None:
        flag = f"--shape {entry.name}=1,... (its rank is not known)"
        found = "no shape"
    else:
        sizes = [
            str(size) if isinstance(size, int) else "1" if axis == 0 else (size or f"size{axis}").upper()
            for axis, size in enumerate(entry.dimensions)
        ]
        flag = f"--shape {entry.name}={','.join(sizes)}" + (", with numbers for the names" if sizes else "")
        found = _text(entry.dimensions)
    return Diagnostic(
        FREE_SHAPE,
        "the shape of this input is not fixed",
        found=found,
        expected="a size for every dimension",
        help=f"add {flag}",
        node=entry.name,
    )


def _batch_of_one(entry: DeclaredInput) -> Diagnostic:
    assert entry.dimensions is not None
    sizes = ",".join(str(size) if axis else "N" for axis, size in enumerate(entry.dimensions))
    return Diagnostic(
        BATCH_OF_ONE,
        "the batch is free and taken as 1; any number of samples runs one after the other",
        found=_text(entry.dimensions),
        help=f"add --shape {entry.name}={sizes} for a batch of N",
        node=entry.name,
        severity="note",
    )
