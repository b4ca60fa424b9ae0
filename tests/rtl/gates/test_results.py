"""What follows from measurements: energies of operations, ratios, technology rows."""

import pytest
from gate_records import measurement, record

from tritforge.rtl.gates.designs import choose
from tritforge.rtl.gates.page import fill_page, render, sensitivity, tables
from tritforge.rtl.gates.plots import draw
from tritforge.rtl.gates.results import PUBLISHED_RATIO, Results, from_record, to_record

RESULTS = Results.of(measurement(design) for design in choose([]))
ROWS = {row["operation"]: row for row in RESULTS.technology_rows(1000.0, "test")}


def number(operation: str, column: str) -> float:
    return float(ROWS[operation][column])


def test_the_published_ratio_is_that_of_the_paper() -> None:
    assert pytest.approx(71.43, abs=0.01) == PUBLISHED_RATIO


def test_a_measurement_survives_its_record() -> None:
    one = RESULTS.measurements["int8-16"]
    assert from_record(to_record(one)) == one


def test_a_product_counts_all_of_its_dot_product_and_shares_activations_among_rows() -> None:
    """A quarter of 16 x 50 fJ is the activations' registers, half of that (internal and clock) shared by 8 rows."""
    one = RESULTS.measurements["ternary-16"]
    assert one.per_product("real") == pytest.approx(50)
    assert one.per_product("real", glitches=False) == pytest.approx(40)
    assert one.per_product("real", rows=8) == pytest.approx(50 - 7 / 8 * 12.5 / 2)


def test_an_operation_alone_counts_as_far_as_asked() -> None:
    assert RESULTS.unit("int8.add", "real", "logic") == pytest.approx(10)
    assert RESULTS.unit("int8.add", "real", "unit") == pytest.approx(15)
    assert RESULTS.unit("int8.add", "real", "registered") == pytest.approx(20)
    assert RESULTS.unit("int8.add", "random", "logic", glitches=False) == pytest.approx(10 * 1.1 * 0.8)


def test_operations_stand_beside_published_ones_with_a_factor() -> None:
    rows = {row["operation"]: row for row in RESULTS.operations()}
    assert rows["int8.add"]["factor"]["random.logic"] == pytest.approx(0.011 / 0.007)
    assert rows["int16.add"]["published_pj"] is None
    assert rows["int16.add"]["factor"] == {}


def test_ratios_say_what_they_are_of() -> None:
    ratios = {row["ratio"]: row["value"] for row in RESULTS.ratios()}
    assert ratios["fp16-fused-16 / ternary-16, a product, 1 row, real operands"] == pytest.approx(8)
    assert ratios["(fp16.mul + fp16.add) / int8.add, unit, real operands"] == pytest.approx(10)


def test_a_row_of_a_product_leaves_the_shared_registers_to_its_own() -> None:
    """Of 50 fJ, 6.25 are the activations' registers inside and at the clock."""
    assert number("ternary.mac", "value") == pytest.approx(43.75)
    assert number("ternary.act", "value") == pytest.approx(6.25)
    # Without the 10 fJ of glitches, at half the wires; random operands at twice the wires.
    assert number("ternary.mac", "low") == pytest.approx((40 - 6.25) * 0.9, rel=1e-3)
    assert number("ternary.mac", "high") == pytest.approx((55 - 6.875) * 1.2, rel=1e-3)


def test_a_row_of_an_operation_leaves_its_operands_out() -> None:
    assert number("fp16.mul", "value") == pytest.approx(75)
    assert number("fp16.mul", "low") == pytest.approx((80 - 25) * 0.9, rel=1e-3)
    assert number("register", "value") == pytest.approx(25 / 16, rel=1e-3)
    assert number("register", "low") < number("register", "value") < number("register", "high")


def test_rows_need_their_designs_alone() -> None:
    few = Results.of([measurement(design) for design in choose(["add-fp16"])])
    assert [row["operation"] for row in few.technology_rows(1000.0, "test")] == ["fp16.add"]
    assert [row["ratio"] for row in few.ratios()] == ["published: (fp16.mul + fp16.add) / int8.add"]


def test_assumptions_are_varied_one_at_a_time() -> None:
    found = dict(sensitivity(RESULTS))
    assert found["as assumed"] == pytest.approx({"ternary-16": 50, "int8-16": 150, "fp16-fused-16": 400})
    assert found["ternary weights in FP16 and INT8 too"]["fp16-fused-16"] == pytest.approx(360)
    assert found["no wires"]["int8-16"] == pytest.approx(120)
    assert found["half as much again for a clock tree"]["ternary-16"] == pytest.approx(57.5)
    # The weights' registers take a quarter, three tenths of it their clock, of which a sixteenth is left.
    gated = found["clock of the weights' registers gated"]["ternary-16"]
    assert gated == pytest.approx(50 * (1 - 0.25 * 0.3 * 15 / 16))


def test_every_table_and_plot_comes_from_the_record_alone() -> None:
    kept = record()
    page = "".join(f"<!-- table {name} -->\nold\n<!-- end -->\n" for name in tables(kept))
    filled = fill_page(page, kept)
    assert "old" not in filled
    assert (
        "| `ternary-16` | ternary, INT8 activations, 22-bit accumulator | 16 | 4.0 | 2.0 | 50.0 | 55.0 |"
        in filled
    )
    assert filled == fill_page(filled, kept)
    assert "## Products" in render(kept)
    plots = draw(kept)
    assert sorted(plots) == ["products", "ratios"]
    assert "fp16-fused-16" in plots["products"]
