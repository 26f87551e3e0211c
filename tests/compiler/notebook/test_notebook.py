"""What notebooks show: text of models stays text, and everything else is a few harmless elements."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from typing import Any

import attrs
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import snc
from snc.compiler.evaluation.record import Evaluation, LayerFinding, Stage, Worst
from snc.compiler.executable import Executable
from snc.compiler.notebook.html import MAX_CELL, MAX_ROWS, facts, folded, shown, table, titled
from snc.compiler.profile_record import Profile
from snc.compiler.self_test import small_model
from snc.compiler.spinn1.executable import SpikingExecutable
from snc.ir.diagnostics import Diagnostic
from snc.ir.dialects.builtin import ModuleOp
from snc.ir.html import MAX_LINE, MAX_TEXT, module_html
from snc.ir.location import Location
from snc.ir.parser import parse_module

from ..step_models import dense_steps

ELEMENTS = {"div", "b", "table", "tr", "th", "td", "details", "summary", "pre"}
HOSTILE = "<script>alert('x')</script>&amp;\"<img src=x onerror=y>"
WORDS = [HOSTILE, "</td></table>", "\x1b[31m", "\ud800", "]]>", "<!--", "&lt;"]
texts = st.text(st.characters(codec=None), max_size=30) | st.sampled_from(WORDS)


class Page(HTMLParser):
    """The elements, attributes and text of some HTML, which must be well nested."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: set[str] = set()
        self.attributes: set[tuple[str, str | None]] = set()
        self.pieces: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes.update(attrs)
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.pieces.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError("a comment")

    def handle_decl(self, decl: str) -> None:
        raise AssertionError("a declaration")

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def checked(html: str) -> Page:
    """The page, which holds only elements of ours and takes its colours from where it stands."""
    page = Page(html)
    assert page.elements <= ELEMENTS
    assert {name for name, _ in page.attributes} <= {"style"}
    for _, style in page.attributes:
        assert style is not None and "url" not in style and "#" not in style
        assert "color: inherit" in style and "background: none" in style
    html.encode("utf-8")
    return page


def visible(text: str) -> str:
    """The text, with what cannot be seen as Python writes it."""
    return "".join(each if each.isprintable() or each == "\n" else ascii(each)[1:-1] for each in text)


@pytest.fixture(scope="module")
def schedule() -> Executable:
    return snc.compile(small_model())


@pytest.fixture(scope="module")
def spiking() -> SpikingExecutable:
    model = onnx.load_from_string(dense_steps("key"))
    return snc.compile(model, target="spinn1", machine="spinn3", groups=2, tiles=2)


def evaluation(name: str = "conv", **changes: Any) -> Evaluation:
    """An evaluation in which every text is `name`."""
    found = Evaluation(
        target="spinn2",
        machine=name,
        source_sha256="00" * 32,
        data=name,
        data_sha256="11" * 32,
        samples=1000,
        metric="top1",
        scores={"top1": 0.9375, name: 0.5},
        stages=(Stage(name, name, {"top1": 0.95}, -0.0125, 1000, name), Stage(name, "", {}, 0.0, 10)),
        layers=(LayerFinding(name, (name,), snr_db=30.25, saturated=0.01), LayerFinding(name, ())),
        worst=Worst(name, name, (name,), name, name),
        notes=(Diagnostic("SNC0840", name, severity="warning"), Diagnostic("SNC0841", "quiet", severity="note")),
    )
    return attrs.evolve(found, **changes)


class TestHelper:
    @given(texts, st.lists(st.tuples(texts, texts), max_size=4))
    def test_any_text_stays_text(self, title: str, rows: list[tuple[str, str]]) -> None:
        page = checked(titled(title, table(["a", title], rows, right=(1,)), facts(rows), folded(title, facts(rows))))
        assert page.text.startswith(visible(title))

    @given(texts)
    def test_what_is_shown_can_be_read_back(self, text: str) -> None:
        assert Page(f"<b>{shown(text)}</b>").text == visible(text)

    def test_long_texts_and_tables_are_cut(self) -> None:
        page = checked(table(["n"], [[f"row {index} {'x' * 500}"] for index in range(MAX_ROWS + 5)]))
        assert "... and 5 more" in page.text and f"row {MAX_ROWS} " not in page.text
        assert max(len(piece) for piece in page.pieces) <= MAX_CELL + 3

    def test_numbers_stand_at_the_right(self) -> None:
        page = checked(table(["name", "n"], [("a", 1)], right=(1,)))
        cells = [style for _, style in page.attributes if style and "text-align" in style]
        assert sorted("text-align: right" in style for style in cells) == [False, True]


class TestExecutables:
    def test_show_their_build_and_their_layers(self, schedule: Executable, spiking: SpikingExecutable) -> None:
        page = checked(schedule._repr_html_())
        for text in ("snc executable for spinn2", "spinn2-2020", "dense", "conv + relu", " MACs", "SNC0422", "PEs"):
            assert text in page.text
        page = checked(spiking._repr_html_())
        for text in ("snc executable for spinn1", "spinn3", "first", "spikes: [1, 6] uint8", " samples/s", " us"):
            assert text in page.text

    def test_names_that_look_like_markup_stay_text(self) -> None:
        model = small_model()
        for node in model.graph.node:
            node.name = f"{HOSTILE}{node.name}"
        built = snc.compile(model)
        for html in (built._repr_html_(), built.module._repr_html_(), built.profile()._repr_html_()):
            assert "<script>alert" in checked(html).text

    def test_say_themselves_in_a_line(self, schedule: Executable, spiking: SpikingExecutable) -> None:
        shown_objects = [schedule, spiking, schedule.module, spiking.module, schedule.profile(), spiking.profile()]
        for each in (*shown_objects, evaluation()):
            assert repr(each).startswith("<snc ") and "\n" not in repr(each) and len(repr(each)) < 200


class TestProfile:
    def test_is_a_dictionary_as_ever(self, schedule: Executable, spiking: SpikingExecutable) -> None:
        for executable in (schedule, spiking):
            found = executable.profile()
            assert isinstance(found, dict) and found == dict(found)
            assert json.loads(json.dumps(found)) == json.loads(json.dumps(dict(found)))

    def test_shows_times_with_units(self, schedule: Executable, spiking: SpikingExecutable) -> None:
        page = checked(schedule.profile()._repr_html_())
        for text in ("latency", " us", " samples/s", "J a sample, within", " MHz", "dense", "KiB"):
            assert text in page.text
        page = checked(spiking.profile()._repr_html_())
        for text in ("latency", " us", "late, lost", " packets", "first", "cores"):
            assert text in page.text

    def test_a_network_without_work(self, schedule: Executable) -> None:
        idle = {"total_clocks": 0, "throughput_per_s": None, "roofline_share": None, "latency_s": 0.0}
        found = Profile({**schedule.profile(), **idle})
        assert "none" in checked(found._repr_html_()).text and "none" in repr(found)


class TestEvaluation:
    @given(texts)
    def test_any_text_stays_text(self, name: str) -> None:
        page = checked(evaluation(name)._repr_html_())
        assert "93.75%" in page.text and "-1.25%" in page.text and "30.25 dB" in page.text
        assert "SNC0840" in page.text and "SNC0841" not in page.text

    def test_errors_are_no_shares(self) -> None:
        found = evaluation(metric="mse", scores={"mse": 0.125}, stages=(Stage("a", "", {"mse": 0.125}, 0.0, 5),))
        assert "%" not in "".join(piece for piece in checked(found._repr_html_()).pieces if "0.125" in piece)
        assert "mse 0.125" in repr(found)

    def test_without_layers_or_a_worst_one(self) -> None:
        assert "0 layers" in checked(evaluation(layers=(), worst=None, stages=())._repr_html_()).text


class TestModule:
    def test_shows_counts_and_text(self, schedule: Executable) -> None:
        page = checked(schedule.module._repr_html_())
        assert "quant.conv2d 1" in page.text and "func @main" in page.text

    def test_long_text_is_cut(self) -> None:
        kind = "tensor<4xf32>"
        body = "".join(f"    %{index} = nn.clamp %x {{low = 0.0}} : ({kind}) -> {kind}\n" for index in range(2000))
        text = f"module {{\n  func @main(%x: {kind}) -> {kind} {{\n{body}    return %x : {kind}\n  }}\n}}\n"
        module = parse_module(text, {})
        page = checked(module_html(module))
        assert "more characters" in page.text and len(page.text) < MAX_TEXT + 200 and "nn.clamp 2,000" in page.text

    @given(texts)
    def test_locations_stay_text(self, name: str) -> None:
        module = ModuleOp(location=Location((name * 50,)))
        page = checked(module_html(module))
        assert max(map(len, page.text.split("\n"))) < MAX_LINE * 12

    def test_arrays_are_seen_by_their_digest(self, schedule: Executable) -> None:
        assert "dense_resource" in schedule.module._repr_html_()
