"""The page: complete, self-contained, the same every time, and honest about what was measured and run."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from shlex import split

import click
import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.cli.main import cli
from tritforge.report import sections_cost, sections_speed
from tritforge.report.page import SECTIONS, render
from tritforge.report.results import Results, compute
from tritforge.report.subject import Subject
from tritforge.report.verification import Verification
from tritforge.sim.comparison import MatrixResult

LIST = {
    "jobs": 2,
    "words": 10,
    "words_expected": 10,
    "mismatches": 0,
    "cycles": 99,
    "predicted_cycles": 99,
    "timed_out": False,
    "error": 0,
    "on_time": True,
}
PART = MatrixResult(
    name="self_attn.q_proj",
    m=32,
    k=64,
    tokens=2,
    words_compared=64,
    words_received=64,
    words_expected=64,
    mismatches=0,
    cycles=70,
    predicted_cycles=70,
    utilisation=0.5,
    timed_out=False,
    error=0,
    first=None,
)


def results(config: AcceleratorConfig | None = None, model: str = "austen", **options: object) -> Results:
    return compute(Subject.of(model, config or AcceleratorConfig(), **options))


def verified(mismatches: int = 0) -> Verification:
    return Verification(
        seed=7,
        verilog_sha256="ab" * 32,
        lists=(LIST,),
        operands="weights of austen",
        slices=(replace(PART, mismatches=mismatches),),
        whole={"self_attn.q_proj": (256, 256)},
    )


@pytest.fixture(scope="module")
def plain() -> Results:
    return results()


@pytest.fixture(scope="module")
def page(plain: Results) -> str:
    return render(plain)


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the plots out, which take most of a page's time."""

    def plot(draw: object, name: str, alternative: str, caption: str) -> str:
        return f"<figure>{name}: {alternative} {caption}</figure>"

    for module in (sections_cost, sections_speed):
        monkeypatch.setattr(module, "plot", plot)


class Structure(HTMLParser):
    """Notes headings, tables, drawings, identifiers and addresses."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.names: list[str] = []
        self.ids: list[str] = []
        self.addresses: list[str] = []
        self.within: list[str] = []
        self.scopes: list[str | None] = []
        self.drawings: list[dict[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names.append(tag)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.addresses += [given[name] or "" for name in ("href", "src", "xlink:href") if name in given]
        if re.fullmatch(r"h[1-6]", tag):
            self.headings.append(int(tag[1]))
        if tag == "th":
            self.scopes.append(given.get("scope"))
        if tag == "svg":
            self.drawings.append(given)


def test_it_loads_nothing_and_holds_no_script(page: str) -> None:
    found = Structure(page)
    assert "script" not in found.names
    assert all(address.startswith("#") or address == "data:," for address in found.addresses)
    assert not re.search(r"@import|url\((?!#)", page)
    assert not re.search(r"\son\w+=", page)
    assert len(page) < 500_000


def test_it_has_every_section_and_its_links_lead_there(page: str) -> None:
    found = Structure(page)
    for name, heading, _ in SECTIONS:
        assert f'<h2 id="{name}">{heading}</h2>' in page
        assert f"#{name}" in found.addresses
    assert all(address[1:] in found.ids for address in found.addresses if address.startswith("#"))
    assert len(found.ids) == len(set(found.ids))


def test_headings_are_in_order_tables_have_captions_and_drawings_texts(page: str) -> None:
    found = Structure(page)
    assert found.headings[0] == 1
    assert found.headings.count(1) == 1
    assert all(below <= above + 1 for above, below in pairwise(found.headings))
    assert found.names.count("table") == found.names.count("caption") >= 8
    assert set(found.scopes) == {"col", "row"}
    assert len(found.drawings) == 5
    for drawing in found.drawings:
        assert drawing["role"] == "img"
        assert len(drawing.get("aria-label") or "") > 60 or drawing.get("aria-labelledby")


def test_the_same_results_give_the_same_page(page: str) -> None:
    assert render(results()) == page


def test_another_context_gives_another_page(undrawn: None) -> None:
    assert render(results(context=513)) != render(results())


def test_what_a_memory_allows_is_in_the_data_too() -> None:
    slow = results(bandwidth_gbs=0.01, context=1).to_dict()["cycles"]
    for phase in slow:
        assert phase["memory_tokens_per_second"] == pytest.approx(0.01e9 / phase["weight_bytes"])
        assert phase["memory_tokens_per_second"] < phase["tokens_per_second"]


def test_a_prompt_of_one_token_lies_with_decode(undrawn: None) -> None:
    assert "and decode, whose blocks are as small, with it." in render(results(context=1))
    assert "decode further left." in render(results())


def test_measured_and_estimated_are_told_apart(page: str, undrawn: None) -> None:
    assert '<span class="tag">measured</span> stream core alone' in page
    assert '<span class="tag">estimated</span>' in page
    own = render(results(AcceleratorConfig(lanes=32)))
    assert '<span class="tag">measured</span>' not in own
    assert "Nothing is measured on record" in own
    assert "the two are not to be held against each other" in render(results(PRESETS["ulx3s"]))
    assert "The measured counts are of the netlist before packing" in page
    assert "before packing" not in render(results(PRESETS["ecp5-3072"]))
    assert "</span> 1BitSquared iCEBreaker (iCE40UP5K)" in render(results(PRESETS["icebreaker"]))
    xilinx = AcceleratorConfig(datapath="fused", target="xilinx", negation="carry")
    assert "No estimate:" in render(results(xilinx))


def test_without_verification_it_says_that_nothing_was_run(plain: Results, page: str) -> None:
    assert "Nothing was run for this page" in page
    assert "Equal:" not in page
    assert plain.to_dict()["verification"] is None
    assert plain.summary().endswith("nothing simulated")


def test_what_was_run_stands_with_its_seed(plain: Results, undrawn: None) -> None:
    checked = plain.with_verification(verified())
    text = render(checked)
    assert checked.ok
    assert "Equal: all 74 words bit for bit, and all 169 cycles as predicted (seed 7)." in text
    assert "32 × 64 of 256 × 256" in text
    assert "--seed 7" in text
    assert "Nothing was run" not in text
    assert checked.to_dict()["verification"]["words_compared"] == 74


def test_what_was_not_simulated_is_named(undrawn: None) -> None:
    text = render(results(PRESETS["ulx3s"]).with_verification(verified()))
    assert "not the stores, the registers and the host link" in text
    text = render(results(AcceleratorConfig(sparse=True)).with_verification(verified()))
    assert "Sparse jobs were not run." in text


def test_a_word_that_differs_is_told_as_such(plain: Results, undrawn: None) -> None:
    checked = plain.with_verification(verified(mismatches=1))
    text = render(checked)
    assert not checked.ok
    assert "NOT EQUAL: 1 of 74 words differ; 0 of 1 lists of jobs and 1 of 1 matrices fail" in text
    assert "Equal: all" not in text
    assert "NOT EQUAL" in checked.summary()
    assert checked.to_dict()["ok"] is False


@pytest.mark.parametrize("settings", [(), ("lanes=32", "packing=s8")])
def test_every_command_on_it_can_be_typed(settings: tuple[str, ...], undrawn: None) -> None:
    """Names, options and values are those of the commands; they are not run."""
    config = PRESETS["default"] if not settings else AcceleratorConfig(lanes=32, packing="s8")
    text = render(
        results(config, settings=settings, clock_mhz=120.0, bandwidth_gbs=3.0, dram="HBM2", kv_bits=8)
    )
    commands = [
        line
        for block in re.findall(r"<pre><code>(.*?)</code>", text, re.DOTALL)
        for line in block.split("\n")
    ]
    typed = [split(line.replace("&#x27;", "'")) for line in commands if line.startswith("tritforge ")]
    assert len(typed) >= 7
    for _, *words in typed:
        command: click.Command = cli
        context = click.Context(cli)
        while isinstance(command, click.Group):
            found = command.get_command(context, words.pop(0))
            assert found is not None
            command = found
        command.make_context(command.name, words)


@pytest.mark.parametrize("model", ["mistralai/Mixtral-8x7B-v0.1", "bitnet-b1.58-figure3-3B"])
def test_models_of_other_kinds_have_a_page(model: str) -> None:
    text = render(results(model=model))
    assert "nan" not in re.sub(r"<[^>]*>", " ", text).split()
    assert Structure(text).names.count("section") == len(SECTIONS)
