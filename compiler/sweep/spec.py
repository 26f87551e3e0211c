"""The specification of a sweep: a TOML file, or the same as a mapping."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import define, field, frozen

from ...backends.machine_file import Place, TomlFile, file_text, parse_toml
from ...ir.diagnostics import UsageError
from ..targets import TARGETS, machine_target
from .options import OPTIONS, PLACES, WrongValueError, options_of
from .points import MAX_POINTS, Block, Point, Shape, expand

OBJECTIVES = ("accuracy", "latency", "throughput", "energy", "cores")
DATA = ("data", "labels", "preprocess")
SCORING = ("metric", "classes")
METRICS = ("auto", "top1", "top5", "mse")
MOST_CLASSES = 1 << 20
HEAD = (*PLACES, *DATA, *SCORING, "objectives", "axes", "fixed", "points")
MAX_EXTENT = 1 << 31
FROM_MAPPING = "the specification"


@frozen
class Spec:
    """What a sweep is to do.

    `points` are in the order of the table; `repeated` counts those that were named more than once. `data`, `labels`,
    `preprocess`, `metric` and `classes` are those of `snc eval`; without data accuracy is not asked for. Files are
    relative to `folder`.
    """

    name: str
    folder: Path
    points: tuple[Point, ...]
    repeated: int
    data: str
    labels: str
    preprocess: str
    metric: str
    classes: int
    objectives: tuple[str, ...]

    def path(self, name: str) -> Path:
        """Where a file of the specification is."""
        return self.folder / name


def read_spec(spec: str | Path | Mapping[str, Any]) -> Spec:
    """The specification in a file, or in a mapping of the same form with files relative to the current folder.

    Raises UsageError with everything that is wrong: the key, its line, what was found, what was expected.
    """
    if isinstance(spec, Mapping):
        return _Reader(TomlFile(FROM_MAPPING, {}), Path()).read(spec)
    path = Path(spec)
    text = file_text(path, "name the TOML file of a sweep; snc sweep --help shows one")
    values, file = parse_toml(text, str(path))
    return _Reader(file, path.parent).read(values)


def machine_place(name: str, folder: Path) -> str:
    """A machine of a specification as `snc.compile` takes it: a preset's name, or the path of a file."""
    return name if any(name in target.machine_names() for target in TARGETS.values()) else str(folder / name)


@frozen
class _Given:
    """What a specification says of one place or option: where, and the values before they are checked."""

    place: Place
    values: Sequence[object]


@define
class _Reader:
    """Reads one specification; problems gather in `file`."""

    file: TomlFile
    folder: Path
    targets: Sequence[str] = ()
    machine_targets: dict[str, str] = field(factory=dict)

    def read(self, values: Mapping[str, Any]) -> Spec:
        """The specification; raises UsageError."""
        for key in values:
            if key not in HEAD:
                self._unknown_key(key)
        given = self._given(values)
        target = given.pop("target", None)
        first = [next(iter(TARGETS))]
        self.targets = (self._read("target", target) or list(TARGETS)) if target else first
        lists = {key: self._read(key, each) for key, each in given.items()}
        for key, each in given.items():
            self._check_target(key, each, lists[key])
        fixed = [key for key in self._table(values, "fixed") if key in OPTIONS]
        blocks = self._blocks(values, lists, fixed)
        texts, metric, classes = self._data(values), *self._scoring(values)
        objectives = self._objectives(values)
        self._raise_problems()
        self._check_number(sum(block.count(self._machines) for block in blocks))
        points, repeated = expand(blocks, self._machines)
        return Spec(self.file.name, self.folder, points, repeated, *texts, metric, classes, objectives)

    def _raise_problems(self) -> None:
        if self.file.problems:
            raise UsageError(self.file.problems)

    def _given(self, values: Mapping[str, Any]) -> dict[str, _Given]:
        """What stands in the head, in [axes] and in [fixed], each key once."""
        found: dict[str, _Given] = {}
        head = {key: values[key] for key in PLACES if key in values}
        for key, value in head.items():
            found[key] = _Given((key,), value if isinstance(value, list) else [value])
        for table in ("axes", "fixed"):
            for key, value in self._table(values, table).items():
                place = (table, key)
                if key in found:
                    expected = "once, under [axes], under [fixed] or before them"
                    self.file.complain("SNC0642", place, f"{key} is given twice", expected=expected)
                elif table == "fixed":
                    found[key] = _Given(place, [value])
                elif isinstance(value, list) and value:
                    found[key] = _Given(place, value)
                else:
                    self._wrong(place, value, "a list of one value or more; a single value goes under [fixed]")
        return found

    def _table(self, values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
        table = values.get(key, {})
        if isinstance(table, Mapping):
            return table
        self._wrong((key,), table, f"a table [{key}]")
        return {}

    def _read(self, key: str, given: _Given) -> list[Any]:
        """The values that are right; all others are complained about."""
        read = _READERS.get(key) or (OPTIONS[key].read if key in OPTIONS else None)
        if read is None:
            self._unknown_option(key, given.place)
            return []
        found = []
        for value in given.values:
            try:
                found.append(read(value))
            except WrongValueError as wrong:
                self._wrong(given.place, value, str(wrong))
        return found

    def _check_target(self, key: str, given: _Given, values: Sequence[Any]) -> None:
        """Options and machines must be those of a target that is swept."""
        swept = " or ".join(self.targets)
        if key in OPTIONS and OPTIONS[key].target not in self.targets:
            message = f"{key} is an option of {OPTIONS[key].target}, not of {swept}"
            self.file.complain("SNC0642", given.place, message, expected=_listed(self.targets))
        for name in values if key == "machine" else ():
            found = self._machine_target(name, given.place)
            if found and found not in self.targets:
                message = f"{name} is a machine of {found}, not of {swept}"
                self.file.complain("SNC0642", given.place, message, help="snc targets lists the machines")

    def _machine_target(self, name: str, place: Place = ()) -> str:
        """The target that a machine is for; empty, with a complaint, where there is no such machine."""
        if name not in self.machine_targets:
            try:
                self.machine_targets[name] = machine_target(machine_place(name, self.folder)).name
            except UsageError as error:
                presets = [each for target in self.targets for each in TARGETS[target].machine_names()]
                expected = f"{', '.join(presets)}, or the path of a TOML file"
                found = f"{error.diagnostics[0].message}: {error.diagnostics[0].found}"
                self.file.complain("SNC0641", place, f"there is no machine {name}", found=found, expected=expected)
                self.machine_targets[name] = ""
        return self.machine_targets[name]

    def _machines(self, target: str, named: Sequence[str]) -> Sequence[str]:
        """Those of the machines that are for a target, or its default."""
        return [each for each in named if self._machine_target(each) == target] or [TARGETS[target].default_machine]

    def _blocks(
        self, values: Mapping[str, Any], lists: Mapping[str, Sequence[Any]], fixed: Sequence[str]
    ) -> list[Block]:
        """The grid, unless there are nothing but [[points]], and each of those."""
        places = {key: lists[key] for key in lists if key in PLACES}
        options = {key: lists[key] for key in lists if key in OPTIONS}
        blocks = []
        if "axes" in values or "points" not in values:
            self._check_model(places, ())
            blocks.append(Block(self.targets, places, options))
        tables = values.get("points", [])
        if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
            self._wrong(("points",), tables, "tables [[points]]")
            return blocks
        kept = {key: options[key] for key in fixed if key in options}
        points = [self._explicit(table, ("points", index), places, kept) for index, table in enumerate(tables)]
        return blocks + [block for block in points if block is not None]

    def _explicit(
        self,
        table: Mapping[str, Any],
        place: Place,
        places: Mapping[str, Sequence[Any]],
        fixed: Mapping[str, Sequence[Any]],
    ) -> Block | None:
        """One table of [[points]], for each model, machine and so on that it does not name itself."""
        before = len(self.file.problems)
        own = {key: self._read(key, _Given((*place, key), [value])) for key, value in table.items()}
        for name in own.get("machine", ()):
            self._machine_target(name, (*place, "machine"))
        targets = [target for target in own.pop("target", self.targets) if self._takes(target, own)]
        found = {**places, **{key: each for key, each in own.items() if key in PLACES}}
        self._check_model(found, place)
        if len(self.file.problems) == before and not targets:
            named = ", ".join(f"{key} of {OPTIONS[key].target}" for key in own if key in OPTIONS)
            expected = f"options and a machine of {' or of '.join(self.targets)}"
            self.file.complain("SNC0642", place, "no target takes this point", found=named, expected=expected)
        if len(self.file.problems) > before:
            return None
        return Block(targets, found, {**fixed, **{key: each for key, each in own.items() if key in OPTIONS}})

    def _takes(self, target: str, own: Mapping[str, Sequence[Any]]) -> bool:
        """Whether a target has all options of a point, and its machine."""
        machines = own.get("machine", ())
        options = all(OPTIONS[key].target == target for key in own if key in OPTIONS)
        return options and all(self._machine_target(each) == target for each in machines)

    def _check_model(self, places: Mapping[str, Sequence[Any]], place: Place) -> None:
        if "model" not in places:
            self.file.complain("SNC0642", place, "no model is named", help='add model = "net.onnx"')

    def _check_number(self, number: int) -> None:
        if number > MAX_POINTS:
            self.file.complain(
                "SNC0643",
                ("axes",),
                "the sweep has too many points",
                found=f"{number:,}",
                expected=f"at most {MAX_POINTS:,}",
                help="sweep a few values of each option first, then more around the front",
            )
        self._raise_problems()

    def _data(self, values: Mapping[str, Any]) -> tuple[str, str, str]:
        """Where the labelled samples are, and what becomes of them first."""
        texts = []
        for key in DATA:
            found = _texts(values.get(key, ""))
            if found is None or (key in values and not found):
                self._wrong((key,), values[key], "a text that is not empty")
            texts.append(found or "")
        for key in (*DATA, *SCORING):
            if key in values and "data" not in values:
                self.file.complain("SNC0642", (key,), f"{key} is given, and no data", help='add data = "FILE"')
        return texts[0], texts[1], texts[2]

    def _scoring(self, values: Mapping[str, Any]) -> tuple[str, int]:
        """The metric, and how many classes output spikes vote for, 0 where that is not said."""
        metric, classes = values.get("metric", METRICS[0]), values.get("classes", 0)
        if metric not in METRICS:
            self._wrong(("metric",), metric, " or ".join(f'"{each}"' for each in METRICS))
        if "classes" in values and not (type(classes) is int and 1 <= classes <= MOST_CLASSES):
            self._wrong(("classes",), classes, f"a whole number from 1 to {MOST_CLASSES}")
        return metric, classes

    def _objectives(self, values: Mapping[str, Any]) -> tuple[str, ...]:
        named = values.get("objectives", list(OBJECTIVES))
        if not isinstance(named, list) or not named or any(each not in OBJECTIVES for each in named):
            self._wrong(("objectives",), named, f"a list of some of {', '.join(OBJECTIVES)}")
            return OBJECTIVES
        return tuple(each for each in OBJECTIVES if each in named)

    def _unknown_key(self, key: str) -> None:
        if key in OPTIONS:
            help = f"put it under [axes] with a list of values, or under [fixed] with one: {key} = ..."
        else:
            help = _nearest(key, HEAD)
        self.file.complain("SNC0640", (key,), f"{key} is unknown", expected=", ".join(HEAD), help=help)

    def _unknown_option(self, key: str, place: Place) -> None:
        known = [option.name for target in self.targets for option in options_of(target)]
        help = _nearest(key, (*PLACES, *known))
        self.file.complain("SNC0640", place, f"there is no option {key}", expected=_listed(self.targets), help=help)

    def _wrong(self, place: Place, value: object, expected: str) -> None:
        shown = repr(value)
        name = ".".join(str(part) for part in place if isinstance(part, str))
        found = shown if len(shown) <= 80 else f"{shown[:77]}..."
        self.file.complain("SNC0641", place, f"{name} cannot be that", found=found, expected=expected)


def _texts(value: object) -> str | None:
    """A text, or None for anything else."""
    return value.strip() if isinstance(value, str) else None


def _read_text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise WrongValueError("a text that is not empty")
    return value


def _read_target(value: object) -> str:
    if not isinstance(value, str) or value not in TARGETS:
        raise WrongValueError(" or ".join(f'"{name}"' for name in TARGETS))
    return value


def _read_shape(value: object) -> Shape:
    if isinstance(value, Mapping) and value and all(_is_shape(sizes) for sizes in value.values()):
        return tuple((name, tuple(sizes)) for name, sizes in sorted(value.items()))
    raise WrongValueError("the sizes of inputs, such as { image = [1, 3, 224, 224] }")


def _is_shape(sizes: object) -> bool:
    return isinstance(sizes, Sequence) and all(type(size) is int and 1 <= size <= MAX_EXTENT for size in sizes)


_READERS: Mapping[str, Callable[[object], Any]] = {
    "model": _read_text,
    "target": _read_target,
    "machine": _read_text,
    "calibrate": _read_text,
    "shape": _read_shape,
}


def _nearest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word.replace("_", "-"), list(known), n=1)
    return f"did you mean {close[0]}?" if close else "remove it"


def _listed(targets: Iterable[str]) -> str:
    """The options of targets, for a diagnostic."""
    own = "; ".join(f"{target}: {', '.join(option.name for option in options_of(target))}" for target in targets)
    return f"{', '.join(PLACES)}; {own}"
