"""The HTML page: self-contained, well formed, the same every time; and the Markdown report."""

import re
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from tritforge.energy.html import render_page
from tritforge.energy.markdown import render_markdown, table
from tritforge.energy.report import report_hardware, report_model
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import find_shape

BITNET = find_shape("microsoft/bitnet-b1.58-2B-4T")
VOID = {"meta", "br", "img", "input", "link", "use", "path", "rect", "line"}


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(BITNET, Scenario(context=256))


class Elements(HTMLParser):
    """Notes the elements of a page, and that each is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.names: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "xlink:href"}]


def test_the_page_is_well_formed_and_loads_nothing(page: str) -> None:
    elements = Elements()
    elements.feed(page)
    assert elements.open == []
    assert elements.links
    assert all(link.startswith("#") or link == "data:," for link in elements.links)
    assert "script" not in elements.names
    assert "@import" not in page
    assert "url(http" not in page


def test_the_page_has_five_plots_in_the_colours_of_its_scheme(page: str) -> None:
    assert page.count("<svg") == page.count('<svg aria-label="') == page.count('role="img"') == 5
    assert "var(--ink)" in page.partition("<svg")[2]
    assert "light-dark(" in page
    assert "@media print" in page
    assert len(page) < 400_000


def test_no_identifier_is_there_twice(page: str) -> None:
    names = re.findall(r' id="([^"]+)"', page)
    assert names
    assert len(names) == len(set(names))


def test_the_page_says_what_it_shows_and_where_it_is_from(page: str) -> None:
    for heading in (
        "Where the energy goes",
        "Where the 71.4x goes",
        "Energy against context",
        "Tokens a joule",
        "Sources",
    ):
        assert f"<h2>{heading}</h2>" in page
    assert "Energy of microsoft/bitnet-b1.58-2B-4T" in page
    assert "arXiv:2310.11453v1 Table 2" in page
    assert "any/dram.LPDDR4" in page
    assert "control, clock tree, leakage" in page


def test_the_same_model_gives_the_same_page(page: str) -> None:
    assert render_page(BITNET, Scenario(context=256)) == page


def test_markdown_has_totals_parts_steps_and_rows() -> None:
    reports = (report_model(BITNET, 512), report_hardware(BITNET))
    text = render_markdown(reports)
    assert "## microsoft/bitnet-b1.58-2B-4T: paper accounting" in text
    assert "## microsoft/bitnet-b1.58-2B-4T: hardware accounting" in text
    assert "| one operation | 0.007 pJ | 0.500 pJ | 71.43x |" in text
    assert "- any/dram.LPDDR4 = 8 (8 to 14) pJ/bit" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    for heading, rule in pairwise(rows):
        if rule.startswith("|---"):
            assert heading.count("|") == rule.count("|")


def test_what_a_shape_does_not_say_stands_in_the_report() -> None:
    text = render_markdown([report_hardware(find_shape("bitnet-b1.58-figure3-3B"))])
    assert "- Note: vocab_size is unknown; LM head and embedding are not counted" in text


def test_a_bar_in_a_cell_does_not_end_it() -> None:
    assert table(["a", "b"], [["x|y", "1"]])[-1] == "| x\\|y | 1 |"
