"""Reductions along axes."""

from __future__ import annotations

from ...ir.core import Value
from ...ir.dialects.nn import ArgReduceOp, LogOp, ReduceOp
from ...ir.shapes import normal_axes, normal_axis
from .elementwise import Importer
from .node import Node
from .problems import unsupported

_UNCHANGED_WITHOUT_AXES = ("sum", "mean", "prod", "max", "min")


def reduction(kind: str, axes_input_since: int = 18, *, log: bool = False) -> Importer:
    """Importer of a reduction whose axes are an attribute before opset `axes_input_since` and an input from there on.

    With `log` the natural logarithm is taken behind it.
    """

    def importer(node: Node) -> Value:
        x, rank = node.input(0), node.input(0).tensor.rank
        named = node.attr_ints("axes") if node.opset < axes_input_since else node.optional_integers(1, "axes")
        keep_dims = bool(node.attr_int("keepdims", 1))
        if not named and node.opset >= axes_input_since and node.attr_int("noop_with_empty_axes", 0):
            if kind not in _UNCHANGED_WITHOUT_AXES or log:
                raise unsupported("this reduction over no axis (noop_with_empty_axes) is not taken")
            return x
        axes = normal_axes(named, rank) if named else tuple(range(rank))
        reduced = x if not axes else node.add(ReduceOp(x=x, kind=kind, axes=axes, keep_dims=keep_dims))
        return node.add(LogOp(x=reduced)) if log else reduced

    return importer


def arg_reduction(kind: str) -> Importer:
    """Importer of ArgMax or ArgMin."""

    def importer(node: Node) -> Value:
        x = node.input(0)
        axis = normal_axis(node.attr_int("axis", 0), x.tensor.rank)
        return node.add(
            ArgReduceOp(
                x=x,
                kind=kind,
                axis=axis,
                keep_dims=bool(node.attr_int("keepdims", 1)),
                last_index=bool(node.attr_int("select_last_index", 0)) if node.opset >= 12 else False,
            )
        )

    return importer
