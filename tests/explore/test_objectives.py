"""What a point is judged by, worked out for one configuration at a time."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from small_shape import TINY
from sweep_points import device, small_request

from tritforge.accel.errors import InputError
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.memory import total_bytes
from tritforge.energy.scenario import COUNT_MAX, PHASES
from tritforge.explore.objectives import BLOCK_BYTES, MEMORY_BOUND, OPERATIONS_MAX, Request, evaluate_chunk
from tritforge.explore.reasons import config_of
from tritforge.explore.space import Space
from tritforge.models.shapes import find_shape
from tritforge.rtl.area import area_model, area_of
from tritforge.sim.cycles import job_cycles


def rows_of(request: Request) -> pd.DataFrame:
    """Return the table of a sweep of one chunk."""
    return evaluate_chunk(request, 0)[0]


@pytest.fixture(scope="module")
def request_of_two_models() -> Request:
    small = small_request(lanes=(16, 96), rows=(3, 16), tokens_max=(1, 4, 5), packing=("i2", "s5"))
    models = (replace(TINY, num_local_experts=4, num_experts_per_tok=2), find_shape("TriLM_99M"))
    return replace(small, space=replace(small.space, models=models))


@pytest.fixture(scope="module")
def table(request_of_two_models: Request) -> pd.DataFrame:
    return rows_of(request_of_two_models)


def test_every_column_is_what_the_models_of_one_configuration_say(
    request_of_two_models: Request, table: pd.DataFrame
) -> None:
    request = request_of_two_models
    assert len(table) == 2 * 2 * 24
    devices = {one.name: one for one in request.space.devices}
    models = {one.name: one for one in request.space.models}
    for record in table.iloc[::7].to_dict("records"):
        row = {str(name): value for name, value in record.items()}
        config = config_of(row, request.space)
        model, target = models[row["model"]], devices[row["device"]]
        area = area_of(config)
        assert (row["luts"], row["ffs"]) == (area.luts, area.ffs)
        assert row["block_ram_bytes"] == area.block_rams * BLOCK_BYTES
        assert row["luts_high"] == round(area.luts * (1 + area_model().luts.bound))
        assert row["memory_bytes"] == total_bytes(model, config.packing, context=6)
        for phase in PHASES:
            tokens = 6 if phase == "prefill" else 1
            scenario = replace(
                request.scenario, config=config, packing=config.packing, phase=phase, dram=target.dram
            )
            energy = hardware_energy(model, scenario)
            cycles = 0
            blocks = [min(config.tokens_max, tokens - low) for low in range(0, tokens, config.tokens_max)]
            for linear in model.linears:
                for block in blocks:
                    met = min(linear.resident, block * linear.active)
                    split = np.array_split(np.arange(block * linear.active), met)
                    cycles += model.num_hidden_layers * sum(
                        job_cycles(config, linear.outputs, linear.inputs, len(part)).total for part in split
                    )
            bits = sum(one.count for one in energy.components if one.row.operation.startswith("dram."))
            seconds = max(cycles / 100e6, bits / 8 / target.bytes_per_second)
            assert row[f"{phase}_cycles"] == cycles
            wanted = {
                "tokens_per_second": tokens / seconds,
                "joules_per_token": energy.per_token.value,
                "joules_per_token_low": energy.per_token.low,
                "joules_per_token_high": energy.per_token.high,
                "watts": energy.energy.value / seconds,
                "bytes_per_second": bits / 8 / (cycles / 100e6),
            }
            for name, value in wanted.items():
                assert row[f"{phase}_{name}"] == pytest.approx(value, rel=1e-13), (phase, name)
            assert (row[f"{phase}_bound"] == MEMORY_BOUND) is (seconds > cycles / 100e6)


def test_a_prefill_that_cannot_be_counted_is_refused() -> None:
    small = small_request()
    most = OPERATIONS_MAX // TINY.active_linear_parameters
    batch = most // COUNT_MAX + 1
    positions = f"context {COUNT_MAX} times batch {batch} is {COUNT_MAX * batch} positions"
    with pytest.raises(InputError, match=f"^{positions}; {most} are the most that can be counted of tiny$"):
        replace(small, scenario=replace(small.scenario, context=COUNT_MAX, batch=batch))


def test_memory_bounds_speed_and_nothing_else(table: pd.DataFrame) -> None:
    fast, slow = (table[table.device == name].reset_index(drop=True) for name in ("bench", "slow"))
    assert (slow.decode_bound == MEMORY_BOUND).all()
    assert (slow.decode_tokens_per_second < fast.decode_tokens_per_second).all()
    for name in ("luts", "decode_joules_per_token", "prefill_bytes_per_second", "prefill_cycles"):
        assert (slow[name] == fast[name]).all()


@pytest.mark.parametrize(
    ("changes", "bound"),
    [
        ({"act_port_bits": 8}, "activation port"),
        ({"weight_port_bits": 16}, "weight port"),
        ({"lanes": 8, "rows": 1, "weight_port_bits": 4096}, "lanes"),
        ({"rows": 64, "lanes": 256, "weight_port_bits": 4096, "act_port_bits": 2048}, "result port"),
    ],
)
def test_what_bounds_the_array_is_named(changes: dict[str, int], bound: str) -> None:
    axes = {"act_port_bits": (64,)} | {name: (value,) for name, value in changes.items()}
    (row,) = rows_of(
        Request(
            space=Space(models=(TINY,), devices=(device(bandwidth_gbs=1e6),), axes=axes),
            scenario=small_request().scenario,
        )
    ).to_dict("records")
    assert row["prefill_bound"] == bound


def test_what_does_not_fit_is_flagged() -> None:
    one = device(luts=2500, block_ram_bytes=2304, memory_gb=2e-6)
    small = small_request(lanes=(8, 64), rows=(2, 8), packing=("i2", "s8"))
    found = rows_of(replace(small, space=replace(small.space, devices=(one, device(name="open", luts=None)))))
    bounded, unbounded = found[found.device == "bench"], found[found.device == "open"]
    assert (bounded.fits_luts == (bounded.luts <= 2500)).all()
    assert bounded.fits_luts.nunique() == 2
    assert (bounded.fits_block_ram == (bounded.block_ram_bytes <= 2304)).all()
    assert (bounded.fits_memory == (bounded.memory_bytes <= 2000)).all()
    assert unbounded.fits_luts.all()
