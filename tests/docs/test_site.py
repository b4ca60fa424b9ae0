"""The documentation site is built without the network and without a warning, and every link of it leads somewhere."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from doc_commands import ROOT
from doc_commands import pages as doc_pages

from tritforge.sim.simulator import locked

#: Attributes that make a browser fetch something, by element.
FETCHED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src", "video": "src"}
#: Relations of a link element that fetch nothing.
NOT_FETCHED = {"canonical", "next", "prev"}
#: Pages that hold tables which another test holds to their scripts.
PAGES_AT_LEAST = 200


@dataclass
class Page(HTMLParser):
    """What a page fetches, where it leads, and the places in it that can be led to."""

    links: list[str] = field(default_factory=list)
    fetches: list[str] = field(default_factory=list)
    places: set[str] = field(default_factory=set)
    without_text: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.places |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"] or "")
        if tag in FETCHED and given.get(FETCHED[tag]) and given.get("rel") not in NOT_FETCHED:
            self.fetches.append(given[FETCHED[tag]] or "")
        if tag == "img" and not given.get("alt"):
            self.without_text.append(given.get("src") or "")


def build(folder: Path) -> None:
    """Build the site; MkDocs ends with an error at a warning (`strict` in mkdocs.yml)."""
    # A proxy that is not there: what asks for the network fails.
    closed = {
        "http_proxy": "http://127.0.0.1:9",
        "https_proxy": "http://127.0.0.1:9",
        "NO_MKDOCS_2_WARNING": "1",
    }
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | closed, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def site(simulators: Path) -> Path:
    """The built site, which all of this run's processes share."""
    folder = simulators.parent / "site"
    with locked(simulators.parent / "site.lock"):
        if not folder.exists():
            build(folder.with_name("site.partial"))
            folder.with_name("site.partial").rename(folder)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    found = {}
    for path in site.rglob("*.html"):
        found[path] = Page()
        found[path].feed(path.read_text())
    return found


def inside(pages: dict[Path, Page], site: Path) -> Iterator[tuple[Path, str, Path, str]]:
    """Yield page, address, file and place of every address that leads into the site."""
    for path, page in pages.items():
        for address in {*page.links, *page.fetches}:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            # The page of missing addresses is shown anywhere, so its own begin at the root.
            base = site if parts.path.startswith("/") else path.parent
            target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
            yield path, address, target / "index.html" if target.is_dir() else target, unquote(parts.fragment)


def test_every_page_is_there(pages: dict[Path, Page], site: Path) -> None:
    names = {path.relative_to(site).as_posix() for path in pages}
    assert names >= {"index.html", "commands.html", "changelog.html", "api/accel/config.html"}
    assert len(names) >= PAGES_AT_LEAST


def test_every_link_leads_to_a_page_and_a_place(pages: dict[Path, Page], site: Path) -> None:
    broken = [
        f"{path.relative_to(site)}: {address}"
        for path, address, target, place in inside(pages, site)
        if not target.is_file() or (place and target in pages and place not in pages[target].places)
    ]
    assert not broken, "\n".join(broken)


def test_no_page_fetches_anything_from_elsewhere(pages: dict[Path, Page], site: Path) -> None:
    """No web fonts, no scripts of others: a page works without a network."""
    remote = {address for page in pages.values() for address in page.fetches if urlsplit(address).netloc}
    assert remote == set()
    for sheet in site.rglob("*.css"):
        assert not re.search(r"url\(\s*['\"]?(?:https?:)?//|@import", sheet.read_text()), sheet


def test_every_picture_has_a_text(pages: dict[Path, Page]) -> None:
    assert [source for page in pages.values() for source in page.without_text] == []


def test_every_command_and_every_module_has_its_help(site: Path) -> None:
    """In the generated pages: a new one cannot be forgotten."""
    from tritforge.cli.main import COMMANDS

    page = (site / "commands.html").read_text()
    for name in COMMANDS:
        assert f">tritforge {name}" in page
    for folder in ("accel", "models", "sim", "energy", "rtl", "explore", "report"):
        for path in (ROOT / folder).glob("[a-z]*.py"):
            assert (site / "api" / folder / f"{path.stem}.html").is_file(), path


def test_every_file_that_a_page_names_exists() -> None:
    """Code spans such as `tests/formal/test_axi.py`; what is made by a command lies under `build/`."""
    pattern = re.compile(
        r"`((?:accel|benchmarks|cli|docs|energy|explore|models|report|rtl|sim|tests)/[\w/.-]+\.\w+)`"
    )
    named = {(page.name, name) for page in doc_pages() for name in pattern.findall(page.read_text())}
    assert len(named) >= 40
    elsewhere = {"docs/gguf.md", "docs/overview.md"}  # of other projects, which the pages name with them
    missing = {(page, name) for page, name in named if not (ROOT / name).exists() and name not in elsewhere}
    assert missing == set()


def test_every_link_of_the_readme_leads_to_a_file() -> None:
    """The site does not have this page."""
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", (ROOT / "README.md").read_text())
    assert len(links) >= 10
    assert [link for link in links if "://" not in link and not (ROOT / link).is_file()] == []


def test_every_figure_of_the_pages_is_that_of_its_script() -> None:
    command = [sys.executable, "docs/_figures", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
