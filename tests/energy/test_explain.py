"""Every number of a report is followed to its formula, counts, row and source."""

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.accounting import paper_energy
from tritforge.energy.explain import cells, explain
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import default_technology
from tritforge.models.shapes import find_shape

BITNET = find_shape("microsoft/bitnet-b1.58-2B-4T")


def test_a_cell_shows_formula_count_row_source_and_energy() -> None:
    lines = explain(hardware_energy(BITNET, Scenario()), "lm_head/fp16.mul")
    assert lines[0] == (
        "microsoft/bitnet-b1.58-2B-4T, ternary matrices: prefill of 512 tokens, batch 1, at 7nm, "
        "hardware accounting"
    )
    assert "  V = 128,256: vocabulary" in lines
    assert lines[lines.index("lm_head/fp16.mul:") :] == [
        "lm_head/fp16.mul:",
        "  Z V h = 328,335,360",
        "  row 7nm/fp16.mul = 0.34 pJ/op, published: arXiv:2310.11453v1 Table 2 [verified]",
        f"  note: {default_technology().row('7nm', 'fp16.mul').note}",
        "  328,335,360 operations x 3.4e-13 J = 111.6 µJ",
    ]


def test_a_count_of_several_formulas_shows_each_and_their_sum() -> None:
    lines = explain(hardware_energy(BITNET, Scenario()), "matrices/int9.add")
    terms = [line for line in lines if line.startswith("  i R x adders of level 1, ")]
    assert [term.partition(" = ")[0].rpartition(", ")[2] for term in terms] == [
        "60 of 2560 x 2560",
        "60 of 2560 x 640",
        "60 of 2560 x 6912",
        "30 of 6912 x 2560",
    ]
    total = sum(int(term.rpartition(" = ")[2].replace(",", "")) for term in terms)
    assert f"  together {total:,} operations" in lines
    assert total == 512 * 30 * 256 * ((2 * 320 + 2 * 80 + 2 * 864) * 40 + 320 * 108)


def test_a_derived_constant_shows_its_rule_and_what_it_comes_from() -> None:
    text = "\n".join(explain(hardware_energy(BITNET, Scenario()), "accumulators"))
    assert "row 7nm/int22.add = 0.0204167 (0.01925 to 0.020625) pJ/op, derived: linear in the width" in text
    assert "7nm/int8.add = 0.007 pJ/op, arXiv:2310.11453v1 Table 2" in text


@pytest.mark.parametrize("arithmetic", ["ternary", "fp16", "int8"])
@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_every_cell_can_be_explained(phase: str, arithmetic: str) -> None:
    scenario = Scenario(phase=phase, attention="int8", kv_bits=4)
    result = hardware_energy(BITNET, scenario, arithmetic=arithmetic)
    for cell in cells(result):
        lines = explain(result, cell)
        assert sum(line.startswith("  row ") for line in lines) >= 1, cell
    everything = explain(result, "all")
    assert sum(line.startswith("  row ") for line in everything) == len(result.components)
    assert everything[-1].startswith("total of all: ")


def test_the_paper_accounting_is_explained_too() -> None:
    lines = explain(paper_energy(BITNET, 512), "all")
    assert "  S = 512: positions of the sequence" in lines
    assert any(line.startswith("  L sum over matrices of S (n - 1) p = ") for line in lines)
    assert any(line.startswith("  2 L H S S (d - 1) = ") for line in lines)


def test_an_unknown_cell_lists_what_there_is() -> None:
    with pytest.raises(InputError) as caught:
        explain(paper_energy(BITNET, 512), "memory")
    assert str(caught.value) == (
        "'memory' is no cell of the paper accounting with ternary matrices; it has all, linears, scaling, "
        "attention, and PART/OPERATION"
    )
