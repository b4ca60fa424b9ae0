"""Quantities of published figures: formulas, the fit of memory and batches, latencies between two points."""

from dataclasses import replace
from math import log

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy import quantities
from tritforge.energy.published import PublishedFigure, compute, published_figures
from tritforge.energy.published_inputs import given
from tritforge.energy.quantities import ENERGY_QUANTITIES, QUANTITIES, latency
from tritforge.models.shapes import find_shape

FIGURES = {(figure.figure, figure.row): figure for figure in published_figures()}


def find(quantity: str) -> PublishedFigure:
    return next(figure for figure in published_figures() if figure.quantity == quantity)


def test_every_quantity_is_used_by_a_figure() -> None:
    assert {figure.quantity for figure in published_figures()} == set(QUANTITIES)


def test_energy_quantities_are_energies_of_a_prefill_and_their_ratio() -> None:
    assert {
        "ternary_energy",
        "fp16_energy",
        "energy_ratio",
        *(f"{kind}_{op}_energy" for kind in ("fp32", "fp16", "ternary") for op in ("mul", "add")),
    } == ENERGY_QUANTITIES


@pytest.mark.parametrize("kind", ["fp16", "ternary"])
def test_multiplications_and_additions_sum_to_the_energy(kind: str) -> None:
    figure = find(f"{kind}_mul_energy")
    parts = [compute(replace(figure, quantity=f"{kind}_{op}_energy")) for op in ("mul", "add")]
    assert sum(parts) == pytest.approx(compute(replace(figure, quantity=f"{kind}_energy")), rel=1e-12)


def test_fp32_differs_from_fp16_by_the_rows_alone() -> None:
    figure = find("fp32_mul_energy")
    assert figure.node == "7nm"
    wide, narrow = compute(figure), compute(replace(figure, quantity="fp16_mul_energy"))
    assert wide / narrow == pytest.approx(1.31 / 0.34)


def test_memory_of_matrices_is_bits_times_weights() -> None:
    figure = FIGURES["Table 1", "memory BitNet b1.58 2B4T"]
    weights = find_shape("microsoft/bitnet-b1.58-2B-4T").linear_parameters
    assert compute(figure) == pytest.approx(1.58 * weights / 8e9)


def test_spectra_counts_both_tables_in_sixteen_bits() -> None:
    figure = FIGURES["Table 4", "TriLM 3.9B"]
    shape = find_shape(figure.shape)
    bits = 1.58 * shape.linear_parameters + 2 * 16 * 50304 * shape.hidden_size
    assert compute(figure) == pytest.approx(bits / 1e9)


def test_the_batches_need_caches_of_different_widths() -> None:
    """With FP16 caches the ternary model's batch is not reached, and no one width gives both batches."""
    batch = FIGURES["Table 3", "batch BitNet b1.58 70B"]
    shape = find_shape(batch.shape)
    cache_gb = 2 * 2 * shape.num_hidden_layers * shape.hidden_size * batch.context / 1e9
    assert batch.value * cache_gb == pytest.approx(236.2, abs=0.1)
    used_fp16, used_ternary = (
        compute(FIGURES["Figure 2", f"memory {model} 70B"]) for model in ("LLaMA", "BitNet b1.58")
    )
    # Were a sequence to take the same in both, the batches would be as the memory left over: 5, not 11.
    assert (160 - used_ternary) / (160 - used_fp16) == pytest.approx(5.07, abs=0.01)


@pytest.mark.parametrize("buffers", [8, 15])
def test_the_batches_do_not_hang_on_the_number_of_buffers(
    buffers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantities, "given", lambda key: buffers if key == "batch buffers" else given(key))
    assert compute(FIGURES["Table 3", "batch LLaMA 70B"]) == 16
    assert compute(FIGURES["Table 3", "batch BitNet b1.58 70B"]) == 176


def test_a_latency_is_read_or_interpolated() -> None:
    assert latency("LLaMA 13B") == 16.606
    assert latency("BitNet b1.58 70B") == 19.236
    between = latency("BitNet b1.58 30B")
    share = log(30 / 13) / log(70 / 13)
    assert log(between) == pytest.approx((1 - share) * log(4.507) + share * log(19.236))
    assert between < latency("LLaMA 7B")


def test_a_latency_off_the_curve_is_named() -> None:
    with pytest.raises(InputError) as caught:
        latency("LLaMA 70B")
    assert str(caught.value) == (
        "the latency of LLaMA 70B is not on a published curve, nor between two of its points"
    )
    with pytest.raises(InputError) as caught:
        latency("GPT 3B")
    assert str(caught.value) == (
        "the latency of GPT 3B is not on a published curve, nor between two of its points"
    )
