"""Rows that rules derive: between published rows, at their bounds, and from other rows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.energy.interval import Interval
from tritforge.energy.technology import Technology, TechnologyRow, default_technology
from tritforge.energy.technology_rules import COMPOSITES

TABLE = default_technology()


def picojoules(operation: str, node: str = "7nm") -> Interval:
    return TABLE.row(node, operation).joules.times(1e12)


@pytest.mark.parametrize(
    ("node", "width", "low", "value", "high"),
    [
        # Between 0.007 at 8 bits and 0.03 at 32; proportional from either side is a bound.
        ("7nm", 16, 0.014, 0.007 + 0.023 / 3, 0.015),
        ("7nm", 20, 0.0175, 0.0185, 0.01875),
        ("45nm", 12, 0.0375, 0.04, 0.045),
        ("45nm", 24, 0.075, 0.075, 0.075),
        ("7nm", 4, 0.0035, 0.0035, 0.007),
        ("7nm", 64, 0.03, 0.06, 0.06),
    ],
)
def test_additions_between_published_widths_are_interpolated(
    node: str, width: int, low: float, value: float, high: float
) -> None:
    found = picojoules(f"int{width}.add", node)
    assert (found.low, found.value, found.high) == pytest.approx((low, value, high))


@given(st.integers(1, 63))
def test_a_wider_addition_costs_more(width: int) -> None:
    for node in TABLE.nodes:
        assert picojoules(f"int{width}.add", node).value < picojoules(f"int{width + 1}.add", node).value


def test_a_derived_row_says_how_it_was_derived() -> None:
    row = TABLE.row("7nm", "int20.add")
    assert (row.obtained, row.status, row.unit) == ("derived", "secondary", "pJ/op")
    assert row.note == (
        "linear in the width between 8 and 32 bits; bounds: proportional to the width from either"
    )
    assert "7nm/int8.add = 0.007 pJ/op, arXiv:2310.11453v1 Table 2" in row.source
    assert "7nm/int32.add = 0.03 pJ/op, Jouppi et al." in row.source
    assert TABLE.row("7nm", "int20.add") is row


def test_a_memory_between_two_sizes_lies_between_their_bits() -> None:
    found = picojoules("sram.131072B")
    assert (found.low, found.high) == pytest.approx((8.5 / 64, 14 / 64))
    # Two of the five doublings from 32 KB to 1 MB.
    assert found.value == pytest.approx(8.5 / 64 * (14 / 8.5) ** 0.4)


@pytest.mark.parametrize(("size", "factor"), [(2048, 0.5), (128, 0.125)])
def test_a_smaller_memory_goes_with_the_root_of_its_size(size: int, factor: float) -> None:
    found = picojoules(f"sram.{size}B")
    assert (found.low, found.value, found.high) == pytest.approx(
        (7.5 / 64 * factor, 7.5 / 64 * factor, 7.5 / 64)
    )


def test_a_larger_memory_goes_with_the_root_of_its_size() -> None:
    found = picojoules("sram.4194304B")
    assert (found.low, found.value) == pytest.approx((14 / 64, 28 / 64))


@pytest.mark.parametrize("size", [128, 512])
def test_the_root_rule_agrees_with_published_small_memories(size: int) -> None:
    """Without its small memories the table of 45 nm leads to them within their reads and writes, or close by."""
    rows = {
        (row.node, row.operation): row
        for row in TABLE
        if row.node == "45nm" and row.operation not in {"sram.128B", "sram.512B"}
    }
    derived = Technology(rows, name="without").row("45nm", f"sram.{size}B").joules.value
    published = TABLE.row("45nm", f"sram.{size}B").joules
    assert published.low * 0.9 < derived < published.high


def test_functions_are_made_of_multiplications_and_additions() -> None:
    assert picojoules("fp16.exp").value == pytest.approx(4 * 0.34 + 3 * 0.16)
    assert picojoules("fp16.div").low == pytest.approx(0.34)
    assert picojoules("fp16.div").high == pytest.approx(5 * 0.34 + 2 * 0.16)
    assert picojoules("fp16.max") == picojoules("int16.add")
    for operation in COMPOSITES:
        cost = picojoules(operation)
        assert 0 < cost.low <= cost.value <= cost.high


def test_bounds_of_a_table_of_ones_own_reach_derived_rows() -> None:
    def row(operation: str, low: float, value: float, high: float) -> TechnologyRow:
        return TechnologyRow(
            node="5nm",
            operation=operation,
            cost=Interval(low=low, value=value, high=high),
            unit="pJ/op",
            source="made for a test",
            obtained="measured",
            status="verified",
        )

    rows = [row("int8.add", 1, 2, 4), row("fp16.mul", 10, 20, 30), row("fp16.add", 1, 2, 3)]
    table = Technology({(r.node, r.operation): r for r in rows}, name="own")
    wide = table.row("5nm", "int16.add").cost
    assert (wide.low, wide.value, wide.high) == pytest.approx((1, 4, 8))
    exponential = table.row("5nm", "fp16.exp").cost
    assert (exponential.low, exponential.value, exponential.high) == pytest.approx((21, 86, 195))


def test_dram_holds_for_every_node() -> None:
    assert TABLE.row("7nm", "dram.HBM2") is TABLE.row("45nm", "dram.HBM2")
    assert TABLE.row("7nm", "dram.LPDDR4").counted == "bits"
    assert TABLE.row("7nm", "wire").counted == "bit mm"
    assert picojoules("dram.DDR4").value == pytest.approx(1300 / 64)
