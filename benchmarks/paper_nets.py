"""The two networks of Kelber, Wu et al. 2020, from their shapes alone, with seeded random weights.

VGG-16 and ResNet-50 v1 (the stride of a stage sits in its first 1x1 convolution) for images of 224 x 224, both with
the 1024 outputs of the paper's last layer. Times do not depend on the values of weights.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from attrs import define, field
from onnx import TensorProto, helper, numpy_helper

IMAGE = (1, 3, 224, 224)
OUTPUTS = 1024
VGG_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
RESNET_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
EXPANSION = 4
OPSET = 17


@define
class Net:
    """An ONNX graph in the making; methods append a node and return the name of its result."""

    name: str
    rng: np.random.Generator = field(factory=lambda: np.random.default_rng(2020))
    nodes: list[onnx.NodeProto] = field(factory=list)
    weights: list[onnx.TensorProto] = field(factory=list)

    def node(self, kind: str, name: str, inputs: list[str], **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def tensor(self, name: str, *shape: int, fan_in: int) -> str:
        values = self.rng.standard_normal(shape, np.float32) * np.float32(np.sqrt(2 / fan_in))
        self.weights.append(numpy_helper.from_array(values, name))
        return name

    def conv(self, name: str, x: str, channels: tuple[int, int], kernel: int, stride: int = 1) -> str:
        taken, made = channels
        fan_in = taken * kernel * kernel
        inputs = [
            x,
            self.tensor(f"{name}.w", made, taken, kernel, kernel, fan_in=fan_in),
            self.tensor(f"{name}.b", made, fan_in=fan_in),
        ]
        return self.node("Conv", name, inputs, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=[kernel // 2] * 4)

    def dense(self, name: str, x: str, taken: int, made: int) -> str:
        inputs = [
            x,
            self.tensor(f"{name}.w", taken, made, fan_in=taken),
            self.tensor(f"{name}.b", made, fan_in=taken),
        ]
        return self.node("Gemm", name, inputs)

    def relu(self, x: str) -> str:
        return self.node("Relu", f"{x}.relu", [x])

    def model(self, result: str) -> onnx.ModelProto:
        graph = helper.make_graph(
            self.nodes,
            self.name,
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, IMAGE)],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, (1, OUTPUTS))],
            self.weights,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)


def vgg16() -> onnx.ModelProto:
    """VGG-16; layers are numbered as in the paper's tables, where poolings count too."""
    net = Net("vgg16")
    x, channels, number = "image", IMAGE[1], 0
    for stage in VGG_STAGES:
        for made in stage:
            number += 1
            x = net.relu(net.conv(f"CONV_{number}", x, (channels, made), 3))
            channels = made
        number += 1
        x = net.node("MaxPool", f"POOL_{number}", [x], kernel_shape=[2, 2], strides=[2, 2])
    x = net.node("Flatten", "flatten", [x])
    x = net.relu(net.dense("FC_19", x, channels * 7 * 7, 4096))
    x = net.relu(net.dense("FC_20", x, 4096, 4096))
    return net.model(net.dense("FC_21", x, 4096, OUTPUTS))


def resnet50() -> onnx.ModelProto:
    """ResNet-50 v1, batch normalisation folded into the convolutions."""
    net = Net("resnet50")
    x = net.relu(net.conv("CONV_1", "image", (IMAGE[1], 64), 7, 2))
    x = net.node("MaxPool", "POOL_2", [x], kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    channels = 64
    for stage, (width, repeats) in enumerate(RESNET_STAGES, 2):
        for repeat in range(repeats):
            name, made = f"RES_{stage}{chr(ord('a') + repeat)}", width * EXPANSION
            stride = 2 if stage > 2 and repeat == 0 else 1
            shortcut = x if repeat else net.conv(f"{name}_projection", x, (channels, made), 1, stride)
            y = net.relu(net.conv(f"{name}_1x1_in", x, (channels, width), 1, stride))
            y = net.relu(net.conv(f"{name}_3x3", y, (width, width), 3))
            y = net.conv(f"{name}_1x1_out", y, (width, made), 1)
            x = net.relu(net.node("Add", f"{name}_add", [y, shortcut]))
            channels = made
    x = net.node("GlobalAveragePool", "pool", [x])
    x = net.node("Flatten", "flatten", [x])
    return net.model(net.dense("FC", x, channels, OUTPUTS))


NETS: dict[str, Callable[[], onnx.ModelProto]] = {"vgg16": vgg16, "resnet50": resnet50}
"""The builders by name."""
