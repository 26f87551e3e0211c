"""snc eval: how good an artefact is on labelled data, and which stage of the compiler lost what."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import FAILED
from .options import EXACT_DIGITS, FILE, ShareType, is_model, json_option

if TYPE_CHECKING:
    from ...ir.diagnostics import Diagnostic
    from ..evaluation.record import Evaluation

EPILOG = """\b
Examples:
  snc eval net.snc --data test.npz
  snc eval net.snc --data test.npz --reference net.onnx --max-drop 0.5%
  snc eval net.snc --data x.npy --labels y.npy --min-acc 0.98 --json
  snc eval net.snc --data images/ --preprocess imagenet
  snc eval spikes.snc --data test.npz --classes 10
"""
METRICS = ("auto", "top1", "top5", "mse")


class CountType(click.ParamType[int]):
    """A number of samples from 1 on, or `all` as 0."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if value == "all":
            return 0
        if not (value.isascii() and value.isdecimal() and 0 < int(value) < 1 << 31):
            self.fail(f"{value!r} is neither a number of samples nor `all`.", param, ctx)
        return int(value)


@click.command(epilog=EPILOG)
@click.argument("file", type=FILE, metavar="FILE.snc")
@click.option("--data", "given", type=FILE, required=True, metavar="FILE|DIR", help="Labelled samples.")
@click.option("--labels", type=FILE, metavar="FILE", help="The labels, where they are not in the data.")
@click.option("--reference", type=FILE, metavar="NET.onnx", help="The trained network: stages start there.")
@click.option("--preprocess", metavar="TEXT", help="What is done to the samples first, such as scale=1/255.")
@click.option(
    "--metric",
    type=click.Choice(METRICS),
    default="auto",
    show_default=True,
    help="auto: top1 for classes, mse for numbers.",
)
@click.option("--classes", type=click.IntRange(1, 1 << 20), metavar="N", help="Classes that output spikes vote for.")
@click.option(
    "--key",
    type=FILE,
    metavar="FILE.npy",
    help="What output spikes vote for: [outputs] class numbers, or [outputs, classes] weights.  [default: outputs that "
    "follow each other share a class]",
)
@click.option("--min-acc", type=ShareType(), metavar="A", help="Exit code 4 below this accuracy: 0.98 or 98%.")
@click.option(
    "--max-drop", type=ShareType(), metavar="D", help="Exit code 4 where more than this is lost to the reference."
)
@click.option("--stages/--no-stages", default=True, help="Whether to look at stages and layers.  [default: stages]")
@click.option(
    "--samples-per-stage",
    type=CountType(),
    metavar="N|all",
    help="Samples that stages between reference and artefact run on.  [default: by the size of the network]",
)
@click.option(
    "--scheduler", metavar="tcp://HOST:PORT", help="Work on a running dask.distributed cluster instead (snc[cluster])."
)
@json_option
def eval(
    file: Path,
    given: Path,
    labels: Path | None,
    reference: Path | None,
    preprocess: str | None,
    metric: str,
    classes: int | None,
    key: Path | None,
    min_acc: float | None,
    max_drop: float | None,
    stages: bool,
    samples_per_stage: int | None,
    scheduler: str | None,
    as_json: bool,
) -> int:
    """Measure the accuracy of an artefact, and say which stage of the compiler and which layer lost how much.

    All samples run on the artefact, bit for bit as on the machine. With --reference, the network that it was built
    from, every stage of the compiler is measured too; what the stages lost adds up to the difference. Exit code 4 when
    a threshold is missed.
    """
    from ..data.open import open_data
    from ..evaluation.evaluate import evaluate
    from ..targets import load
    from .console import print_diagnostics, print_json
    from .progress_bar import progress_bar

    if is_model(file):
        raise click.UsageError(f"{file} is a model; what is evaluated is an artefact: snc build {file} -o net.snc.")
    if max_drop is not None and (reference is None or not stages):
        raise click.UsageError("--max-drop needs --reference and its stages: the drop is counted from there.")
    if min_acc is not None and min_acc > 1:
        raise click.UsageError(f"--min-acc {min_acc:g}: an accuracy is at most 1, or 100%.")
    data = open_data(given, labels=labels, preprocess=preprocess)
    options: dict[str, Any] = {
        "reference": reference,
        "metric": metric,
        "classes": classes,
        "key": None if key is None else _only_array(key),
        "stages": stages,
        "samples_per_stage": data.count if samples_per_stage == 0 else samples_per_stage,
    }
    with progress_bar("evaluating", unit="samples") as progress:
        if scheduler is None:
            found = evaluate(load(file), data, progress=progress, **options)
        else:
            from ..evaluation.cluster import evaluate_on_cluster

            found = evaluate_on_cluster(file, data, scheduler=scheduler, progress=progress, **options)
    missed = _missed(found, min_acc, max_drop)
    code = FAILED if missed else 0
    if as_json:
        print_json("eval", {"evaluation": found.as_json()}, code=code, notes=[*found.notes, *missed])
        return code
    from .evaluation_report import print_evaluation

    print_evaluation(str(file), None if reference is None else str(reference), found)
    print_diagnostics([*found.notes, *missed])
    return code


def _only_array(path: Path) -> Any:
    from ..data.array_files import read_arrays

    arrays = read_arrays(path)
    if len(arrays) != 1:
        raise click.UsageError(f"{path} holds {len(arrays)} arrays; a key is one.")
    return next(iter(arrays.values()))


def _missed(found: Evaluation, min_acc: float | None, max_drop: float | None) -> list[Diagnostic]:
    """An error for each threshold that was missed."""
    from ...ir.diagnostics import Diagnostic
    from ..evaluation.scores import MSE

    if min_acc is not None and found.metric == MSE:
        raise click.UsageError("--min-acc is for classes; these labels are numbers, which --max-drop can compare.")
    score = found.scores[found.metric]
    missed = []
    if min_acc is not None and score < min_acc:
        missed.append(
            Diagnostic(
                "SNC0856", "the accuracy is too low", found=f"{found.metric} {score:.6g}", expected=f"{min_acc:.6g}"
            )
        )
    drop = round(sum(stage.loss for stage in found.stages), EXACT_DIGITS)
    if max_drop is not None and drop > max_drop:
        missed.append(
            Diagnostic(
                "SNC0857",
                "too much is lost to the reference",
                found=f"{found.metric} {drop:.6g}",
                expected=f"at most {max_drop:.6g}",
            )
        )
    return missed
