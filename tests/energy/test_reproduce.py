"""Every published figure beside its computed value, with the verdict on record."""

import csv
from collections import Counter
from dataclasses import replace
from io import StringIO

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.published import VERDICTS, PublishedFigure, compute, judge, published_figures
from tritforge.energy.reproduce import (
    ENERGY_NEEDED,
    PAPERS,
    Reproduction,
    find_paper,
    format_values,
    reproduce,
    summary,
    to_csv,
    to_markdown,
)


@pytest.fixture(scope="module")
def everything() -> Reproduction:
    return reproduce()


@pytest.mark.parametrize("figure", published_figures(), ids=lambda figure: figure.title)
def test_every_figure_has_the_verdict_on_record(figure: PublishedFigure) -> None:
    assert judge(figure, compute(figure)) == figure.expected


def test_the_figures_of_each_paper_are_all_there() -> None:
    counts = Counter((figure.paper.removeprefix("arXiv:"), figure.figure) for figure in published_figures())
    assert counts == {
        ("2402.17764", "Table 1"): 7,
        ("2402.17764", "Figure 2"): 15,
        ("2402.17764", "Figure 3 left"): 3,
        ("2402.17764", "Figure 3"): 16,
        ("2402.17764", "Table 3"): 3,
        ("2402.17764", "Claims"): 9,
        ("2310.11453", "Figure 1"): 8,
        ("2310.11453", "Table 1"): 36,
        ("2310.11453", "Table 2"): 12,
        ("2504.12285", "Table 1"): 12,
        ("2407.12327", "Table 4"): 18,
    }
    assert {figure.paper for figure in published_figures()} == {paper.key for paper in PAPERS}


def test_63_of_65_energy_figures_are_met(everything: Reproduction) -> None:
    assert everything.energies == (63, 65)
    assert everything.energies[0] >= ENERGY_NEEDED
    assert everything.ok


def test_what_fails_is_one_claim_and_two_last_digits(everything: Reproduction) -> None:
    failing = {entry.figure.title: entry for entry in everything.comparisons if entry.verdict == "fails"}
    claim = "arXiv:2402.17764 Claims, BitNet b1.58 70B below FP16 13B, latency"
    assert set(failing) == {
        claim,
        "arXiv:2310.11453 Table 1, BitNet W1A8 6.7B 7nm ADD",
        "arXiv:2310.11453 Table 1, BitNet W1A8 30B 7nm ADD",
    }
    assert failing[claim].computed == pytest.approx(19.236 / 16.606)
    for title, entry in failing.items():
        if title != claim:
            # One unit of the last digit too high, so close that no other formula is needed.
            assert 0 < entry.figure.value - entry.computed < 0.01


def test_the_spectra_rows_are_met_in_every_digit(everything: Reproduction) -> None:
    spectra = everything.of(find_paper("spectra"))
    assert {entry.verdict for entry in spectra} == {"exact"}


def test_what_was_not_read_in_a_source_is_said(everything: Reproduction) -> None:
    said = {paper.short: everything.reservations(paper)[1:] for paper in PAPERS}
    figure_3 = ", ".join(f"bitnet-b1.58-figure3-{size}" for size in ("7B", "13B", "70B", "1.3B", "3B"))
    assert said == {
        "b1.58": [f"Shapes deduced from published figures that it reproduces: {figure_3}."],
        "bitnet-v1": [],
        "2b4t": [
            "Figures read in a secondary copy.",
            (
                "Shapes recalled, not read in a source: LLaMA 3.2 1B, Gemma-3 1B, Qwen2.5 1.5B, SmolLM2 1.7B, "
                "MiniCPM 2B."
            ),
        ],
        "spectra": [],
    }


def test_a_recalled_shape_enters_with_its_mark() -> None:
    assert {figure.status for figure in published_figures() if figure.paper == "arXiv:2504.12285"} == {
        "secondary"
    }
    assert all(figure.source for figure in published_figures())


@pytest.mark.parametrize("name", ["b1.58", "B1.58", "2402.17764", "arXiv:2402.17764"])
def test_a_paper_is_found_by_its_names(name: str) -> None:
    assert find_paper(name) is PAPERS[0]
    assert {entry.figure.paper for entry in reproduce(name).comparisons} == {"arXiv:2402.17764"}


def test_an_unknown_paper_is_named() -> None:
    with pytest.raises(InputError) as caught:
        reproduce("attention")
    assert str(caught.value) == (
        "no paper is called 'attention'; there are b1.58 (2402.17764), bitnet-v1 (2310.11453), "
        "2b4t (2504.12285), spectra (2407.12327)"
    )


def test_a_verdict_that_is_not_on_record_is_an_unexpected_one(everything: Reproduction) -> None:
    """Better than on record is unexpected too: then the record is out of date."""
    first = everything.comparisons[0]
    for expected in ("exact", "fails"):
        changed = replace(first, figure=replace(first.figure, expected=expected))
        result = replace(everything, comparisons=(changed, *everything.comparisons[1:]))
        assert result.unexpected == (changed,)
        assert not result.ok
        assert summary(result)[-1] == (
            f"Not as on record: arXiv:2402.17764 Table 1, memory LLaMA 700M: fit, on record {expected}."
        )


def test_too_few_energies_are_not_ok_even_when_on_record(everything: Reproduction) -> None:
    def worse(entry_number: int) -> Reproduction:
        entries = list(everything.comparisons)
        energies = [
            i for i, entry in enumerate(entries) if entry.figure.is_energy and entry.verdict == "exact"
        ]
        for index in energies[:entry_number]:
            figure = replace(entries[index].figure, expected="fails")
            entries[index] = replace(entries[index], figure=figure, verdict="fails")
        return replace(everything, comparisons=tuple(entries))

    assert worse(0).ok
    assert worse(1).unexpected == ()
    assert not worse(1).ok


def test_the_document_has_the_keys_that_scripts_rely_on(everything: Reproduction) -> None:
    document = everything.to_dict()
    assert document["ok"] is True
    assert document["energy"] == {"met": 63, "of": 65}
    assert document["unexpected"] == []
    assert sum(document["verdicts"].values()) == len(document["figures"]) == 139
    for figure in document["figures"]:
        assert {
            "paper",
            "figure",
            "row",
            "unit",
            "published",
            "computed",
            "relative_error",
            "verdict",
        } <= set(figure)
        assert figure["relative_error"] == pytest.approx(figure["computed"] / figure["published"] - 1)
        assert figure["verdict"] in VERDICTS


def test_values_are_written_with_two_digits_more_than_published(everything: Reproduction) -> None:
    written = {entry.figure.title: format_values(entry) for entry in everything.comparisons}
    assert written["arXiv:2402.17764 Figure 3, energy ratio 13B"] == ("32.9 x (cut)", "32.982 x", "+0.25%")
    assert written["arXiv:2402.17764 Table 3, batch LLaMA 70B"] == ("16 sequences", "16 sequences", "+0.00%")
    claim = "arXiv:2402.17764 Claims, BitNet b1.58 70B below FP16 13B, latency"
    assert written[claim] == ("below 1 x", "1.158 x", "+15.84%")


def test_the_summary_says_what_fails_and_why(everything: Reproduction) -> None:
    lines = summary(everything)
    assert lines[0] == "139 figures: 104 exact, 3 rounding, 29 fit, 3 fails."
    assert lines[1] == "63 of 65 energy figures are exact or within rounding."
    assert lines[2] == (
        "Fails: arXiv:2402.17764 Claims, BitNet b1.58 70B below FP16 13B, latency: published below 1 x, "
        "computed 1.158 x (fails on the paper's own curve: 19.236 ms against 16.606 ms)."
    )
    assert len(lines) == 5
    assert summary(reproduce("spectra")) == ["18 figures: 18 exact, 0 rounding, 0 fit, 0 fails."]


def test_markdown_has_a_row_for_every_figure(everything: Reproduction) -> None:
    text = to_markdown(everything)
    rows = [line for line in text.splitlines() if line.startswith("| ") and not line.startswith("| row ")]
    assert len(rows) == 139
    assert all(line.count(" | ") == 5 for line in rows)
    assert "| energy ratio 13B | 32.9 x (cut) | 32.982 x | +0.25% | exact | label |" in rows
    for paper in PAPERS:
        assert f"## {paper.title} ({paper.key})" in text
    assert "- workspace = 291000 byte per hidden unit, fitted: " in text


def test_csv_reads_back(everything: Reproduction) -> None:
    rows = list(csv.DictReader(StringIO(to_csv(everything))))
    assert len(rows) == 139
    assert [row["verdict"] for row in rows] == [entry.verdict for entry in everything.comparisons]
    assert [float(row["computed"]) for row in rows] == [entry.computed for entry in everything.comparisons]
