"""The page as a whole: names stay text, every link leads somewhere, nothing comes from elsewhere, same bytes."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snc.compiler.executable import Executable
from snc.compiler.report.names import plain
from snc.compiler.report.page import report_html, write_report
from snc.compiler.spinn1.executable import SpikingExecutable
from snc.ir.diagnostics import UsageError

from .pages import HOSTILE, Parsed, evaluation_of, schedule, spiking

NAMES = st.text(
    st.characters(exclude_characters="+", exclude_categories=["Cs"]) | st.sampled_from("<>\"'&{}%#;/=`"),
    min_size=1,
    max_size=40,
)
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def schedule_page(name: str) -> str:
    """The report of a schedule, with a name in every place that one can come to."""
    plain_one = schedule()
    layers = tuple(f"{name}{index}" for index, _ in enumerate(plain_one.program.layers))
    program = attrs.evolve(plain_one.program, layers=layers)
    executable = Executable(
        plain_one.module,
        program,
        plain_one.machine_text,
        plain_one.target,
        plain_one.mapping,
        plain_one.options,
        plain_one.source_sha256,
        tuple(attrs.evolve(note, message=name, node=name, help=name) for note in plain_one.notes),
    )
    return report_html(executable, title=name, evaluation=evaluation_of(executable, name))


def spiking_page(name: str) -> str:
    """The report of a spiking network, likewise."""
    found = spiking()
    netlist = attrs.evolve(
        found.netlist, labels=tuple(f"{name}{index}" for index, _ in enumerate(found.netlist.labels))
    )
    changed = SpikingExecutable(
        module=found.module,
        netlist=netlist,
        machine_text=found.machine_text,
        options=found.options,
        choices=attrs.evolve(found.choices, reasons=(name,)),
        numbers=found.numbers,
        activity=found.activity,
        activity_measured=found.activity_measured,
        shapes=found.shapes,
        source_sha256=found.source_sha256,
    )
    return report_html(changed, title=name, evaluation=evaluation_of(changed, name))


PAGES = {"schedule": schedule_page, "spiking": spiking_page}


class TestNames:
    @pytest.mark.parametrize("kind", PAGES)
    @given(name=NAMES)
    @settings(max_examples=12, deadline=None)
    def test_no_name_changes_what_the_page_is_made_of(self, kind: str, name: str) -> None:
        self.check(kind, name)

    @pytest.mark.parametrize("kind", PAGES)
    @pytest.mark.parametrize("name", HOSTILE)
    def test_names_that_look_like_markup_stay_text(self, kind: str, name: str) -> None:
        self.check(kind, name)

    def check(self, kind: str, name: str) -> None:
        found, usual = Parsed(PAGES[kind](name)), Parsed(PAGES[kind]("usual"))
        assert found.structure == usual.structure
        assert not found.others
        words = "".join(plain(name).split())
        assert words in "".join(found.text.split())

    @given(name=st.text(st.characters(), max_size=30))
    @example("\ud800")
    @settings(max_examples=100, deadline=None)
    def test_what_does_not_print_becomes_an_escape(self, name: str) -> None:
        shown = plain(name)
        assert all(letter.isprintable() or letter in "\n\xa0" for letter in shown)
        assert shown.encode("utf-8").decode("utf-8") == shown
        assert shown == name or not name.isprintable()


class TestPage:
    @pytest.fixture(params=PAGES)
    def page(self, request: pytest.FixtureRequest) -> Parsed:
        return Parsed(PAGES[request.param]("layer"))

    def test_every_element_is_closed(self, page: Parsed) -> None:
        assert not page.unclosed and not page.open

    def test_has_no_script_and_takes_nothing_from_elsewhere(self, page: Parsed) -> None:
        tags = {tag for tag, _ in page.elements}
        assert tags.isdisjoint({"script", "iframe", "object", "embed", "form", "img", "base"})
        assert {tag for tag, attributes in page.elements if "src" in attributes} == set()
        assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
        assert {href for href in page.values("href") if not href.startswith("#")} == {"data:,"}
        policies = [each["content"] for tag, each in page.elements if each.get("http-equiv")]
        assert policies == [POLICY]

    def test_every_link_leads_to_one_place(self, page: Parsed) -> None:
        ids = page.values("id")
        assert len(ids) == len(set(ids))
        assert {href[1:] for href in page.values("href") if href.startswith("#")} <= set(ids)

    def test_headings_are_in_order(self, page: Parsed) -> None:
        levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
        assert levels[0] == 1 and levels.count(1) == 1
        assert all(after <= before + 1 for before, after in pairwise(levels))

    def test_tables_and_drawings_say_what_they_are(self, page: Parsed) -> None:
        assert all("scope" in each for tag, each in page.elements if tag == "th")
        drawings = [each for tag, each in page.elements if tag == "svg"]
        assert drawings and all(each.get("role") and each.get("aria-label") for each in drawings)

    def test_every_layer_has_a_row_and_names_its_nodes(self) -> None:
        text = Parsed(report_html(schedule())).text
        for layer in schedule().program.layers:
            assert all(node in text for node in layer.split(" + "))


class TestReportHtml:
    def test_gives_the_same_text_again(self) -> None:
        for executable in (schedule(), spiking()):
            assert report_html(executable) == report_html(executable)

    def test_tells_its_stages(self) -> None:
        stages: list[str] = []
        report_html(schedule(), progress=stages.append)
        assert stages == ["times", "traffic", "drawings", "page"]

    def test_takes_samples_for_a_spiking_network_only(self) -> None:
        x = np.ones((4, 12), np.float32)
        assert "the given samples" in report_html(spiking(), inputs=[x])
        with pytest.raises(UsageError) as caught:
            report_html(schedule(), inputs=[x])
        assert caught.value.diagnostics[0].code == "SNC0664"

    def test_refuses_an_evaluation_of_another_network(self) -> None:
        with pytest.raises(UsageError) as caught:
            report_html(schedule(), evaluation=attrs.evolve(evaluation_of(schedule()), source_sha256="f" * 64))
        assert caught.value.diagnostics[0].code == "SNC0663"

    def test_writes_a_whole_file_or_none(self, tmp_path: Path) -> None:
        path = tmp_path / "report.html"
        schedule().report(path, title="net")
        assert path.read_text("utf-8") == report_html(schedule(), title="net")
        with pytest.raises(UsageError):
            write_report(schedule(), tmp_path / "other.html", sweep=tmp_path / "absent.csv")
        assert list(tmp_path.iterdir()) == [path]
