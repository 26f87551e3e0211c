"""The page in a real browser: nothing is asked for or complained about, all fits the window, links work."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from snc.compiler.report.page import report_html

from .browser import Page, chromium, open_page
from .pages import HOSTILE, compiled_for, spiking
from .test_page import PAGES

pytestmark = pytest.mark.skipif(chromium() is None, reason="there is no Chromium on this machine")

NAME = "".join(HOSTILE).replace("+", "")


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_page(tmp_path_factory.mktemp("profile")) as page:
        yield page


@pytest.fixture(scope="module", params=PAGES)
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(PAGES[request.param](NAME), "utf-8")
    return path


class TestReport:
    @pytest.mark.parametrize("dark", [False, True])
    @pytest.mark.parametrize("width", [1280, 400])
    def test_opens_in_peace_and_fits_the_window(self, browser: Page, report: Path, width: int, dark: bool) -> None:
        browser.events.clear()
        browser.resize(width, 900, dark=dark)
        browser.open(report.as_uri())
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("document.scripts.length") == 0
        assert not browser.complaints()
        assert set(browser.requests()) == {report.as_uri()}

    @pytest.mark.parametrize("width", [1280, 400])
    @pytest.mark.parametrize("machine", ["spinn2-2020", "spinn2-chip", "spinn5"])
    def test_text_of_drawings_can_be_read(self, browser: Page, tmp_path: Path, machine: str, width: int) -> None:
        path = tmp_path / "report.html"
        compiled_for(machine).report(path)
        browser.resize(width, 900)
        browser.open(path.as_uri())
        texts = "[...document.querySelectorAll('svg text')]"
        heights = browser.evaluate(f"{texts}.map(e => e.getBoundingClientRect().height)")
        # A line of text is some 1.15 times as high as its letters are called: 9 pixels are still read.
        assert min(heights) >= 9 * 1.1

    def test_a_tile_leads_to_its_layer(self, browser: Page, report: Path) -> None:
        browser.resize(1280, 900)
        browser.open(report.as_uri())
        link = "document.querySelector('#machine svg a')"
        browser.evaluate(f"{link}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        corner = browser.evaluate(
            f"(r => [r.x + r.width / 2, r.y + r.height / 2])({link}.firstElementChild.tagName == 'title' "
            f"? {link}.querySelector('circle').getBoundingClientRect() : {link}.getBoundingClientRect())"
        )
        anchor = browser.evaluate(f"{link}.getAttribute('href')")
        browser.click(*corner)
        assert anchor.startswith("#layer-")
        assert browser.evaluate("location.hash") == anchor
        assert browser.evaluate("document.querySelector('tr:target').id") == anchor[1:]
        assert browser.evaluate("document.querySelector('tr:target .nodes').textContent.length") > 0

    def test_a_link_into_a_closed_part_opens_it(self, browser: Page, report: Path) -> None:
        browser.open(report.as_uri())
        for link in browser.evaluate("[...document.querySelectorAll('a[href^=\"#closer-\"]')].map(e => e.hash)")[:1]:
            browser.evaluate(f"location.hash = '{link}'")
            assert browser.evaluate("document.querySelector('details:target') != null")

    def test_prints_on_pages(self, browser: Page, tmp_path: Path) -> None:
        path = tmp_path / "spikes.html"
        path.write_text(report_html(spiking()), "utf-8")
        browser.open(path.as_uri())
        assert len(browser.call("Page.printToPDF", printBackground=True)["data"]) > 10_000
