"""From a network of soft activations and samples to one of steps, which the spiking target takes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from attrs import evolve, frozen

from ... import __version__
from ...ir.clone import clone_module
from ...ir.diagnostics import ModelError
from ...ir.dialects.builtin import ModuleOp
from ...passes.base import PassContext
from ...passes.manager import PassManager
from ...passes.pipeline import parse_pipeline
from ..data.dataset import DataSet
from ..executable import Port
from ..onnx.importer import import_model
from ..onnx.loading import load_model
from ..pipelines import binary_pipeline
from ..spinn1.executable import input_ports
from ..spinn1.options import SpikingOptions
from ..whole_files import whole_file
from .checkpoint import load_checkpoint, of_another
from .epochs import Epoch, Watch
from .keys import Key, random_key
from .normalise import add_batch_norms, add_biases
from .problems import need_torch, wrong_labels, wrong_samples
from .samples import Samples, read_samples
from .settings import Settings
from .stepped import Stepped, stepped
from .tail import add_decoding, add_encoding
from .trainable import untrained
from .write_onnx import write_onnx

if TYPE_CHECKING:
    import torch

    from .network import Network
    from .run import Run

FEWEST_SAMPLES = 4
OUTPUTS = {"softmax": "probabilities", "spikes": "spikes"}
"""The name of the output for each decoding."""


@frozen(eq=False)
class Sharpened:
    """A trained network of steps.

    `layers` are the ONNX names of its activations, `normalised` the layers that were given a batch normalisation,
    `widened` how many neurons each output became. `validation` is the share of the `held_out` samples that the network
    gets right as it is written, that is, after epoch `best`, which was chosen by it; `trained_on` counts the others.
    """

    model: onnx.ModelProto
    key: Key
    settings: Settings
    widened: int
    layers: tuple[str, ...]
    normalised: tuple[str, ...]
    epochs: tuple[Epoch, ...]
    best: int
    validation: float
    trained_on: int
    held_out: int
    _network: Network
    _ports: tuple[Port, ...]

    def save(self, path: str | Path) -> None:
        """Writes the ONNX model, whole or not at all."""
        with whole_file(path) as file:
            file.write(self.model.SerializeToString(deterministic=True))

    def accuracy(self, data: DataSet) -> float:
        """The share of a data set's samples that the network gets right; raises UsageError when they do not fit."""
        from .run import torch_settings
        from .training import accuracy

        samples = read_samples(data, self._ports, threshold=self.settings.input_threshold)
        _check_classes(samples, self.key.classes, data.source)
        with torch_settings(self.settings):
            return accuracy(self._network, self.key, samples, (1.0,) * len(self.layers))


def sharpen(
    model: str | Path | onnx.ModelProto | torch.nn.Module,
    data: DataSet,
    settings: Settings | None = None,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    checkpoint: Path | None = None,
    resume: Path | None = None,
    watch: Watch | None = None,
) -> Sharpened:
    """Trains a network until all its activations are steps.

    Soft activations are replaced by a bounded ReLU or a sigmoid, which is made sharper layer by layer until it is a
    step; then the whole network is trained on as steps. The epoch with steps only that does best on held-out samples
    counts. The same model, samples, settings (threads among them) and version of torch give the same bytes.

    `checkpoint` is written after every epoch. `resume` names one to go on from; its settings hold, and `settings` may
    be left out or must equal them. Raises UsageError for samples, labels or settings that do not fit and where torch is
    missing, ModelError for networks that cannot be trained or built, and the errors of loading a model.
    """
    need_torch()
    from .run import Run, torch_settings

    before = None
    if resume is not None:
        before = load_checkpoint(resume)
        stored = stored_settings(resume)
        if settings is not None and settings != stored:
            _refuse_settings(settings, stored, resume)
        settings = stored
    chosen = settings or Settings()
    proto = _proto_of(model, data)
    module = import_model(proto, shapes=shapes)
    ports = input_ports(module)
    samples = read_samples(data, ports, threshold=chosen.input_threshold)
    if len(samples) < FEWEST_SAMPLES:
        expected = f"at least {FEWEST_SAMPLES}"
        raise wrong_samples(data.source, "there are too few samples to train on", str(len(samples)), expected)
    classes = chosen.classes or int(samples.labels.max()) + 1
    _check_classes(samples, classes, data.source)
    network, normalised = prepared(module, classes, chosen)
    origin = {"model": hashlib.sha256(proto.SerializeToString(deterministic=True)).hexdigest(), "data": data.digest()}
    with torch_settings(chosen):
        run = Run.begin(network, samples, chosen)
        if before is not None and resume is not None:
            run.restore(before, origin, resume)
        run.train(checkpoint, origin, watch or Watch())
    return Sharpened(
        model=_written(run),
        key=network.key,
        settings=chosen,
        widened=network.widened,
        layers=tuple(each.name for each in network.activations),
        normalised=normalised,
        epochs=tuple(run.epochs),
        best=run.best_epoch,
        validation=run.best_validation,
        trained_on=len(run.training),
        held_out=len(run.held_out),
        network=run.network,
        ports=ports,
    )


def prepared(module: ModuleOp, classes: int, settings: Settings) -> tuple[Stepped, tuple[str, ...]]:
    """The network that is trained in the place of an imported module, and the layers that were given a normalisation.

    Raises ModelError with everything that cannot be trained, or that a build for spikes would refuse afterwards.
    """
    network = stepped(module, classes, votes=settings.votes, seed=settings.seed)
    if settings.key == "random":
        network = evolve(network, key=random_key(network.key.outputs, classes, settings.seed))
    normalised: tuple[str, ...] = ()
    if settings.batch_norm == "auto":
        normalised = add_batch_norms(module)
    else:
        add_biases(module)
    problems = untrained(module)
    known = {problem.node for problem in problems}
    pipeline = parse_pipeline(binary_pipeline(SpikingOptions()))
    try:
        PassManager(pipeline.passes, ()).run(clone_module(module), PassContext())
    except ModelError as error:
        problems += [problem for problem in error.diagnostics if problem.node not in known]
    if problems:
        raise ModelError(problems)
    return network, normalised


def stored_settings(checkpoint: Path) -> Settings:
    """The settings of the training that wrote a checkpoint; raises UsageError or UnsafeInput."""
    from .checkpoint import unsound

    state = load_checkpoint(checkpoint).state
    try:
        return Settings(**state["settings"])
    except (KeyError, TypeError) as error:
        raise unsound(checkpoint, str(error)) from None


def _refuse_settings(given: Settings, stored: Settings, path: Path) -> None:
    old, new = stored.as_json(), given.as_json()
    name = next(each for each in new if old[each] != new[each])
    raise of_another(path, f"another {name.replace('_', '-')}", str(old[name]), str(new[name]))


def _check_classes(samples: Samples, classes: int, source: str) -> None:
    """Raises UsageError for labels beyond `classes`, and where there is one class only."""
    beyond = samples.labels >= classes
    if beyond.any():
        where = int(beyond.argmax())
        found = f"class {int(samples.labels[where])} of sample {where}"
        raise wrong_labels(source, "a label is out of range", found, f"0 to {classes - 1}")
    if classes < 2:
        raise wrong_labels(source, "there is one class only", f"{len(samples)} labels 0", "at least two classes")


def _written(run: Run) -> onnx.ModelProto:
    """The network as ONNX, with what goes around it."""
    network, settings = run.stepped, run.settings
    add_encoding(network.module, settings.input_threshold)
    if settings.decode == "softmax":
        add_decoding(network.module, network.key)
    metadata = {
        "snc.version": __version__,
        "snc.decode": "a class scores 1 for each of its own outputs that spikes and each other that does not, else -1; "
        "the greatest wins, the lowest class on ties",
        "snc.key": " ".join(map(str, network.key.voters)),
        "snc.classes": str(network.key.classes),
        "snc.seed": str(settings.seed),
        "snc.validation_accuracy": f"{run.best_validation:.6f}",
        "snc.validation_samples": str(len(run.held_out)),
        "snc.training_samples": str(len(run.training)),
        "snc.epochs": str(len(run.epochs)),
    }
    arrays, names = run.network.arrays(), run.network.names
    return write_onnx(network.module, arrays, names, output=OUTPUTS[settings.decode], metadata=metadata)


def _proto_of(model: str | Path | onnx.ModelProto | torch.nn.Module, data: DataSet) -> onnx.ModelProto:
    if isinstance(model, str | Path):
        return load_model(model)
    if isinstance(model, onnx.ModelProto):
        return model
    from .from_torch import exported

    return exported(model, data)
