"""ONNX tensors and element types in terms of numpy and of the IR."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from ...ir.types import BY_NAME, I1, ElementType

_ELEMENTS: dict[int, str] = {
    TensorProto.BOOL: "i1",
    TensorProto.INT8: "i8",
    TensorProto.INT16: "i16",
    TensorProto.INT32: "i32",
    TensorProto.INT64: "i64",
    TensorProto.UINT8: "ui8",
    TensorProto.UINT16: "ui16",
    TensorProto.UINT32: "ui32",
    TensorProto.UINT64: "ui64",
    TensorProto.FLOAT16: "f16",
    TensorProto.FLOAT: "f32",
    TensorProto.DOUBLE: "f64",
}


_TYPE_WORDS = {"i1": "bool", "f16": "float16", "f32": "float", "f64": "double"}


def onnx_type(element: ElementType) -> str:
    """How ONNX's operator definitions call a tensor of builtin elements: `tensor(float)`, `tensor(uint8)`."""
    text = str(element)
    return f"tensor({_TYPE_WORDS.get(text) or text.replace('i', 'int')})"


def data_type_name(data_type: int) -> str:
    """The ONNX name of a tensor data type: FLOAT, INT8."""
    names = {number: name for name, number in TensorProto.DataType.items()}
    return names.get(data_type, f"number {data_type}")


def element_of_onnx(data_type: int) -> ElementType | None:
    """The element type for an ONNX data type; None for one that snc does not take."""
    name = _ELEMENTS.get(data_type)
    return None if name is None else BY_NAME[name]


def to_array(tensor: onnx.TensorProto) -> NDArray[Any]:
    """The array that a tensor holds; raises ValueError when its data do not fit its shape and type.

    Only data inside the message are read, so nothing is allocated that was not in the file.
    """
    element = element_of_onnx(tensor.data_type)
    if element is None:
        raise ValueError(f"elements of {data_type_name(tensor.data_type)} are not taken")
    if tensor.data_location == TensorProto.EXTERNAL:
        raise ValueError("its data lie in another file that was not loaded")
    shape = tuple(tensor.dims)
    if any(size < 0 for size in shape):
        raise ValueError(f"its shape {list(shape)} has a negative size")
    count = math.prod(shape)
    if tensor.HasField("raw_data"):
        raw = tensor.raw_data
        if len(raw) != count * element.dtype.itemsize:
            raise ValueError(
                f"it holds {len(raw)} bytes for shape {list(shape)} of {element}, "
                f"expected {count * element.dtype.itemsize}"
            )
        # Any byte but 0 is true; numpy's own bool must be 0 or 1.
        flat = np.frombuffer(raw, np.uint8) != 0 if element == I1 else np.frombuffer(raw, element.dtype)
        return flat.reshape(shape)
    if _stored_elements(tensor) != count:
        raise ValueError(f"it holds {_stored_elements(tensor)} elements for shape {list(shape)}, expected {count}")
    return np.asarray(numpy_helper.to_array(tensor), dtype=element.dtype)


def _stored_elements(tensor: onnx.TensorProto) -> int:
    match tensor.data_type:
        case TensorProto.FLOAT:
            return len(tensor.float_data)
        case TensorProto.DOUBLE:
            return len(tensor.double_data)
        case TensorProto.INT64:
            return len(tensor.int64_data)
        case TensorProto.UINT32 | TensorProto.UINT64:
            return len(tensor.uint64_data)
        case _:
            return len(tensor.int32_data)
