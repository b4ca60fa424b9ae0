"""What a wheel and a source distribution hold: the sources, all of them, and nothing that a build or a test left."""

import re
import tarfile
import tomllib
from email.message import Message
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest
import yaml
from wheels import ROOT, build, copy_sources, roots

#: What builds, tests and tools leave in a checkout.
LEFT = (
    "rtl/__pycache__/verilog.cpython-311.pyc",
    "rtl/libbench.so",
    "sim/obj_dir/Vbench.cpp",
    "sim/obj_dir/Vbench__ALL.o",
    "sim/dump.vcd",
    "sim/results.xml",
    "cli/.ruff_cache/content",
    "build/lib/tritforge/rtl/gone.py",
    "build/lib/tritforge/rtl/gone.v",
)
#: The READMEs of folders are for readers of the repository; a model's card goes with the model.
FOR_READERS = re.compile(r"tritforge/(?!.*/data/).*README\.md")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources in which builds and tests have been at work."""
    copy = copy_sources(tmp_path_factory.mktemp("sources"))
    for name in LEFT:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_text("left")
    return copy


@pytest.fixture(scope="module")
def wheel(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    return ZipFile(build("wheel", sources, tmp_path_factory.mktemp("wheels")))


@pytest.fixture(scope="module")
def metadata(wheel: ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def project() -> dict[str, object]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert isinstance(table, dict)
    return table


def test_it_holds_the_sources_and_nothing_else(wheel: ZipFile, sources: Path) -> None:
    """A module, a data file or a template that is missing fails as well as one that is left over."""
    held = {name for name in wheel.namelist() if ".dist-info/" not in name}
    paths = (path.relative_to(sources) for root in roots() for path in (sources / root).rglob("*"))
    names = {path.as_posix() for path in paths if (sources / path).is_file()} - set(LEFT)
    wanted = {f"tritforge/{name}" for name in names}
    assert held == {name for name in wanted if not FOR_READERS.fullmatch(name)}
    assert len(held) >= 250


def test_it_is_small_and_for_every_machine(wheel: ZipFile) -> None:
    assert Path(wheel.filename or "").name.endswith("-py3-none-any.whl")
    assert sum(entry.compress_size for entry in wheel.infolist()) < 2_000_000


def test_every_package_exports_its_types(wheel: ZipFile) -> None:
    """There is no file of the import name itself, so that every folder needs the marker."""
    assert {f"tritforge/{root}/py.typed" for root in roots()} <= set(wheel.namelist())


def test_no_two_packages_of_an_environment_can_clash(wheel: ZipFile) -> None:
    """Nothing is installed as `sim` or `energy`, nor as the module of the import name."""
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert len(tops) == 2
    assert "tritforge" in tops
    assert "tritforge/__init__.py" not in wheel.namelist()


def test_the_metadata_are_those_of_the_project(metadata: Message) -> None:
    assert metadata["Name"] == "tritforge"
    assert metadata["Version"] == project()["version"]
    assert metadata["License-Expression"] == "Apache-2.0"
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    assert set(metadata.get_all("Provides-Extra", [])) == set(extras)


def test_an_extra_brings_all_that_a_command_may_need() -> None:
    """But training, peers, the site and the tests."""
    extras = project()["optional-dependencies"]
    assert isinstance(extras, dict)
    (everything,) = extras["all"]
    named = set(re.findall(r"\w+", everything.partition("[")[2]))
    assert named == set(extras) - {"all", "dev", "docs", "external", "notebooks", "train"}


def test_the_source_distribution_builds_the_same_wheel(
    wheel: ZipFile, sources: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    archive = build("sdist", sources, tmp_path_factory.mktemp("sdist"))
    unpacked = tmp_path_factory.mktemp("unpacked")
    with tarfile.open(archive) as packed:
        packed.extractall(unpacked, filter="data")
    (folder,) = unpacked.iterdir()
    assert {"CITATION.cff", "CHANGELOG.md", "LICENSE"} <= {path.name for path in folder.iterdir()}
    again = ZipFile(build("wheel", folder, tmp_path_factory.mktemp("again")))
    assert set(again.namelist()) == set(wheel.namelist())
    assert {entry.CRC for entry in again.infolist()} == {entry.CRC for entry in wheel.infolist()}


def test_the_citation_is_complete_and_of_this_version() -> None:
    """Of Citation File Format 1.2.0: the keys that it demands, and what the project's metadata say, too."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["title"]
    assert citation["message"]
    assert citation["authors"] == [{"name": "The TritForge contributors"}]
    assert citation["type"] == "software"
    assert citation["version"] == project()["version"]
    assert citation["license"] == project()["license"]
    assert citation["keywords"] == project()["keywords"]


def test_the_changelog_begins_with_this_version() -> None:
    """Unreleased, or with the day of its release."""
    (first, *_) = re.findall(r"^## (\S+), (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert first[0] == project()["version"]
    assert re.fullmatch(r"unreleased|\d{4}-\d{2}-\d{2}", first[1])
