"""The measured accounting: whole products at gates, published rows for what has none there."""

import json
from pathlib import Path

import pytest
from gate_records import record

from tritforge.accel.errors import InputError
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.measured import NODE, figure_3_energies, measured_energy, technology_with
from tritforge.energy.scenario import Scenario
from tritforge.energy.technology import Technology, default_technology
from tritforge.models.shapes import find_shape

SHAPE = find_shape("microsoft/bitnet-b1.58-2B-4T")
SCENARIO = Scenario(context=64)
TABLE = technology_with(record()["technology"])


def counts(arithmetic: str, component: str, *, measured: bool) -> dict[str, int]:
    energy = measured_energy if measured else hardware_energy
    result = energy(SHAPE, SCENARIO, arithmetic=arithmetic, technology=TABLE)
    return {entry.row.operation: entry.count for entry in result.components if entry.component == component}


@pytest.mark.parametrize("arithmetic", ["ternary", "int8", "fp16"])
def test_a_matrix_is_counted_in_whole_products(arithmetic: str) -> None:
    """As many products as the hardware accounting's tree and accumulators add, an activation for each lane."""
    found = counts(arithmetic, "matrices", measured=True)
    assert set(found) == {f"{arithmetic}.mac", f"{arithmetic}.act"}
    assert found[f"{arithmetic}.mac"] == SCENARIO.config.rows * found[f"{arithmetic}.act"]
    additions = sum(counts(arithmetic, "accumulators", measured=False).values())
    adders = counts(arithmetic, "matrices", measured=False)
    additions += sum(count for operation, count in adders.items() if operation.endswith("add"))
    assert found[f"{arithmetic}.mac"] == additions
    assert counts(arithmetic, "accumulators", measured=True) == {}


def test_what_surrounds_the_matrices_is_counted_alike() -> None:
    for component in ("norms", "attention", "softmax", "weights", "kv_cache", "activations", "partial_sums"):
        assert counts("ternary", component, measured=True) == counts("ternary", component, measured=False)
    once, twice = (counts("int8", "weight_registers", measured=m)["register"] for m in (True, False))
    # A weight of 8 bits comes for every 16 tokens.
    assert twice - once == 8 * counts("int8", "matrices", measured=True)["int8.mac"] // 16


def test_memories_keep_the_published_rows_and_all_else_is_measured() -> None:
    result = measured_energy(SHAPE, SCENARIO, technology=TABLE)
    nodes = {entry.row.operation.split(".")[0]: entry.row.node for entry in result.components}
    assert {nodes["sram"], nodes["wire"], nodes["dram"]} == {"7nm", "any"}
    assert {nodes["ternary"], nodes["fp16"], nodes["register"], result.node} == {NODE}


def test_five_sizes_stand_under_three_accountings() -> None:
    rows = figure_3_energies(TABLE)
    assert [row["accounting"] for row in rows] == ["paper", "hardware", "measured"] * 5
    assert len({row["model"] for row in rows}) == 5
    paper, _, measured = rows[:3]
    assert paper["ratio"]["value"] == pytest.approx(paper["published_ratio"], rel=0.01)
    assert measured["ratio"]["low"] < measured["ratio"]["value"] < measured["ratio"]["high"]
    assert "int8_j" in measured
    assert "int8_j" not in paper


def test_a_table_without_measured_rows_is_refused() -> None:
    rows = {(row.node, row.operation): row for row in default_technology() if row.node != NODE}
    with pytest.raises(InputError, match=r"^mine has no node 'asap7-measured'; it has 45nm, 7nm$"):
        measured_energy(SHAPE, SCENARIO, technology=Technology(rows, name="mine"))


def test_the_tables_rows_are_those_of_the_kept_run() -> None:
    kept = json.loads((Path(__file__).parents[2] / "benchmarks" / "gates.json").read_text())
    rows = technology_with(kept["technology"], Technology({}, name="none"))
    assert [row for row in default_technology() if row.node == NODE] == list(rows)
    assert kept["models"] == json.loads(json.dumps(figure_3_energies()))
