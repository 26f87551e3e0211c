"""snc sharpen: trains the soft activations of a network into steps, for the spiking target."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .options import FILE, json_option, shape_option, shapes_of

if TYPE_CHECKING:
    from ..sharpen.epochs import Epoch
    from ..sharpen.settings import Settings
    from ..sharpen.sharpen import Sharpened

EPILOG = """\b
Examples:
  snc sharpen net.onnx --data train.npz -o sharp.onnx
  snc sharpen net.onnx --data train.npz --test test.npz --seed 3 -o sharp.onnx
  snc sharpen net.onnx --data images.npy --labels labels.npy --input-threshold 128 -o sharp.onnx
  snc sharpen net.onnx --data train.npz -o sharp.onnx --resume sharp.checkpoint
  snc build --target spinn1 sharp.onnx --weights q4.8 --weight-scale layer
"""
SETTINGS = (
    *("classes", "votes", "key", "batch_norm", "activation", "sharpener", "soft_epochs", "layer_epochs"),
    *("finish_epochs", "batch", "rate", "finish_rate", "validation", "input_threshold", "decode", "seed", "threads"),
)
"""Parameters that are settings of the training."""


@click.command(epilog=EPILOG)
@click.argument("model", type=FILE, metavar="NET.onnx")
@click.option("--data", "given", type=FILE, required=True, metavar="FILE|DIR", help="Labelled samples to train on.")
@click.option("--labels", type=FILE, metavar="FILE", help="Their labels, where they are not in the data.")
@click.option("--preprocess", metavar="TEXT", help="What is done to all samples first, such as scale=1/255.")
@click.option(
    "--test", type=FILE, metavar="FILE|DIR", help="Samples to report on in the end; nothing is chosen by them."
)
@click.option("--test-labels", type=FILE, metavar="FILE", help="The labels of --test, where they are not in it.")
@click.option("-o", "out", type=FILE, required=True, metavar="OUT.onnx", help="The network of steps.")
@shape_option
@click.option(
    "--classes", type=int, metavar="N", help="How many classes there are.  [default: one more than the greatest label]"
)
@click.option(
    "--votes", type=int, metavar="N", help="Neurons for each output of a network that has one a class.  [default: 10]"
)
@click.option(
    "--key",
    type=click.Choice(["consecutive", "random"]),
    default="consecutive",
    show_default=True,
    help="How classes lie over the output neurons.",
)
@click.option(
    "--batch-norm",
    type=click.Choice(["auto", "keep"]),
    default="auto",
    show_default=True,
    help="auto: every layer is given a batch normalisation that has none, which a build folds.",
)
@click.option(
    "--activation",
    type=click.Choice(["relu", "sigmoid"]),
    default="relu",
    show_default=True,
    help="What is sharpened: a bounded ReLU or a sigmoid.",
)
@click.option(
    "--sharpener",
    type=click.Choice(["scheduled", "adaptive"]),
    default="scheduled",
    show_default=True,
    help="Sharpen by --layer-epochs, or by what the training loss does.",
)
@click.option("--soft-epochs", type=int, default=1, show_default=True, help="Epochs before any layer is sharpened.")
@click.option(
    "--layer-epochs",
    type=float,
    metavar="N",
    help="Epochs, or a share of one, in which a layer becomes a step.  [default: 1, for large networks 0.5]",
)
@click.option("--finish-epochs", type=int, help="Epochs with steps in all layers.  [default: 20, for large networks 4]")
@click.option("--batch", type=int, default=128, show_default=True, help="Samples in a batch.")
@click.option("--rate", type=float, default=0.002, show_default=True, help="Learning rate while there are soft layers.")
@click.option(
    "--finish-rate",
    type=float,
    default=0.004,
    show_default=True,
    help="Learning rate at the start of the finish; it falls to 0.",
)
@click.option(
    "--validation",
    type=float,
    default=0.1,
    show_default=True,
    help="Share of the samples that is held out to choose the best epoch.",
)
@click.option(
    "--input-threshold",
    type=float,
    metavar="LEVEL",
    help="Inputs of at least this are 1, others 0; the written network compares them itself.",
)
@click.option(
    "--decode",
    type=click.Choice(["softmax", "spikes"]),
    default="softmax",
    show_default=True,
    help="Whether the written network ends in a share for each class or in its spikes.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the split, the batches and new weights.")
@click.option(
    "--threads",
    type=int,
    default=1,
    show_default=True,
    help="Threads of torch; more pay for large networks on idle processors.",
)
@click.option(
    "--checkpoint",
    type=FILE,
    metavar="FILE",
    help="Written after each epoch and kept.  [default: OUT.checkpoint, until the end]",
)
@click.option("--resume", type=FILE, metavar="FILE", help="Go on from a checkpoint, with its settings.")
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print errors and the result only.")
@click.pass_context
def sharpen(
    context: click.Context,
    /,
    model: Path,
    given: Path,
    labels: Path | None,
    preprocess: str | None,
    test: Path | None,
    test_labels: Path | None,
    out: Path,
    shapes: tuple[tuple[str, tuple[int, ...]], ...],
    checkpoint: Path | None,
    resume: Path | None,
    as_json: bool,
    quiet: bool,
    **options: Any,
) -> int:
    """Train a network until its activations are steps, which `snc build --target spinn1` makes into spikes.

    ReLU, Clip and sigmoid become steps one layer after the other, from the first; then the network of steps is trained
    on. One output for each class becomes several neurons that vote. No choice is made by --test. Interrupt it when you
    like: the checkpoint stays, and --resume goes on to the same result.
    """
    from ..data.open import open_data
    from ..sharpen.epochs import Watch
    from ..sharpen.problems import need_torch
    from ..sharpen.sharpen import sharpen as train
    from .console import print_json
    from .output_files import check_outputs
    from .progress_bar import progress_bar

    need_torch()
    kept = checkpoint or out.with_suffix(".checkpoint")
    settings = _settings(context, options, resume)
    check_outputs([out, kept], [each for each in (model, given, labels, test, test_labels) if each is not None])
    data = open_data(given, labels=labels, preprocess=preprocess)
    tested = None if test is None else open_data(test, labels=test_labels, preprocess=preprocess)
    silent = quiet or as_json
    try:
        with progress_bar("training", unit="batches", quiet=silent) as advance:
            made = train(
                model,
                data,
                settings,
                shapes=shapes_of(shapes),
                checkpoint=kept,
                resume=resume,
                watch=Watch(
                    epoch=lambda epoch: None if silent else _report(epoch),
                    batch=lambda _stretch, done, steps: advance(done, steps),
                ),
            )
    except KeyboardInterrupt:
        from .console import remark

        if kept.exists():
            remark(f"go on with --resume {kept}")
        raise
    accuracy = None if tested is None else made.accuracy(tested)
    made.save(out)
    if checkpoint is None:
        kept.unlink(missing_ok=True)
    if as_json:
        print_json("sharpen", {"sharpened": _content(made, out, accuracy, tested.count if tested else 0)})
    else:
        _print_result(made, out, accuracy, tested.count if tested else 0)
    return 0


def _settings(context: click.Context, options: dict[str, Any], resume: Path | None) -> Settings:
    """The settings that are asked for; those of a checkpoint, where an option is not given."""
    from attrs import evolve

    from ..sharpen.settings import Settings
    from ..sharpen.sharpen import stored_settings

    if resume is None:
        return Settings(**options)
    said = {
        name: value
        for name, value in options.items()
        if context.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT
    }
    return evolve(stored_settings(resume), **said)


def _report(epoch: Epoch) -> None:
    """A line about an epoch."""
    from .console import remark

    sharpness = " ".join(f"{each:.2f}" for each in epoch.sharpness)
    remark(
        f"epoch {epoch.number:3} {epoch.phase:7}  loss {epoch.loss:.4f}  training {epoch.accuracy:.2%}  "
        f"held out {epoch.validation:.2%}  {epoch.seconds:.1f} s  sharpness {sharpness}"
    )


def _content(made: Sharpened, out: Path, accuracy: float | None, tested: int) -> dict[str, Any]:
    from attrs import asdict

    return {
        "path": str(out),
        "layers": list(made.layers),
        "normalised": list(made.normalised),
        "classes": made.key.classes,
        "outputs": made.key.outputs,
        "key": [int(each) for each in made.key.voters],
        "settings": made.settings.as_json(),
        "epochs": [asdict(each) for each in made.epochs],
        "best_epoch": made.best,
        "training_samples": made.trained_on,
        "validation": {"samples": made.held_out, "accuracy": made.validation},
        "test": None if accuracy is None else {"samples": tested, "accuracy": accuracy},
    }


def _print_result(made: Sharpened, out: Path, accuracy: float | None, tested: int) -> None:
    from .console import print_facts

    facts = [
        ("layers", f"{len(made.layers)} of steps: {', '.join(made.layers)}"),
        ("votes", f"{made.key}" + (f"; each output became {made.widened}" if made.widened > 1 else "")),
        ("batch norm", f"added behind {', '.join(made.normalised)}" if made.normalised else "as it was"),
        ("samples", f"{made.trained_on:,} trained on, {made.held_out:,} held out, seed {made.settings.seed}"),
        ("epochs", f"{len(made.epochs)}, the best {made.best}, {sum(each.seconds for each in made.epochs):.0f} s"),
        ("held out", f"{made.validation:.2%} right"),
    ]
    if accuracy is not None:
        facts.append(("test", f"{accuracy:.2%} of {tested:,} right"))
    print_facts(str(out), facts)
