"""Sizes of the stores of the link top, and configurations that have none."""

from dataclasses import replace

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.accel.store_sizes import StoreSizes


@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_the_stores_hold_the_largest_job_s_activations_and_results_of_a_row_tile(name: str) -> None:
    config = PRESETS[name]
    sizes = StoreSizes.of(config)
    assert sizes.weights == config.weight_store_bytes
    assert sizes.activations >= config.tokens_max * config.k_max * config.act_container_bits // 8
    assert sizes.results >= 4 * config.tokens_max * config.rows
    for size in (sizes.weights, sizes.activations, sizes.results):
        assert size & (size - 1) == 0


def test_results_hold_the_rows_that_fill_the_weight_store_at_a_quarter_of_k_max() -> None:
    config = PRESETS["ulx3s"]
    rows = config.weight_store_bytes * 4 // (config.k_max // 4)
    assert StoreSizes.of(config).results == 4 * config.tokens_max * rows
    assert StoreSizes.of(replace(config, m_max=32)).results == 4 * config.tokens_max * 32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"sparse": True},
            "sparse is true; the link top runs dense jobs: use the stream core for columns",
        ),
        (
            {"partial_sums": True},
            "partial_sums is true; the link top has no port for them: leave them out, the host adds the pieces",
        ),
        (
            {"weight_store": "stream"},
            "weight_store is 'stream'; the link top keeps its weights on the chip: use bram",
        ),
        ({"weight_port_bits": 16}, "weight_port_bits is 16; the link top takes 32 or more"),
        ({"act_port_bits": 16}, "act_port_bits is 16; the link top takes 32 or more"),
    ],
)
def test_a_configuration_that_cannot_stand_behind_the_link_is_refused(
    changes: dict[str, object], message: str
) -> None:
    config = AcceleratorConfig.from_dict(changes, base=replace(PRESETS["tiny"], weight_store="bram"))
    with pytest.raises(InputError) as caught:
        StoreSizes.of(config)
    assert str(caught.value) == message
