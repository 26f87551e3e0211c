"""Options that several verbs share."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from numpy.typing import NDArray

Command = TypeVar("Command", bound=Callable[..., Any])

TARGETS = ("spinn2", "spinn1")
MAPPINGS = ("optimized", "kelber2020", "baseline")
METHODS = ("min-max", "percentile", "mse")
MAX_EXTENT = 1 << 31

FILE = click.Path(path_type=Path)

EXACT_DIGITS = 12
"""Decimals to which a drop is compared: scores are ratios that binary numbers hold nearly."""


def together(*decorators: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """One decorator for several, in the order of the help text."""

    def decorate(command: Command) -> Command:
        for each in reversed(decorators):
            command = each(command)
        return command

    return decorate


class ShareType(click.ParamType[float]):
    """`0.98` or `98%` as 0.98."""

    name = "share"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = value.strip()
        try:
            number = Decimal(text.removesuffix("%").rstrip())
        except InvalidOperation:
            self.fail(f"{value!r} is no number, such as 0.98 or 98%.", param, ctx)
        if not number.is_finite() or number < 0:
            self.fail(f"{value!r} is no number from 0 on.", param, ctx)
        return float(number / 100 if text.endswith("%") else number)


class ShapeType(click.ParamType[tuple[str, tuple[int, ...]]]):
    """`name=1,3,224,224` as the name and the extents."""

    name = "name=sizes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, tuple[int, ...]]:
        if isinstance(value, tuple):
            return value
        name, equals, sizes = value.rpartition("=")
        numbers = [each.strip() for each in sizes.split(",")] if sizes else []
        digits = all(each.isascii() and each.isdecimal() and len(each) <= 10 for each in numbers)
        if not (name and equals and digits and all(1 <= int(each) <= MAX_EXTENT for each in numbers)):
            self.fail(f"{value!r} is not an input's name and sizes, such as image=1,3,224,224.", param, ctx)
        return name, tuple(int(each) for each in numbers)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document instead of text.")

shape_option = click.option(
    "--shape",
    "shapes",
    type=ShapeType(),
    multiple=True,
    metavar="NAME=SIZES",
    help="Fix the shape of an input: --shape image=1,3,224,224. May be repeated.",
)

calibrate_option = click.option(
    "--calibrate",
    type=FILE,
    metavar="FILE.npz",
    help="Samples of real data, an array of samples under each input's name: they give every value its range, or for "
    "spinn1 say how busy the cores are.",
)

machine_options = together(
    click.option(
        "--target", type=click.Choice(TARGETS), default="spinn2", show_default=True, help="What to build for."
    ),
    click.option("--machine", metavar="NAME|FILE", help="A machine of `snc targets`, or a TOML file of your own."),
    click.option(
        "--mapping",
        type=click.Choice(MAPPINGS),
        default="optimized",
        show_default=True,
        help="How layers lie on the machine: the fastest schedule found, the rules of the 2020 paper, or every piece "
        "from DRAM and back.",
    ),
)

level_option = click.option(
    "-O",
    "level",
    type=click.IntRange(0, 3),
    default=2,
    show_default=True,
    help="How hard `optimized` searches: -O0 builds one program, -O1 a few and -O2 more, and the fastest is kept; -O3 "
    "then tries other splits for each kind of layer (minutes for a large network).",
)

number_options = together(
    click.option(
        "--bits",
        type=click.Choice(["8", "16"]),
        default="8",
        show_default=True,
        help="Bits of activations and weights.",
    ),
    click.option(
        "--activations",
        type=click.Choice(["int", "uint"]),
        default="int",
        show_default=True,
        help="Signed or unsigned activations.",
    ),
    click.option(
        "--rescale",
        type=click.Choice(["multiplier", "shift"]),
        default="multiplier",
        show_default=True,
        help="Any scale, by multiplier and shift, or powers of two, by shift alone.",
    ),
)


watch_options = together(
    click.option(
        "--print-ir-after",
        multiple=True,
        metavar="PASS|all",
        help="Print the IR after a pass, to standard error. May be repeated.",
    ),
    click.option("--print-ir-after-changed", is_flag=True, help="Print the IR after each pass that changed it."),
    click.option("--dump-stages", type=FILE, metavar="DIR", help="Write the IR after each pass into a folder."),
    click.option("--pass-timing", is_flag=True, help="Print the seconds that each pass took."),
    click.option(
        "--crash-reproducer",
        type=FILE,
        metavar="FILE",
        help="Where the input of a crashing pass goes, for `snc opt FILE`.",
    ),
)

WATCH_NAMES = ("print_ir_after", "print_ir_after_changed", "dump_stages", "pass_timing", "crash_reproducer")
"""Parameters of `watch_options`."""


def shapes_of(pairs: Iterable[tuple[str, tuple[int, ...]]]) -> dict[str, tuple[int, ...]]:
    """Shapes by input; a usage error when one input has two."""
    shapes: dict[str, tuple[int, ...]] = {}
    for name, sizes in pairs:
        if shapes.setdefault(name, sizes) != sizes:
            raise click.UsageError(f"Input {name} is given two shapes.")
    return shapes


def samples_of(path: Path | None) -> dict[str, NDArray[Any]] | None:
    """The calibration samples of a file, if one is given."""
    from ..data.array_files import read_arrays

    return None if path is None else read_arrays(path)


def is_model(path: Path) -> bool:
    """Whether a file is to be read as an ONNX model; all others are artefacts or IR text, as the verb says."""
    return path.suffix.lower() == ".onnx"


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint at the known words nearest to `word`, or at all of them."""
    names = list(known)
    close = difflib.get_close_matches(word, names, n=3)
    return f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(names) or 'none'}"
