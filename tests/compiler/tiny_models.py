"""Tiny ONNX models, one for each form that networks in the field take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from attrs import field, frozen
from numpy.typing import NDArray
from onnx import helper

from .onnx.graphs import model

Array = NDArray[Any]

MAP = (1, 4, 9, 10)
_RNG = np.random.default_rng(0)


def weights(*shape: int) -> Array:
    """Normal numbers that keep the size of what they are multiplied with."""
    return (_RNG.standard_normal(shape) / np.sqrt(max(1, np.prod(shape[1:])))).astype(np.float32)


def ints(*entries: int) -> Array:
    return np.array(entries, np.int64)


def number(value: float) -> Array:
    return np.array(value, np.float32)


def node(op_type: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """A node named /op_output; inputs are separated by blanks, `-` is an absent one."""
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op_type, names, output.split(), name=f"/{op_type}_{output}", **attributes)


@frozen
class Tiny:
    """A model of one input `x` (and others by name) and its outputs."""

    nodes: Sequence[onnx.NodeProto]
    constants: Mapping[str, Array] = field(factory=dict)
    shape: tuple[int, ...] = MAP
    more: Mapping[str, tuple[int, ...]] = field(factory=dict)
    outputs: Sequence[str] = ("y",)
    opset: int = 17

    @property
    def inputs(self) -> dict[str, tuple[int, ...]]:
        return {"x": self.shape, **self.more}

    def proto(self) -> onnx.ModelProto:
        return model(self.nodes, self.inputs, self.outputs, self.constants, opset=self.opset)

    def samples(self, seed: int, count: int = 1) -> dict[str, Array]:
        """Normal noise for every input, `count` samples behind each other."""
        rng = np.random.default_rng(seed)
        shapes = {name: (count * shape[0], *shape[1:]) if shape else shape for name, shape in self.inputs.items()}
        return {name: rng.standard_normal(shape).astype(np.float32) for name, shape in shapes.items()}


CONVOLUTIONS = {
    "groups": Tiny(
        [node("Conv", "x w b", "y", group=2, pads=[1, 1, 1, 1])], {"w": weights(6, 2, 3, 3), "b": weights(6)}
    ),
    "depthwise": Tiny([node("Conv", "x w", "y", group=4, pads=[1, 1, 1, 1])], {"w": weights(4, 1, 3, 3)}),
    "channel_multiplier": Tiny([node("Conv", "x w", "y", group=4, pads=[1, 1, 1, 1])], {"w": weights(8, 1, 3, 3)}),
    "dilated": Tiny(
        [node("Conv", "x w", "y", dilations=[2, 3], pads=[2, 0, 1, 3], strides=[2, 3])], {"w": weights(5, 4, 3, 3)}
    ),
    "stem": Tiny(
        [
            node("Conv", "x w", "c", pads=[3, 3, 3, 3], strides=[2, 2]),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        ],
        {"w": weights(8, 3, 7, 7)},
        (1, 3, 32, 32),
    ),
    "pointwise_stride": Tiny([node("Conv", "x w", "y", strides=[2, 2])], {"w": weights(5, 4, 1, 1)}),
    "same_upper": Tiny([node("Conv", "x w", "y", auto_pad="SAME_UPPER", strides=[3, 2])], {"w": weights(5, 4, 3, 3)}),
    "one_dimensional": Tiny(
        [
            node("Conv", "x w b", "c", pads=[1, 2], strides=[2]),
            node("Relu", "c", "r"),
            node("MaxPool", "r", "y", kernel_shape=[2], strides=[2]),
        ],
        {"w": weights(6, 4, 5), "b": weights(6)},
        (1, 4, 30),
    ),
    "weights_of_zeros": Tiny(
        [node("Conv", "x w b", "y")], {"w": np.zeros((3, 4, 1, 1), np.float32), "b": np.array([0, 1, -1], np.float32)}
    ),
    "huge_weights": Tiny([node("Conv", "x w", "y")], {"w": weights(3, 4, 1, 1) * np.float32(1e30)}),
    "tiny_weights": Tiny([node("Conv", "x w b", "y")], {"w": weights(3, 4, 1, 1) * np.float32(1e-30), "b": weights(3)}),
    "shared_weights": Tiny(
        [node("Conv", "x w", "c"), node("Conv", "c w", "y")], {"w": weights(4, 4, 1, 1)}, outputs=("y", "c")
    ),
    "channels_last": Tiny(
        [
            node("Transpose", "x", "t", perm=[0, 3, 1, 2]),
            node("Conv", "t w", "c"),
            node("Transpose", "c", "y", perm=[0, 2, 3, 1]),
        ],
        {"w": weights(4, 3, 3, 3)},
        (1, 8, 8, 3),
    ),
}

BLOCKS = {
    "squeeze_and_excite": Tiny(
        [
            node("GlobalAveragePool", "x", "g"),
            node("Conv", "g w1", "a"),
            node("Relu", "a", "b"),
            node("Conv", "b w2", "c"),
            node("HardSigmoid", "c", "s"),
            node("Mul", "x s", "y"),
        ],
        {"w1": weights(2, 4, 1, 1), "w2": weights(4, 2, 1, 1)},
    ),
    "gate_first": Tiny([node("GlobalAveragePool", "x", "g"), node("Sigmoid", "g", "s"), node("Mul", "s x", "y")]),
    "residual": Tiny(
        [
            node("Conv", "x w1", "a", pads=[1, 1, 1, 1]),
            node("Relu", "a", "b"),
            node("Conv", "b w2", "c", pads=[1, 1, 1, 1]),
            node("Add", "c x", "d"),
            node("Relu", "d", "y"),
        ],
        {"w1": weights(4, 4, 3, 3), "w2": 5 * weights(4, 4, 3, 3)},
    ),
    "dense_net": Tiny(
        [
            node("Conv", "x w1", "a", pads=[1, 1, 1, 1]),
            node("Concat", "x a", "b", axis=1),
            node("Relu", "b", "c"),
            node("Conv", "c w2", "d", pads=[1, 1, 1, 1]),
            node("Concat", "b d", "e", axis=1),
            node("Concat", "e x", "y", axis=1),
        ],
        {"w1": weights(3, 4, 3, 3), "w2": weights(2, 7, 3, 3)},
    ),
    "channel_shuffle": Tiny(
        [
            node("Conv", "x w", "a", group=2),
            node("Reshape", "a s1", "b"),
            node("Transpose", "b", "c", perm=[0, 2, 1, 3, 4]),
            node("Reshape", "c s2", "d"),
            node("Conv", "d w", "y", group=2),
        ],
        {"w": weights(4, 2, 1, 1), "s1": ints(1, 2, 2, 9, 10), "s2": ints(1, 4, 9, 10)},
    ),
    "swish": Tiny(
        [node("Conv", "x w", "a"), node("Sigmoid", "a", "s"), node("Mul", "a s", "y")], {"w": weights(4, 4, 1, 1)}
    ),
    "classifier": Tiny(
        [
            node("Conv", "x w1 b", "a", pads=[1, 1, 1, 1]),
            node("Relu", "a", "c"),
            node("MaxPool", "c", "d", kernel_shape=[2, 2], strides=[2, 2]),
            node("Flatten", "d", "e"),
            node("Gemm", "e w2", "y"),
        ],
        {"w1": weights(8, 1, 3, 3), "b": weights(8), "w2": weights(10, 512).T.copy()},
        (1, 1, 16, 16),
    ),
    "normalised_input": Tiny(
        [node("Sub", "x m", "a"), node("Div", "a s", "b"), node("Conv", "b w", "y", pads=[1, 1, 1, 1])],
        {"m": np.full((1, 3, 1, 1), 0.45, np.float32), "s": np.full((1, 3, 1, 1), 0.22, np.float32)}
        | {"w": weights(4, 3, 3, 3)},
        (1, 3, 8, 8),
    ),
}

POOLS = {
    "max_overlapping": Tiny([node("MaxPool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]),
    "max_dilated": Tiny([node("MaxPool", "x", "y", kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])]),
    "average_counting_pads": Tiny(
        [node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 0, 1, 1], count_include_pad=1)]
    ),
    "average": Tiny([node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])]),
    "average_ceil": Tiny([node("AveragePool", "x", "y", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]),
    "average_ceil_counting_pads": Tiny(
        [
            node(
                "AveragePool",
                "x",
                "y",
                kernel_shape=[3, 3],
                strides=[2, 2],
                pads=[1, 0, 1, 1],
                ceil_mode=1,
                count_include_pad=1,
            )
        ]
    ),
    "global_max": Tiny([node("GlobalMaxPool", "x", "y")]),
    "mean": Tiny([node("ReduceMean", "x", "y", axes=[2, 3], keepdims=0)], opset=13),
}

MATRICES = {
    "fully_connected": Tiny(
        [node("Flatten", "x", "f"), node("Gemm", "f w b", "y", transB=1)], {"w": weights(10, 360), "b": weights(10)}
    ),
    "gemm_scaled": Tiny(
        [node("Flatten", "x", "f"), node("Gemm", "f w b", "y", alpha=0.5, beta=2.0)],
        {"w": weights(10, 360).T.copy(), "b": weights(10)},
    ),
    "tokens": Tiny(
        [
            node("MatMul", "x w1", "a"),
            node("Add", "a b", "c"),
            node("Relu", "c", "d"),
            node("MatMul", "d w2", "e"),
            node("Add", "e x", "y"),
        ],
        {"w1": weights(12, 9), "b": weights(9), "w2": weights(9, 12)},
        (1, 7, 12),
    ),
    "tokens_prelu": Tiny(
        [node("MatMul", "x w", "a"), node("PRelu", "a s", "y")], {"w": weights(12, 9), "s": weights(7, 1)}, (1, 7, 12)
    ),
    "samples_as_rows": Tiny([node("MatMul", "x w", "y")], {"w": weights(40, 3)}, (5, 40)),
    "softmax_of_scores": Tiny([node("Softmax", "x", "y", axis=1)], shape=(1, 10)),
    "softmax_over_channels": Tiny([node("Softmax", "x", "y", axis=1)]),
    "softmax_over_rows": Tiny([node("Softmax", "x", "y", axis=-2)]),
}

ELEMENTWISE = {
    "two_maps": Tiny(
        [node("Relu", "x", "a"), node("Sub", "x a", "b"), node("Max", "b z", "c"), node("Min", "c x", "y")],
        more={"z": MAP},
    ),
    "square": Tiny([node("Mul", "x x", "y")]),
    "twice": Tiny([node("Conv", "x w", "c"), node("Add", "c c", "y")], {"w": weights(4, 4, 1, 1)}),
    "constant_maps": Tiny(
        [node("Add", "x c", "a"), node("Mul", "a d", "y")], {"c": weights(1, 4, 9, 10), "d": weights(1, 4, 9, 10)}
    ),
    "constant_channels": Tiny(
        [node("Add", "x c", "a"), node("Relu", "a", "b"), node("Mul", "b d", "y")],
        {"c": weights(4, 1, 1), "d": weights(1, 4, 1, 1)},
    ),
    "constant_columns": Tiny([node("Add", "x c", "y")], {"c": weights(10)}),
    "both_broadcast": Tiny([node("Add", "x z", "y")], shape=(1, 5, 1), more={"z": (1, 1, 7)}),
    "rows_of_tokens": Tiny([node("Add", "z x", "y")], shape=(1, 6, 5), more={"z": (1, 6, 1)}),
    "numbers": Tiny(
        [node("Sub", "c x", "a"), node("Div", "a d", "b"), node("Pow", "b e", "y")],
        {"c": number(1.5), "d": number(2.5), "e": number(2)},
    ),
    "prelu": Tiny([node("PRelu", "x s", "y")], {"s": weights(4, 1, 1)}),
    "activations": Tiny(
        [
            node("Tanh", "x", "a"),
            node("Elu", "a", "b"),
            node("HardSwish", "b", "c"),
            node("LeakyRelu", "c", "d"),
            node("Softplus", "d", "e"),
            node("Clip", "e low high", "y"),
        ],
        {"low": number(0.5), "high": number(0.9)},
    ),
    "local_response": Tiny([node("LRN", "x", "y", size=3)]),
    "batch_norm": Tiny(
        [node("BatchNormalization", "x s b m v", "y")],
        {"s": weights(4), "b": weights(4), "m": weights(4), "v": np.abs(weights(4))},
    ),
    "one_number": Tiny([node("Relu", "x", "y")], shape=()),
    "five_axes": Tiny([node("Relu", "x", "y")], shape=(1, 2, 3, 4, 5)),
}

MOVES = {
    "pad": Tiny([node("Pad", "x p v", "y")], {"p": ints(0, 2, 1, 2, 0, 0, 0, 3), "v": number(0.7)}),
    "pad_reflect": Tiny([node("Pad", "x p", "y", mode="reflect")], {"p": ints(0, 0, 1, 2, 0, 0, 0, 3)}),
    "pad_edge": Tiny([node("Pad", "x p", "y", mode="edge")], {"p": ints(0, 1, 1, 2, 0, 1, 0, 3)}),
    "resize": Tiny([node("Resize", "x - s", "y", mode="nearest")], {"s": np.array([1, 1, 0.5, 1.7], np.float32)}),
    "slice": Tiny(
        [node("Slice", "x a b c d", "y")],
        {"a": ints(1, 0, 9), "b": ints(4, 9, -100), "c": ints(1, 2, 3), "d": ints(2, 2, -3)},
    ),
    "split": Tiny(
        [node("Split", "x", "a b", axis=1), node("Relu", "a", "c"), node("Concat", "c b", "y", axis=1)], opset=12
    ),
    "gather": Tiny([node("Gather", "x i", "y", axis=1)], {"i": ints(2, 0, -1)}),
    "gather_one": Tiny([node("Gather", "x i", "y", axis=2)], {"i": np.array(3, np.int64)}),
    "gather_grid": Tiny([node("Gather", "x i", "y", axis=3)], {"i": ints(3, 0, -1, 5).reshape(2, 2)}),
    "depth_to_space": Tiny([node("DepthToSpace", "x", "y", blocksize=2)]),
    "transposes": Tiny(
        [node("Transpose", "x", "a", perm=[4, 3, 2, 1, 0]), node("Relu", "a", "y")], shape=(2, 2, 3, 4, 5)
    ),
    "expand": Tiny([node("Expand", "x s", "y")], {"s": ints(1, 4, 3, 5)}, (1, 4, 1, 1)),
    "tile": Tiny([node("Tile", "x s", "y")], {"s": ints(1, 2, 3, 1)}, (1, 4, 2, 3)),
    "concat_of_rows": Tiny(
        [node("Relu", "x", "a"), node("Concat", "x a", "b", axis=2), node("Concat", "b b", "y", axis=3)]
    ),
    "concat_of_vectors": Tiny([node("Flatten", "x", "a"), node("Relu", "a", "b"), node("Concat", "a b", "y", axis=1)]),
    "concat_with_constant": Tiny(
        [node("Relu", "x", "a"), node("Concat", "a c", "y", axis=1)], {"c": weights(1, 2, 9, 10)}
    ),
}

PORTS = {
    "several": Tiny(
        [node("Conv", "x w", "a"), node("Add", "a z", "y"), node("Relu", "z", "q")],
        {"w": weights(4, 4, 1, 1)},
        more={"z": MAP},
        outputs=("y", "q"),
    ),
    "input_returned": Tiny([node("Relu", "x", "y")], outputs=("y", "x")),
    "identity": Tiny([node("Identity", "x", "y")]),
    "unused_input": Tiny([node("Relu", "x", "y")], more={"u": (1, 2)}),
}

TAKEN = {**CONVOLUTIONS, **BLOCKS, **POOLS, **MATRICES, **ELEMENTWISE, **MOVES, **PORTS}

REFUSED = {
    "batch_of_maps": (
        Tiny([node("Conv", "x w", "y")], {"w": weights(3, 4, 1, 1)}, (2, 4, 5, 5)),
        "a batch of 2 samples",
    ),
    "batch_of_pools": (Tiny([node("MaxPool", "x", "y", kernel_shape=[2, 2])], shape=(2, 4, 5, 5)), "a batch of 2"),
    "batch_of_slopes": (Tiny([node("PRelu", "x s", "y")], {"s": weights(4, 1, 1)}, (2, 4, 5, 5)), "a batch of 2"),
    "constant_output": (
        Tiny([node("Relu", "x", "y"), node("Identity", "c", "k")], {"c": weights(1, 3)}, outputs=("y", "k")),
        "an output of the network is not computed by it",
    ),
    "quotient": (Tiny([node("Exp", "x", "a"), node("Div", "x a", "y")]), "nn.div has no integer form"),
    "attention": (
        Tiny([node("Transpose", "x", "t", perm=[0, 2, 1]), node("MatMul", "x t", "y")], shape=(1, 5, 6)),
        "expected a constant matrix",
    ),
    "best_class": (Tiny([node("ArgMax", "x", "y", axis=1)]), "nn.arg_reduce has no integer form"),
    "no_elements": (
        Tiny([node("Slice", "x a b", "y")], {"a": ints(0, 2), "b": ints(1, 2)}, (1, 4)),
        "which has no elements",
    ),
    "infinite_weights": (
        Tiny([node("Conv", "x w", "y")], {"w": np.full((3, 4, 1, 1), np.inf, np.float32)}),
        "NaN or infinite",
    ),
    "overflow": (Tiny([node("Mul", "x c", "a"), node("Exp", "a", "y")], {"c": number(1e3)}), "NaN or infinite"),
}
"""Models that cannot be compiled, and what the error says."""
