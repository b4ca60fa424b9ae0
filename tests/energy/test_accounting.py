"""Energies: sums of parts, bounds, ratios, and published energies of other papers than Figure 3."""

from functools import partial
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.energy.accounting import ComponentEnergy, EnergyResult, paper_energy, price, ratio, ratio_of
from tritforge.energy.counts import ComponentCount
from tritforge.energy.interval import Interval
from tritforge.energy.technology import Technology, TechnologyRow, default_technology
from tritforge.models.shapes import all_shapes, find_shape

KEYS = {
    "model",
    "accounting",
    "node",
    "phase",
    "context",
    "batch",
    "components",
    "energy_j",
    "low_j",
    "high_j",
}
COMPONENT_KEYS = {"name", "count", "unit", "energy_j", "low_j", "high_j", "sources"}
OPERATIONS = ("int8.add", "fp16.add", "fp16.mul")


def table(**costs: tuple[float, float, float]) -> Technology:
    """Make a table at 7nm from low, value and high in picojoules."""
    rows = {}
    for operation, (low, value, high) in costs.items():
        name = operation.replace("_", ".")
        rows["7nm", name] = TechnologyRow(
            node="7nm",
            operation=name,
            cost=Interval(low=low, value=value, high=high),
            unit="pJ/op",
            source="made for a test",
            obtained="derived",
            status="verified",
        )
    return Technology(rows, name="test table")


WIDE = table(int8_add=(0.005, 0.007, 0.01), fp16_add=(0.1, 0.16, 0.2), fp16_mul=(0.3, 0.34, 0.5))


@pytest.mark.parametrize("node", ["7nm", "45nm"])
@pytest.mark.parametrize("arithmetic", ["ternary", "fp16"])
@pytest.mark.parametrize("name", sorted(all_shapes()))
def test_totals_are_the_sum_of_their_parts(name: str, arithmetic: str, node: str) -> None:
    result = paper_energy(all_shapes()[name], 512, arithmetic=arithmetic, node=node)
    document = result.to_dict()
    for key in ("energy_j", "low_j", "high_j"):
        assert document[key] == pytest.approx(sum(c[key] for c in document["components"]), rel=1e-12)
    assert result.energy.value == pytest.approx(
        sum(result.part(part).value for part in result.parts), rel=1e-12
    )
    assert result.energy.value > 0


def test_a_result_has_the_keys_that_scripts_rely_on() -> None:
    document = paper_energy(find_shape("bitnet-b1.58-figure3-3B"), 512).to_dict()
    assert set(document) >= KEYS
    assert all(set(component) == COMPONENT_KEYS for component in document["components"])
    labels = [document[key] for key in ("accounting", "node", "phase", "context", "batch")]
    assert labels == ["paper", "7nm", "prefill", 512, 1]
    assert [c["name"] for c in document["components"]] == [
        "linears/int8.add",
        "scaling/fp16.mul",
        "attention/fp16.mul",
        "attention/fp16.add",
    ]
    assert document["components"][0]["sources"] == [
        "7nm/int8.add = 0.007 pJ/op, published: arXiv:2310.11453v1 Table 2"
    ]


@pytest.mark.parametrize(
    ("name", "arithmetic", "joules"),
    [
        # arXiv 2504.12285, Table 1: gated networks, grouped queries, heads that do not span the hidden size.
        ("LLaMA 3.2 1B", "fp16", 0.258),
        ("Gemma-3 1B", "fp16", 0.186),
        ("Qwen2.5 1.5B", "fp16", 0.347),
        ("SmolLM2 1.7B", "fp16", 0.425),
        ("MiniCPM 2B", "fp16", 0.649),
        ("microsoft/bitnet-b1.58-2B-4T", "ternary", 0.028),
    ],
)
def test_energies_of_another_paper_are_met_to_the_last_digit(
    name: str, arithmetic: str, joules: float
) -> None:
    assert round(paper_energy(find_shape(name), 512, arithmetic=arithmetic).energy.value, 3) == joules


@pytest.mark.parametrize(("size", "share"), [("1.3B", 0.74), ("70B", 0.42)])
def test_attention_is_a_large_share_of_the_ternary_models_of_figure_3(size: str, share: float) -> None:
    result = paper_energy(find_shape(f"bitnet-b1.58-figure3-{size}"), 512)
    assert result.part("attention").value / result.energy.value == pytest.approx(share, abs=0.005)


def test_the_trained_3b_shape_would_have_another_label() -> None:
    shape = find_shape("bitnet-b1.58-paper-3B")
    saving = ratio(paper_energy(shape, 512, arithmetic="fp16"), paper_energy(shape, 512))
    assert saving.value == pytest.approx(25.22, abs=0.005)


def test_a_recurrence_is_charged_no_attention() -> None:
    result = paper_energy(find_shape("ridger/MMfreeLM-1.3B"), 512)
    assert result.parts == ("linears", "scaling")


def test_a_published_row_has_no_width_and_neither_has_its_total() -> None:
    energy = paper_energy(find_shape("LLaMA-7B"), 512, arithmetic="fp16").energy
    assert energy.low == energy.value == energy.high


def test_bounds_reach_the_totals() -> None:
    shape = find_shape("bitnet-b1.58-figure3-3B")
    result = paper_energy(shape, 512, technology=WIDE)
    for end in ("low", "value", "high"):
        expected = sum(entry.count * getattr(WIDE.row("7nm", entry.row.operation).cost, end) * 1e-12
                       for entry in result.components)  # fmt: skip
        assert getattr(result.energy, end) == pytest.approx(expected, rel=1e-12)


triples = st.lists(st.floats(0.001, 10), min_size=3, max_size=3).map(lambda b: tuple(sorted(b)))


@given(triples, triples, triples)
def test_a_ratio_is_evaluated_at_the_corners_of_its_rows(
    small: tuple[float, float, float], add: tuple[float, float, float], mul: tuple[float, float, float]
) -> None:
    technology = table(int8_add=small, fp16_add=add, fp16_mul=mul)
    shape = find_shape("bitnet-b1.58-figure3-1.3B")
    fp16 = paper_energy(shape, 512, arithmetic="fp16", technology=technology)
    ternary = paper_energy(shape, 512, technology=technology)

    def energy(result: EnergyResult, costs: dict[str, float]) -> float:
        return sum(entry.count * costs[entry.row.operation] for entry in result.components)

    found = ratio(fp16, ternary)
    inside = [
        energy(fp16, costs) / energy(ternary, costs)
        for point in product(small, add, mul)
        for costs in (dict(zip(OPERATIONS, point, strict=True)),)
    ]
    assert found.low == pytest.approx(min(inside), rel=1e-9)
    assert found.high == pytest.approx(max(inside), rel=1e-9)
    assert found.low >= fp16.energy.low / ternary.energy.high * (1 - 1e-9)
    assert found.high <= fp16.energy.high / ternary.energy.low * (1 + 1e-9)


costs = st.floats(0.001, 10)


@given(
    st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 9), st.tuples(costs, costs, costs)),
        min_size=1,
        max_size=7,
    )
)
def test_sorted_corners_find_the_extremes_of_all_corners(
    rows: list[tuple[int, int, tuple[float, float, float]]],
) -> None:
    """n + 1 corners suffice: no other of the 2**n is beyond."""
    # One row that is below alone keeps the ratio defined.
    listed = [(0, 1, (1.0, 1.0, 1.0)), *rows]
    priced = [
        TechnologyRow(
            node="7nm",
            operation=f"op{number}",
            cost=Interval(**dict(zip(("low", "value", "high"), sorted(ends), strict=True))),
            unit="pJ/op",
            source="made for a test",
            obtained="derived",
            status="verified",
        )
        for number, (_, _, ends) in enumerate(listed)
    ]
    counts = ([a for a, _, _ in listed], [b for _, b, _ in listed])
    above, below = (
        [
            ComponentEnergy(component="part", count=count, row=row)
            for count, row in zip(side, priced, strict=True)
        ]
        for side in counts
    )
    found = ratio_of(above, below, name="made for a test")
    corners = [
        sum(a * cost for (a, _, _), cost in zip(listed, corner, strict=True))
        / sum(b * cost for (_, b, _), cost in zip(listed, corner, strict=True))
        for corner in product(*((row.cost.low, row.cost.high) for row in priced))
    ]
    assert found.low == pytest.approx(min(corners), rel=1e-9)
    assert found.high == pytest.approx(max(corners), rel=1e-9)


def test_a_ratio_to_itself_is_one_however_wide_the_rows() -> None:
    result = paper_energy(find_shape("LLaMA-7B"), 512, technology=WIDE)
    assert ratio(result, result) == Interval(value=1.0, low=1.0, high=1.0)


def test_a_ratio_over_two_tables_is_rejected() -> None:
    shape = find_shape("LLaMA-7B")
    with pytest.raises(InputError) as caught:
        ratio(paper_energy(shape, 8, arithmetic="fp16"), paper_energy(shape, 8, technology=WIDE))
    assert str(caught.value) == "row 7nm/fp16.mul differs between the two results; use one technology table"


def test_a_ratio_to_nothing_is_rejected() -> None:
    free = table(int8_add=(0, 0, 0), fp16_add=(0, 0, 0), fp16_mul=(0, 0.1, 0.2))
    result = paper_energy(find_shape("LLaMA-7B"), 8, technology=free)
    with pytest.raises(InputError) as caught:
        ratio(result, result)
    assert str(caught.value) == "the energy of LLaMA-7B is 0 at a bound, so no ratio to it exists"


@pytest.mark.parametrize("name", ["bitnet-b1.58-figure3-3B", "microsoft/bitnet-b1.58-2B-4T"])
def test_energy_grows_with_the_context_faster_than_the_context(name: str) -> None:
    shape = find_shape(name)
    one, two = (paper_energy(shape, context).energy.value for context in (512, 1024))
    assert two > 2 * one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"arithmetic": "int4"}, "arithmetic is 'int4'; it must be one of ternary, fp16"),
        ({"node": "3nm"}, "technology.csv has no node '3nm'; it has 45nm, 7nm, asap7-measured"),
        ({"context": 0}, "context is 0; a whole number of 1 or more positions is needed"),
    ],
)
def test_unknown_names_and_wrong_numbers_are_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        paper_energy(find_shape("LLaMA-7B"), **({"context": 8} | change))
    assert str(caught.value) == message


def test_an_operation_without_a_row_is_rejected() -> None:
    with pytest.raises(InputError) as caught:
        price(
            [ComponentCount(name="linears", operations={"int4.mul": 1})],
            partial(default_technology().row, "7nm"),
        )
    assert str(caught.value).startswith(
        "technology.csv has no operation 'int4.mul' at 7nm; it has int8.add, "
    )
