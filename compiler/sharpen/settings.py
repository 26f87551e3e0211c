"""What a user chooses about training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
from attrs import field, frozen

from .problems import wrong_settings

CHOICES: Mapping[str, tuple[str, ...]] = {
    "batch_norm": ("auto", "keep"),
    "activation": ("relu", "sigmoid"),
    "sharpener": ("scheduled", "adaptive"),
    "decode": ("softmax", "spikes"),
    "key": ("consecutive", "random"),
}


def _at_least(low: float, high: float | None = None) -> Any:
    def check(instance: Settings, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not (value >= low and (high is None or value <= high)):
            expected = f"at least {low:g}" if high is None else f"{low:g} to {high:g}"
            raise wrong_settings(f"{attribute.name.replace('_', '-')} does not do", f"{value:g}", expected)

    return check


def _choice(instance: Settings, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value not in CHOICES[attribute.name]:
        expected = " or ".join(CHOICES[attribute.name])
        raise wrong_settings(f"{attribute.name.replace('_', '-')} does not do", str(value)[:40], expected)


@frozen(kw_only=True)
class Settings:
    """How a network is trained towards spikes; UsageError for values that no training can have.

    `classes` None: one more than the greatest label. `votes` is the number of output neurons for each class of a
    network that has one output for each. `batch_norm` auto: every layer gets one. `activation` is what is sharpened.
    `layer_epochs` and `finish_epochs` None: fewer for large networks (see run.py). `validation` is the share of the
    samples that is held out, `input_threshold` the number from which on an input is a spike.
    """

    classes: int | None = field(default=None, validator=_at_least(2, 1 << 16))
    votes: int | None = field(default=None, validator=_at_least(1, 1 << 12))
    key: str = field(default="consecutive", validator=_choice)
    batch_norm: str = field(default="auto", validator=_choice)
    activation: str = field(default="relu", validator=_choice)
    sharpener: str = field(default="scheduled", validator=_choice)
    soft_epochs: int = field(default=1, validator=_at_least(0, 10_000))
    layer_epochs: float | None = field(default=None, validator=_at_least(0.01, 10_000))
    finish_epochs: int | None = field(default=None, validator=_at_least(0, 10_000))
    batch: int = field(default=128, validator=_at_least(2, 1 << 16))
    rate: float = field(default=2e-3, validator=_at_least(1e-8, 10))
    finish_rate: float = field(default=4e-3, validator=_at_least(1e-8, 10))
    validation: float = field(default=0.1, validator=_at_least(0.001, 0.9))
    input_threshold: float | None = field(default=None, validator=_at_least(-1e30, 1e30))
    decode: str = field(default="softmax", validator=_choice)
    seed: int = field(default=0, validator=_at_least(0, (1 << 32) - 1))
    threads: int = field(default=1, validator=_at_least(1, 1024))

    def as_json(self) -> dict[str, Any]:
        """The settings by name."""
        return attrs.asdict(self)
