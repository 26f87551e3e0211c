"""Reports of small networks, and what an HTML parser finds in them."""

from __future__ import annotations

from collections import Counter
from functools import cache
from html.parser import HTMLParser

import onnx

import snc
from snc.compiler.evaluation.record import Evaluation, LayerFinding, Stage, Worst
from snc.compiler.executable import Executable
from snc.compiler.self_test import small_model
from snc.compiler.spinn1.executable import SpikingExecutable

from ..step_models import dense_steps

HOSTILE = (
    "<script>alert(1)</script>",
    '"onload="alert(1)',
    "' onclick='alert(1)",
    "]]>",
    "{{7*7}}",
    "{% include 'style.css' %}",
    "</title></style></svg><script src=//evil.example/x.js></script>",
    "<img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "--><svg/onload=alert(1)>",
    "&lt;b&gt;&#60;i&#62;",
    "\u202egnp.exe\u0000\u001b[31m\n",
)
"""Names that look like something else."""
VOID = frozenset(("meta", "link", "br", "img", "input", "hr"))


@cache
def compiled_for(machine: str) -> Executable | SpikingExecutable:
    """A small network for any machine."""
    if machine.startswith("spinn2"):
        return snc.compile(small_model(), target="spinn2", machine=machine)
    model = onnx.load_from_string(dense_steps("key"))
    return snc.compile(model, target="spinn1", machine=machine, groups=2, tiles=3)


def schedule() -> Executable:
    """A network for SpiNNaker2."""
    found = compiled_for("spinn2-2020")
    assert isinstance(found, Executable)
    return found


def spiking() -> SpikingExecutable:
    """A network for SpiNNaker1."""
    found = compiled_for("spinn3")
    assert isinstance(found, SpikingExecutable)
    return found


def evaluation_of(executable: Executable | SpikingExecutable, name: str = "plain") -> Evaluation:
    """An evaluation of an executable, with a name wherever there is one."""
    layers = executable.program.layers if isinstance(executable, Executable) else executable.netlist.labels
    return Evaluation(
        target=executable.target,
        machine=name,
        source_sha256=executable.source_sha256,
        data=name,
        data_sha256="0" * 64,
        samples=1000,
        metric="top1",
        scores={"top1": 0.9, name: 0.5},
        stages=(
            Stage("import", name, {"top1": 0.95}, 0.0, 1000),
            Stage("quantize", "In fixed point", {"top1": 0.89}, 0.06, 1000, name),
            Stage("final", "On the machine", {"top1": 0.9}, -0.01, 500),
        ),
        layers=tuple(LayerFinding(layer, (name,), snr_db=31.5, saturated=0.25) for layer in layers),
        worst=Worst("quantize", layers[0], (name,), name, name),
    )


class Parsed(HTMLParser):
    """Elements with their attributes in order, the text that is shown, and whatever is no element or text."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.others: list[str] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert len(dict(attributes)) == len(attributes), f"an attribute twice in {tag}"
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.unclosed.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def handle_comment(self, data: str) -> None:
        self.others.append(data)

    def handle_pi(self, data: str) -> None:
        self.others.append(data)

    def unknown_decl(self, data: str) -> None:
        self.others.append(data)

    @property
    def structure(self) -> Counter[tuple[str, ...]]:
        """How often each element occurs with which attributes, and what those that act hold."""
        acting = ("href", "style", "class", "id", "src", "d", "http-equiv", "content")
        return Counter(
            (tag, *sorted(attributes), *(str(attributes.get(name)) for name in acting))
            for tag, attributes in self.elements
        )

    def values(self, name: str) -> list[str]:
        """The values of an attribute, in order."""
        return [value for _, attributes in self.elements if (value := attributes.get(name)) is not None]
