"""The page in a real browser: Chromium without a window, told what to do over a pipe (`tests/support/browser.py`)."""

import re
from collections.abc import Iterator
from pathlib import Path
from struct import unpack

import pytest
from browser import MISSING, Browser, find_browser

from tritforge.accel.presets import PRESETS
from tritforge.report.page import SECTIONS, render
from tritforge.report.results import compute
from tritforge.report.subject import Subject

TAB, SPACE, RIGHT = ("Tab", 9), (" ", 32), ("ArrowRight", 39)
GROUND = "getComputedStyle(document.body).backgroundColor"
INK = "getComputedStyle(document.querySelector('figure svg text')).fill"
FOCUSED = (
    "(e => e.id || e.getAttribute('aria-labelledby') || e.getAttribute('href') || e.tagName)"
    "(document.activeElement)"
)
PROGRAM = find_browser()

pytestmark = pytest.mark.skipif(PROGRAM is None, reason=MISSING)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(render(compute(Subject.of("austen", PRESETS["ulx3s"], config_name="ulx3s"))))
    return path


@pytest.fixture(scope="module")
def program() -> Iterator[Browser]:
    assert PROGRAM is not None
    with Browser(PROGRAM) as opened:
        yield opened


@pytest.fixture
def browser(program: Browser, page: Path) -> Browser:
    """The browser, with the page just loaded on a light screen of usual width."""
    program.emulate(prefers_color_scheme="light")
    program.resize(1100, 900)
    program.open(page)
    return program


def test_it_renders_without_a_complaint_and_asks_for_nothing_but_its_file(
    browser: Browser, page: Path
) -> None:
    assert browser.evaluate("document.title") == "austen on ulx3s"
    # A request or a complaint that comes late comes before this picture.
    picture = browser.screenshot()
    assert unpack(">II", picture[16:24]) == (1100, 900)
    assert len(picture) > 20_000
    assert browser.complaints == []
    assert browser.requests == [page.as_uri()]
    drawn = "[...document.querySelectorAll('figure svg')].every(e => e.getBoundingClientRect().height > 100)"
    assert browser.evaluate(drawn)


def test_it_follows_the_system_and_its_switch(browser: Browser) -> None:
    light = browser.evaluate(GROUND), browser.evaluate(INK)
    assert light[0] == "rgb(255, 255, 255)"
    browser.emulate(prefers_color_scheme="dark")
    dark = browser.evaluate(GROUND), browser.evaluate(INK)
    assert all(a != b for a, b in zip(light, dark, strict=True))
    # By keyboard: behind the link that skips, a group of three; arrows choose in it.
    for key in (TAB, TAB):
        browser.press(*key)
    assert browser.evaluate(FOCUSED) == "scheme-system"
    browser.press(*RIGHT)
    assert browser.evaluate(FOCUSED) == "scheme-light"
    assert (browser.evaluate(GROUND), browser.evaluate(INK)) == light
    browser.press(*RIGHT)
    browser.emulate(prefers_color_scheme="light")
    assert (browser.evaluate(GROUND), browser.evaluate(INK)) == dark


def test_all_that_scrolls_or_opens_is_reached_by_keyboard(browser: Browser) -> None:
    wanted = browser.evaluate("document.querySelectorAll('a[href], summary, [tabindex=\"0\"]').length")
    found: list[str] = []
    for _ in range(wanted + 1):
        browser.press(*TAB)
        found.append(browser.evaluate(FOCUSED))
    assert found[:2] == ["#content", "scheme-system"]
    assert found[2 : 2 + len(SECTIONS)] == [f"#{name}" for name, _, _ in SECTIONS]
    tables = browser.evaluate("[...document.querySelectorAll('details:not([open]) caption')].map(e => e.id)")
    shown = browser.evaluate("[...document.querySelectorAll('caption')].map(e => e.id)")
    assert [name for name in found if name.startswith("t-")] == [name for name in shown if name not in tables]
    assert found.count("SUMMARY") == browser.evaluate("document.querySelectorAll('summary').length") >= 3


def test_a_fold_opens_by_keyboard(browser: Browser) -> None:
    browser.evaluate("document.querySelector('summary').focus()")
    assert browser.evaluate("document.querySelector('details').open") is False
    browser.press(*SPACE)
    assert browser.evaluate("document.querySelector('details').open") is True


def test_assistive_programs_are_told_what_plots_and_tables_are(browser: Browser) -> None:
    told = browser.names()
    drawings = [name for role, name in told if role in {"image", "img"}]
    assert len(drawings) == 5
    assert any(name.startswith("Block diagram of the accelerator") for name in drawings)
    for start in (
        "Share of the cycles",
        "Roofline of the array",
        "Energy of a token by part",
        "Memory of the parameters",
    ):
        assert sum(name.startswith(start) for name in drawings) == 1
    headings = [name for role, name in told if role == "heading"]
    assert [name for name in headings if name in {heading for _, heading, _ in SECTIONS}] == [
        heading for _, heading, _ in SECTIONS
    ]
    assert {name for role, name in told if role == "radio"} == {"System", "Light", "Dark"}
    assert all(name for role, name in told if role in {"table", "region", "columnheader"})


@pytest.mark.parametrize("width", [320, 400, 800])
def test_a_narrow_screen_scrolls_tables_and_not_the_page(browser: Browser, width: int) -> None:
    browser.resize(width, 800)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width


def test_on_paper_all_sections_are_there_on_light_ground_and_nothing_is_cut(browser: Browser) -> None:
    light = browser.evaluate(INK)
    browser.emulate(prefers_color_scheme="dark")
    made = browser.pdf()
    assert made.startswith(b"%PDF-")
    for _, heading, _ in SECTIONS:
        assert f"({heading})".encode() in made, heading
    assert len(re.findall(rb"/Type\s*/Page\b", made)) >= 5
    # As it is laid out for paper of A4: folds are open, nothing is wider than the sheet, the ground is light.
    browser.resize(690, 900)
    browser.emulate("print", prefers_color_scheme="dark")
    try:
        assert (browser.evaluate(GROUND), browser.evaluate(INK)) == ("rgb(255, 255, 255)", light)
        assert browser.evaluate(
            "[...document.querySelectorAll('details table')].every(e => e.checkVisibility())"
        )
        assert browser.evaluate("document.documentElement.scrollWidth") <= 690
        drawn = "[...document.querySelectorAll('table, svg')]"
        wide = f"{drawn}.filter(e => e.getBoundingClientRect().right > 691).length"
        assert browser.evaluate(wide) == 0
    finally:
        browser.emulate()
