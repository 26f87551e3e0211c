"""Gives the weightless `light_*` graphs of the onnx package seeded random weights.

    python light_nets.py NAME FOLDER        writes FOLDER/light_NAME.onnx

The package ships nine ImageNet classifiers whose weights are `ConstantOfShape` nodes filled with 0.02, so that every
output is one constant. Here each float parameter becomes an initializer drawn by its role, and the graph stays as it
is otherwise (opset 9, IR 3, where initializers are graph inputs too). The input is one [1, 3, 224, 224] float32 image.

Random weights alone would make activations explode through the sums and pools of a deep net. The scales are
therefore measured: a twin of the graph normalises each weighted layer and each batch normalisation by the statistics of
its own input, and reports these. The weights are divided by them, and the running statistics set to them.
"""

import argparse
import sys
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.backend.test
import onnxruntime
from onnx import helper, numpy_helper

FloatArray = npt.NDArray[np.float32]

WEIGHTED = ("Conv", "Gemm")
LAYOUT_ONLY = ("Unsqueeze", "Reshape")
BATCH_NORM_ROLES = ("", "scale", "shift", "mean", "variance")
BATCH_NORM_EPSILON = 1e-5

TARGET_RMS = 2.0**0.5
"""A ReLU halves the second moment of a symmetric value: this one leaves it at 1."""

CALIBRATION_IMAGES = 4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", help="the graph's name without its light_ prefix, for example resnet50")
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()

    package_data = Path(onnx.backend.test.__file__).parent / "data" / "light"
    model = onnx.load(package_data / f"light_{arguments.name}.onnx")
    rng = np.random.default_rng(zlib.crc32(arguments.name.encode()))
    parameters = draw_parameters(model.graph, rng)
    settle(model, parameters, rng)
    write_initializers(model.graph, parameters)
    onnx.checker.check_model(model)
    onnx.save(model, arguments.folder / f"light_{arguments.name}.onnx")
    return 0


def draw_parameters(graph: onnx.GraphProto, rng: np.random.Generator) -> dict[str, FloatArray]:
    """A random value for every float parameter that a node reads, by the parameter's role there."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    shapes = {name: tuple(tensor.dims) for name, tensor in stored.items() if tensor.data_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "ConstantOfShape":
            shapes[node.output[0]] = tuple(numpy_helper.to_array(stored[node.input[0]]).tolist())
    readers = {name: (node, place) for node in graph.node for place, name in enumerate(node.input)}
    return {name: draw(role_of(name, readers), shape, rng) for name, shape in shapes.items() if name in readers}


def role_of(name: str, readers: dict[str, tuple[onnx.NodeProto, int]]) -> str:
    """One of weight, scale, shift, mean, variance: what the first computing reader takes the parameter for."""
    node, place = readers[name]
    while node.op_type in LAYOUT_ONLY:
        node, place = readers[node.output[0]]
    if node.op_type == "BatchNormalization":
        return BATCH_NORM_ROLES[place]
    if node.op_type in WEIGHTED:
        return "weight" if place == 1 else "shift"
    return {"Mul": "scale", "Add": "shift"}[node.op_type]


def draw(role: str, shape: tuple[int, ...], rng: np.random.Generator) -> FloatArray:
    match role:
        case "weight":
            return rng.standard_normal(shape, dtype=np.float32)
        case "scale":
            return rng.uniform(0.8, 1.2, shape).astype(np.float32)
        case "shift":
            return np.float32(0.1) * rng.standard_normal(shape, dtype=np.float32)
        case "mean":
            return np.zeros(shape, np.float32)
        case _:
            return np.ones(shape, np.float32)


def settle(model: onnx.ModelProto, parameters: dict[str, FloatArray], rng: np.random.Generator) -> None:
    """Scales the weights and sets the running statistics in place, to those of a few noise images."""
    origins = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type in LAYOUT_ONLY and node.input}
    twin, rms_of, moments_of = normalising_twin(model, parameters)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(twin.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = [output.name for output in session.get_outputs()]
    data_name = image_input(model.graph, parameters).name
    runs = [session.run(wanted, {data_name: image}) for image in noise_images(rng)]
    measured = {name: np.array(values) for name, values in zip(wanted, zip(*runs, strict=True), strict=True)}

    for weight, rms in rms_of.items():
        origin = weight
        while origin not in parameters:
            origin = origins[origin]
        parameters[origin] *= np.float32(TARGET_RMS / measured[rms].mean())
    for (mean_name, variance_name), (mean, variance) in moments_of.items():
        means, variances = measured[mean], measured[variance]
        pooled = variances.mean(axis=0) + means.var(axis=0)
        parameters[mean_name] = means.mean(axis=0).ravel().astype(np.float32)
        # A channel that its ReLU keeps dark has no variance, and would be blown up without this floor.
        parameters[variance_name] = np.maximum(pooled, 0.1 * pooled.mean()).ravel().astype(np.float32)


def noise_images(rng: np.random.Generator) -> list[FloatArray]:
    """White noise over a random grey level and contrast, each [1, 3, 224, 224]."""
    images = []
    for _ in range(CALIBRATION_IMAGES):
        level = rng.uniform(-0.5, 0.5, (1, 3, 1, 1)).astype(np.float32)
        contrast = np.float32(rng.uniform(0.5, 1.5))
        images.append(level + contrast * rng.standard_normal((1, 3, 224, 224), dtype=np.float32))
    return images


def image_input(graph: onnx.GraphProto, parameters: dict[str, FloatArray]) -> onnx.ValueInfoProto:
    stored = {tensor.name for tensor in graph.initializer} | parameters.keys()
    data: onnx.ValueInfoProto
    (data,) = [value for value in graph.input if value.name not in stored]
    return data


def normalising_twin(
    model: onnx.ModelProto, parameters: dict[str, FloatArray]
) -> tuple[onnx.ModelProto, dict[str, str], dict[tuple[str, str], tuple[str, str]]]:
    """The graph with statistics taken from the data.

    Returns the twin, the output that reports the root mean square of each weight's layer, and the two outputs that
    report each batch normalisation's mean and variance, by the names of its two parameters.
    """
    twin = onnx.ModelProto()
    twin.CopyFrom(model)
    write_initializers(twin.graph, parameters)
    original_nodes = list(twin.graph.node)
    del twin.graph.node[:], twin.graph.output[:]
    nodes: list[onnx.NodeProto] = []
    rms_of: dict[str, str] = {}
    moments_of: dict[tuple[str, str], tuple[str, str]] = {}
    for node in original_nodes:
        if node.op_type in WEIGHTED:
            nodes += normalised_layer(node)
            rms_of[node.input[1]] = f"{node.output[0]}/rms"
        elif node.op_type == "BatchNormalization":
            nodes += normalised_batch(node)
            moments_of[(node.input[3], node.input[4])] = (f"{node.output[0]}/mean", f"{node.output[0]}/variance")
        else:
            nodes.append(node)
    constants = {"twin/gain": TARGET_RMS, "twin/epsilon": BATCH_NORM_EPSILON}
    for name, value in constants.items():
        nodes.insert(
            0, helper.make_node("Constant", [], [name], value=numpy_helper.from_array(np.array(value, np.float32)))
        )
    twin.graph.node.extend(nodes)
    reported = [*rms_of.values(), *(name for pair in moments_of.values() for name in pair)]
    twin.graph.output.extend(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in reported)
    return twin, rms_of, moments_of


def normalised_layer(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Convolution or Gemm as `layer(x) / rms * gain + bias`."""
    out = node.output[0]
    layer = onnx.NodeProto()
    layer.CopyFrom(node)
    layer.output[0] = f"{out}/raw"
    nodes = [layer]
    bias = node.input[2] if len(node.input) == 3 else None
    if bias is not None and node.op_type == "Conv":
        del layer.input[2]
        nodes.append(helper.make_node("Unsqueeze", [bias], [f"{out}/bias"], axes=[0, 2, 3]))
    elif bias is not None:
        # Gemm needs its third operand in opset 9, and takes nothing of it at beta = 0.
        kept = [attribute for attribute in layer.attribute if attribute.name != "beta"]
        del layer.attribute[:]
        layer.attribute.extend([*kept, helper.make_attribute("beta", 0.0)])
        nodes.append(helper.make_node("Identity", [bias], [f"{out}/bias"]))
    nodes += [
        helper.make_node("Mul", [f"{out}/raw", f"{out}/raw"], [f"{out}/square"]),
        helper.make_node("ReduceMean", [f"{out}/square"], [f"{out}/power"], keepdims=0),
        helper.make_node("Sqrt", [f"{out}/power"], [f"{out}/rms"]),
        helper.make_node("Div", [f"{out}/raw", f"{out}/rms"], [f"{out}/unit"]),
        helper.make_node("Mul", [f"{out}/unit", "twin/gain"], [out if bias is None else f"{out}/scaled"]),
    ]
    if bias is not None:
        nodes.append(helper.make_node("Add", [f"{out}/scaled", f"{out}/bias"], [out]))
    return nodes


def normalised_batch(node: onnx.NodeProto) -> list[onnx.NodeProto]:
    """Batch normalisation with the mean and variance of its own input, a channel each."""
    (x, scale, shift, *_), out = node.input, node.output[0]
    nodes = [
        helper.make_node("ReduceMean", [x], [f"{out}/mean"], axes=[0, 2, 3], keepdims=1),
        helper.make_node("Sub", [x, f"{out}/mean"], [f"{out}/centred"]),
        helper.make_node("Mul", [f"{out}/centred", f"{out}/centred"], [f"{out}/square"]),
        helper.make_node("ReduceMean", [f"{out}/square"], [f"{out}/variance"], axes=[0, 2, 3], keepdims=1),
        helper.make_node("Add", [f"{out}/variance", "twin/epsilon"], [f"{out}/padded"]),
        helper.make_node("Sqrt", [f"{out}/padded"], [f"{out}/deviation"]),
        helper.make_node("Div", [f"{out}/centred", f"{out}/deviation"], [f"{out}/unit"]),
    ]
    for operator, parameter, source, result in (
        ("Mul", scale, f"{out}/unit", f"{out}/scaled"),
        ("Add", shift, f"{out}/scaled", out),
    ):
        spread = f"{out}/{operator}/parameter"
        nodes.append(helper.make_node("Unsqueeze", [parameter], [spread], axes=[0, 2, 3]))
        nodes.append(helper.make_node(operator, [source, spread], [result]))
    return nodes


def write_initializers(graph: onnx.GraphProto, parameters: dict[str, FloatArray]) -> None:
    """Replaces the filled weights and their shape inputs; what else the graph stores stays."""
    filled = [node for node in graph.node if node.op_type == "ConstantOfShape"]
    dropped = {node.input[0] for node in filled} | parameters.keys()
    kept_nodes = [node for node in graph.node if node.op_type != "ConstantOfShape"]
    kept_tensors = [tensor for tensor in graph.initializer if tensor.name not in dropped]
    kept_inputs = [value for value in graph.input if value.name not in dropped]
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(kept_nodes)
    graph.input.extend(kept_inputs)
    graph.initializer.extend(kept_tensors)
    for name, value in parameters.items():
        graph.initializer.append(numpy_helper.from_array(value, name))
        graph.input.append(helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, value.shape))


if __name__ == "__main__":
    sys.exit(main())
