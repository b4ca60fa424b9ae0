"""Cycles of a model's matrices: the cycle model's, whatever the bounds and stores cut them into."""

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.models.shapes import find_shape
from tritforge.report.memory import contexts, model_memory, on_chip
from tritforge.report.roofs import array_roof, system_steps
from tritforge.report.subject import Subject
from tritforge.report.workload import notes, phase_cycles, pieces, stores
from tritforge.sim.cycles import job_cycles, total_cycles

BITNET = find_shape("bitnet-2b4t")
MIXTRAL = find_shape("mistralai/Mixtral-8x7B-v0.1")


def subject(config: AcceleratorConfig | None = None, model: str = "bitnet-2b4t", **options: float) -> Subject:
    return Subject.of(model, config or AcceleratorConfig(), **options)


@pytest.mark.parametrize(("phase", "tokens"), [("prefill", 16), ("decode", 1)])
def test_cycles_of_a_model_are_those_of_the_cycle_model(phase: str, tokens: int) -> None:
    config = AcceleratorConfig()
    cycles = phase_cycles(subject(), phase)
    layer = sum(total_cycles(config, one.outputs, one.inputs, tokens) for one in BITNET.linears)
    assert (cycles.tokens, cycles.layer_cycles, cycles.cycles) == (tokens, layer, 30 * layer)
    assert cycles.operations == tokens * BITNET.linear_parameters
    assert cycles.utilisation == pytest.approx(cycles.operations / (cycles.cycles * 512))


def test_a_prompt_shorter_than_a_block_is_a_block_of_its_own() -> None:
    assert phase_cycles(subject(context=5), "prefill").tokens == 5


@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("preset", ["default", "wide", "ulx3s", "icebreaker"])
def test_the_parts_of_the_cycles_are_all_of_them(preset: str, phase: str) -> None:
    for one in phase_cycles(subject(PRESETS[preset], "austen"), phase).matrices:
        assert sum(one.parts.values()) == one.cycles
        assert min(one.parts.values()) >= 0
        assert 0 < one.utilisation <= 1


def test_experts_share_the_tokens_of_a_block_evenly() -> None:
    config = AcceleratorConfig(k_max=14336)
    block, token = (phase_cycles(subject(config, MIXTRAL.name), phase) for phase in ("prefill", "decode"))
    up, up_one = block.matrices[-2], token.matrices[-2]
    # 16 tokens with two experts each: all eight experts, four tokens each; one token meets two.
    assert (up.copies, up.cycles) == (8, 8 * total_cycles(config, 14336, 4096, 4))
    assert (up_one.copies, up_one.cycles) == (2, 2 * total_cycles(config, 14336, 4096, 1))
    assert block.operations == 16 * MIXTRAL.active_linear_parameters
    five = phase_cycles(subject(config, MIXTRAL.name, context=5), "prefill").matrices[-2]
    # Ten meetings of eight experts: two meet two tokens, six meet one.
    assert five.cycles == 2 * total_cycles(config, 14336, 4096, 2) + 6 * total_cycles(config, 14336, 4096, 1)


def test_a_matrix_over_the_bounds_runs_in_pieces() -> None:
    config = AcceleratorConfig(k_max=2048)
    cut = pieces(config, 2560, 6912)
    assert cut is not None
    assert sum(piece.m * piece.k for piece in cut) == 2560 * 6912
    down = phase_cycles(subject(config), "decode").matrices[-1]
    assert down.cycles == sum(job_cycles(config, piece.m, piece.k, 1).total for piece in cut)
    assert "runs in pieces" in " ".join(notes(subject(config)))
    assert pieces(AcceleratorConfig(k_max=2048, partial_sums=True), 2560, 6912) is None
    assert notes(subject()) == []


def test_weights_on_the_chip_run_as_the_board_runs_them() -> None:
    config = PRESETS["ulx3s"]
    sizes = stores(config)
    cut = pieces(config, 2560, 6912)
    assert sizes is not None
    assert cut is not None
    assert all(piece.image_bytes <= sizes.weights for piece in cut)
    assert {"weight store": 8 * sizes.weights} == {
        store.name: store.bits for store in on_chip(config) if store.name == "weight store"
    }


def test_a_memory_that_is_slow_bounds_the_tokens() -> None:
    cycles = phase_cycles(subject(), "decode")
    assert cycles.memory_tokens_per_second(200, 1e12) == cycles.tokens_per_second(200)
    assert cycles.memory_tokens_per_second(200, 1e8) == pytest.approx(1e8 / cycles.weight_bytes)


def test_no_matrix_is_over_the_roof() -> None:
    chosen = subject(clock_mhz=100.0, bandwidth_gbs=0.4)
    phases = tuple(phase_cycles(chosen, phase) for phase in ("prefill", "decode"))
    roof = array_roof(chosen, phases)
    assert (roof.operations_per_cycle, roof.port_bytes_per_cycle, roof.memory_bytes_per_cycle) == (512, 16, 4)
    assert (roof.ridge, roof.memory_ridge) == (32, 128)
    assert len(roof.points) == 14
    assert all(0.9 * point.roof < point.performance <= point.roof for point in roof.points)
    prefill, decode = system_steps(chosen)
    assert decode.seconds == pytest.approx(decode.traffic_bytes / 0.4e9)
    assert prefill.rate_seconds == pytest.approx(prefill.operations / (2 * 512 * 100e6))


def test_clock_and_memory_say_where_they_are_from() -> None:
    assert (subject().clock.value, subject().memory.value) == (200, 12.8e9)
    assert "assumed" in subject().clock.source
    board = subject(PRESETS["ulx3s"])
    assert (board.clock.value, board.memory.value) == (150, 300_000)
    assert "serial port" in board.memory.source
    assert subject(PRESETS["ecp5-3072"]).clock.value == subject(PRESETS["ecp5-3072"]).recorded.fmax_mhz  # type: ignore[union-attr]
    assert subject(clock_mhz=99.0).clock.source == "given"


def test_memory_has_the_cache_at_the_pages_context() -> None:
    chosen = subject(context=700)
    assert 700 in contexts(chosen)
    memory = model_memory(chosen)
    assert memory["cache"]["700"] == 700 * memory["kv_bytes_per_token"]
    assert memory["packings"]["i2"]["total"] < memory["packings"]["fp16"]["total"]
