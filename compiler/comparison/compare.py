"""What changed from one build to another: options, weights, layers, memory, clocks, accuracy."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from ..artefact import Artefact
from ..artefact_arrays import Json
from ..schema_files import read_schema
from .network import ABSENT, ArrayChange, SettingChange, array_changes, setting_changes
from .sides import Layer, Measured, Side, amounts_of, facts_of, layers_of


@frozen
class Fact:
    """Something that is not a number of work, of both artefacts."""

    name: str
    a: Json
    b: Json


@frozen
class Amount:
    """A number of both artefacts, with its unit; `better` says which is, lower or higher, empty where neither is."""

    name: str
    unit: str
    a: int | float | None
    b: int | float | None
    better: str = ""

    @property
    def percent(self) -> float | None:
        """The change in per cent of the first; None where it has no ratio."""
        if self.a is None or self.b is None or (not self.a and self.b):
            return None
        return 100.0 * (self.b - self.a) / abs(self.a) if self.a else 0.0

    @property
    def changed(self) -> bool:
        """Whether the numbers differ."""
        return self.a != self.b

    @property
    def size(self) -> float:
        """By what changes are sorted: per cent in either direction, the rest before them all."""
        if not self.changed:
            return 0.0
        return float("inf") if self.percent is None else abs(self.percent)

    def as_json(self) -> dict[str, Json]:
        """The number as JSON."""
        return {**attrs.asdict(self), "percent": self.percent}


@frozen
class LayerChange:
    """A layer (spinn2) or population (spinn1); `change` is added, gone or changed."""

    name: str
    onnx: tuple[str, ...]
    change: str
    facts: tuple[Fact, ...] = ()
    amounts: tuple[Amount, ...] = ()

    def as_json(self) -> dict[str, Json]:
        """The layer as JSON."""
        return {
            "name": self.name,
            "onnx": list(self.onnx),
            "change": self.change,
            "facts": [attrs.asdict(fact) for fact in self.facts],
            "amounts": [amount.as_json() for amount in self.amounts],
        }


@frozen
class MemberChange:
    """A file within the artefact that has another content; None where it is not there."""

    name: str
    a_bytes: int | None
    b_bytes: int | None


@frozen
class Comparison:
    """What changed from artefact `a` to artefact `b`.

    `facts`, `arrays`, `settings`, `layers` and `members` are those that changed; `amounts` and `scores` are all that
    both have. Layers, arrays, settings and members of different targets are not compared.
    """

    a: str
    b: str
    targets: tuple[str, str]
    facts: tuple[Fact, ...]
    amounts: tuple[Amount, ...]
    layers: tuple[LayerChange, ...]
    arrays: tuple[ArrayChange, ...]
    settings: tuple[SettingChange, ...]
    members: tuple[MemberChange, ...]
    scores: tuple[Amount, ...] = ()

    @property
    def changed(self) -> bool:
        """Whether anything did."""
        listed = (self.facts, self.layers, self.arrays, self.settings, self.members)
        return any(listed) or any(amount.changed for amount in (*self.amounts, *self.scores))

    def amount(self, name: str) -> Amount:
        """The number of that name; raises KeyError."""
        return {each.name: each for each in self.amounts}[name]

    def __repr__(self) -> str:
        lists = ("facts", "layers", "arrays", "settings", "members")
        counts = ", ".join(f"{len(getattr(self, name))} {name}" for name in lists)
        return f"<snc comparison of {self.a} and {self.b}: {counts} changed>"

    def as_json(self) -> dict[str, Any]:
        """The comparison as JSON of the published schema (`diff_schema`)."""
        return {
            "a": {"file": self.a, "target": self.targets[0]},
            "b": {"file": self.b, "target": self.targets[1]},
            "changed": self.changed,
            "facts": [attrs.asdict(fact) for fact in self.facts],
            "amounts": [amount.as_json() for amount in self.amounts],
            "layers": [layer.as_json() for layer in self.layers],
            "arrays": [attrs.asdict(array) for array in self.arrays],
            "settings": [attrs.asdict(setting) for setting in self.settings],
            "members": [attrs.asdict(member) for member in self.members],
            "scores": [score.as_json() for score in self.scores],
        }


def compare(a: Side, b: Side, scores: Sequence[Amount] = ()) -> Comparison:
    """Everything that differs; `scores` are those of two evaluations (see scores.py)."""
    alike = a.executable.target == b.executable.target
    first, second = a.executable.module, b.executable.module
    return Comparison(
        a.artefact.path,
        b.artefact.path,
        (a.executable.target, b.executable.target),
        _fact_changes(facts_of(a), facts_of(b), alike=alike),
        by_size(paired(amounts_of(a), amounts_of(b))),
        _layer_changes(layers_of(a), layers_of(b)) if alike else (),
        tuple(array_changes(first, second)) if alike else (),
        tuple(setting_changes(first, second)) if alike else (),
        _member_changes(a.artefact, b.artefact) if alike else (),
        tuple(scores),
    )


def by_size(amounts: Iterable[Amount]) -> tuple[Amount, ...]:
    """The largest change first."""
    return tuple(sorted(amounts, key=lambda amount: -amount.size))


def paired(a: Iterable[Measured], b: Iterable[Measured]) -> list[Amount]:
    """The numbers that both have, in the order of the first."""
    second = {name: (unit, value) for name, unit, value, _ in b}
    return [
        Amount(name, unit if unit == second[name][0] else "processors", value, second[name][1], better)
        for name, unit, value, better in a
        if name in second
    ]


def _fact_changes(a: Mapping[str, Json], b: Mapping[str, Json], *, alike: bool) -> tuple[Fact, ...]:
    names = [name for name in dict.fromkeys((*a, *b)) if alike or (name in a and name in b)]
    pairs = [Fact(name, a.get(name, ABSENT), b.get(name, ABSENT)) for name in names]
    return tuple(fact for fact in pairs if fact.a != fact.b)


def _layer_changes(a: Mapping[tuple[str, int], Layer], b: Mapping[tuple[str, int], Layer]) -> tuple[LayerChange, ...]:
    """The layers that differ, the one with the largest change of its first number first."""
    found = []
    for key in dict.fromkeys((*a, *b)):
        one, other = a.get(key), b.get(key)
        kept = other or one
        assert kept is not None
        if one is None or other is None:
            amounts = [
                Amount(name, unit, value if other is None else None, value if one is None else None, better)
                for name, unit, value, better in kept.amounts
            ]
            found.append(LayerChange(key[0], kept.onnx, "added" if one is None else "gone", (), tuple(amounts)))
            continue
        facts = _fact_changes(one.facts, other.facts, alike=True)
        amounts = paired(one.amounts, other.amounts)
        if facts or any(amount.changed for amount in amounts):
            found.append(LayerChange(key[0], kept.onnx, "changed", facts, tuple(amounts)))
    return tuple(sorted(found, key=lambda row: -abs((row.amounts[0].b or 0) - (row.amounts[0].a or 0))))


def _member_changes(a: Artefact, b: Artefact) -> tuple[MemberChange, ...]:
    first, second = a.manifest["members"], b.manifest["members"]
    found = []
    for name in sorted({*first, *second}):
        one, other = first.get(name), second.get(name)
        if one != other:
            found.append(MemberChange(name, one and one["size"], other and other["size"]))
    return tuple(sorted(found, key=lambda row: -abs((row.b_bytes or 0) - (row.a_bytes or 0))))


def diff_schema() -> dict[str, Any]:
    """The JSON schema of `Comparison.as_json`."""
    return read_schema("diff")
