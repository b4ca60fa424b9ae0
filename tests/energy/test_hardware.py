"""The hardware accounting: properties of its counts, what it says where a shape is silent, and its energies."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS
from tritforge.energy.accounting import ratio
from tritforge.energy.baselines import ARITHMETICS
from tritforge.energy.hardware import LEFT_OUT, SYMBOLS, count_hardware, hardware_energy
from tritforge.energy.hardware_array import Tally, tiles_along, tree_levels
from tritforge.energy.hardware_layers import count_router
from tritforge.energy.scenario import Scenario
from tritforge.models.shapes import ModelShape, all_shapes, find_shape

BITNET = find_shape("microsoft/bitnet-b1.58-2B-4T")


def tiny(**change: Any) -> ModelShape:
    values: dict[str, Any] = {
        "name": "tiny",
        "hidden_size": 48,
        "intermediate_size": 80,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 12,
        "vocab_size": 96,
        "source": "made for a test",
        "status": "verified",
        "hidden_act": "silu",
    }
    return ModelShape(**(values | change))


def arithmetic(shape: ModelShape, scenario: Scenario, kind: str = "ternary") -> Counter[tuple[str, str]]:
    """Arithmetic operations of a run, by component and operation."""
    counted: Counter[tuple[str, str]] = Counter()
    for component in count_hardware(shape, scenario, kind):
        for operation, count in component.operations.items():
            if operation.startswith(("int", "fp")):
                counted[component.name, operation] += count
    return counted


sizes = st.integers(1, 100)
shapes = st.builds(
    lambda h, f, layers, kv, group, d, gated, act, norms: tiny(
        hidden_size=h,
        intermediate_size=f,
        num_hidden_layers=layers,
        num_key_value_heads=kv,
        num_attention_heads=kv * group,
        head_dim=d,
        ffn_gated=gated,
        hidden_act=act,
        sub_norms=norms,
    ),
    sizes,
    sizes,
    st.integers(1, 4),
    st.integers(1, 4),
    st.integers(1, 4),
    sizes,
    st.booleans(),
    st.sampled_from(["silu", "relu", "relu2", "gelu"]),
    st.booleans(),
)
configs = st.sampled_from([PRESETS["default"], PRESETS["tiny"], PRESETS["wide"]])
scenarios = st.builds(
    Scenario,
    config=configs,
    phase=st.sampled_from(["prefill", "decode"]),
    context=st.integers(1, 300),
    batch=st.integers(1, 20),
    causal=st.booleans(),
    kv_bits=st.sampled_from([16, 8, 4, 3]),
    packing=st.sampled_from(["i2", "s5", "s8", "ideal"]),
    logits=st.sampled_from(["last", "all"]),
)


@pytest.mark.parametrize("kind", ARITHMETICS)
@pytest.mark.parametrize("phase", ["prefill", "decode"])
@pytest.mark.parametrize("name", sorted(all_shapes()))
def test_totals_are_the_sum_of_their_parts(name: str, phase: str, kind: str) -> None:
    result = hardware_energy(all_shapes()[name], Scenario(phase=phase), arithmetic=kind)
    document = result.to_dict()
    for key in ("energy_j", "low_j", "high_j"):
        assert document[key] == pytest.approx(sum(part[key] for part in document["components"]), rel=1e-12)
    for end in ("low", "value", "high"):
        parts = sum(getattr(result.part(part), end) for part in result.parts)
        assert getattr(result.energy, end) == pytest.approx(parts, rel=1e-12)
    for entry in result.components:
        assert entry.count == sum(count for _, count in entry.terms), entry.name


@given(shapes, scenarios, st.sampled_from(ARITHMETICS))
def test_energy_grows_with_layers_width_and_context(shape: ModelShape, scenario: Scenario, kind: str) -> None:
    def joules(a: ModelShape, b: Scenario) -> float:
        return hardware_energy(a, b, arithmetic=kind).energy.value

    base = joules(shape, scenario)
    assert joules(replace(shape, num_hidden_layers=shape.num_hidden_layers + 1), scenario) > base
    for field in ("hidden_size", "intermediate_size"):
        assert joules(replace(shape, **{field: getattr(shape, field) + 1}), scenario) > base, field
    assert joules(shape, replace(scenario, context=scenario.context + 1)) > base
    assert joules(shape, replace(scenario, batch=scenario.batch + 1)) > base


@given(shapes, configs, st.integers(1, 12), st.integers(1, 3), st.sampled_from(ARITHMETICS))
def test_decoding_up_to_a_context_does_the_arithmetic_of_its_prefill(
    shape: ModelShape, config: AcceleratorConfig, context: int, batch: int, kind: str
) -> None:
    steps: Counter[tuple[str, str]] = Counter()
    for at in range(1, context + 1):
        steps += arithmetic(shape, Scenario(config=config, phase="decode", context=at, batch=batch), kind)
    prefill = Scenario(config=config, context=context, batch=batch, logits="all")
    assert steps == arithmetic(shape, prefill, kind)


@given(shapes, scenarios, st.sampled_from(ARITHMETICS), st.integers(2, 8))
def test_one_expert_of_many_is_the_dense_model_and_a_router(
    shape: ModelShape, scenario: Scenario, kind: str, experts: int
) -> None:
    mixture = replace(shape, num_local_experts=experts, num_experts_per_tok=1)
    tally = Tally()
    count_router(tally, mixture, scenario.tokens)
    router = Counter(
        {("router", key): count for part in tally.components() for key, count in part.operations.items()}
    )
    assert arithmetic(mixture, scenario, kind) == arithmetic(shape, scenario, kind) + router


def test_experts_are_resident_but_only_the_active_ones_are_read() -> None:
    few = tiny(num_local_experts=4, num_experts_per_tok=2)
    many = replace(few, num_local_experts=64)
    decode = Scenario(phase="decode")
    dense = hardware_energy(tiny(), decode).part("weights").value
    read = [hardware_energy(shape, decode).part("weights").value for shape in (few, many)]
    # The router's own weights are all that grows.
    assert read[1] - read[0] == pytest.approx(2 * 60 * 48 * 16 * 8e-12)
    assert dense < read[0] < 2 * dense
    # A block of 16 positions meets all 64 experts' 32 places: as many loads as there are places.
    prefill = Scenario(context=16)
    assert (
        hardware_energy(many, prefill).part("weights").value
        > 10 * hardware_energy(few, decode).part("weights").value
    )


@pytest.mark.parametrize(
    ("lanes", "widths"),
    [
        (2, {"int9.add": 1}),
        (8, {"int9.add": 4, "int10.add": 2, "int11.add": 1}),
        (12, {"int9.add": 6, "int10.add": 3, "int11.add": 1, "int12.add": 1}),
        (64, {f"int{8 + level}.add": 64 >> level for level in range(1, 7)}),
    ],
)
def test_a_tree_has_one_adder_less_than_lanes_and_widens_by_a_bit_a_level(
    lanes: int, widths: dict[str, int]
) -> None:
    levels = tree_levels(lanes, 8)
    assert {level.operation: level.adders for level in levels} == widths
    assert sum(level.adders for level in levels) == lanes - 1


def test_an_accumulator_has_the_width_of_the_configuration() -> None:
    counted = arithmetic(tiny(), Scenario(config=AcceleratorConfig(k_max=28672)))
    assert [operation for part, operation in counted if part == "accumulators"] == ["int23.add"]


def test_unfilled_lanes_and_rows_are_charged() -> None:
    config = AcceleratorConfig()
    fitting = tiny(hidden_size=64, intermediate_size=64, num_attention_heads=4, head_dim=16)
    loose = tiny(hidden_size=63, intermediate_size=63, num_attention_heads=4, head_dim=16)
    scenario = Scenario(config=config)
    matrices = [
        {k: v for k, v in arithmetic(shape, scenario).items() if k[0] in {"matrices", "accumulators"}}
        for shape in (fitting, loose)
    ]
    assert matrices[0] == matrices[1]


def test_inputs_beyond_the_array_are_split_and_their_sums_added() -> None:
    config = AcceleratorConfig(k_max=100, lanes=64)
    assert tiles_along(config, 250) == (2 + 2 + 1, 3)
    shape = tiny(hidden_size=250, intermediate_size=80)
    result = hardware_energy(shape, Scenario(config=config, context=4))
    partial = next(entry for entry in result.components if entry.name == "accumulators/int32.add")
    outputs = 2 * 4 * ((48 + 24 + 24) + (80 + 80))
    assert partial.count == 2 * outputs
    assert any("inputs exceed the k_max of 100: up to 3 jobs a matrix" in note for note in result.notes)


def test_scores_times_values_adds_positions_not_widths() -> None:
    shape = tiny(num_hidden_layers=1)
    counted = arithmetic(shape, Scenario(context=5, causal=False))
    heads, d, context = 4, 12, 5
    assert counted["attention", "fp16.add"] == heads * context * (context * (d - 1) + d * (context - 1))


def test_attention_in_int8_multiplies_codes_and_adds_exact_sums() -> None:
    shape = tiny(num_hidden_layers=1)
    plain, whole = (arithmetic(shape, Scenario(context=5, attention=kind)) for kind in ("fp16", "int8"))
    pairs = 15 * 4
    assert whole["attention", "int8.mul"] == 2 * pairs * 12
    assert whole["attention", "int20.add"] == pairs * 11
    assert whole["attention", "int19.add"] == (pairs - 20) * 12
    assert plain["attention", "fp16.mul"] == 2 * pairs * 12 + pairs
    assert whole["softmax", "fp16.exp"] == plain["softmax", "fp16.exp"] == pairs


@pytest.mark.parametrize(
    ("bits", "packing"), [(2.0, "i2"), (5 / 3, "s5"), (1.6, "s8"), (1.584962500721156, "ideal")]
)
def test_weights_come_at_the_bits_of_their_packing(bits: float, packing: str) -> None:
    config = AcceleratorConfig()
    shape = replace(tiny(), hidden_size=64, intermediate_size=128, num_attention_heads=4, head_dim=16)
    result = hardware_energy(shape, Scenario(config=config, packing=packing, phase="decode"))
    (weights,) = (entry for entry in result.components if entry.component == "weights")
    biases = 16 * 2 * (64 + 32 + 32 + 64 + 128 + 128 + 64)
    gains = 16 * 2 * 2 * 64
    parameters = shape.linear_parameters
    assert weights.count - biases - gains == pytest.approx(parameters * bits, rel=1e-4)


@pytest.mark.parametrize(
    ("bits", "stored"), [(16, 16 * 12), (8, 8 * 12 + 16), (4, 4 * 12 + 16), (3, 3 * 12 + 16)]
)
def test_the_cache_moves_its_bits_and_a_scale(bits: int, stored: int) -> None:
    result = hardware_energy(tiny(), Scenario(phase="decode", context=100, kv_bits=bits))
    (cache,) = (entry for entry in result.components if entry.component == "kv_cache")
    assert cache.count == 2 * 2 * 2 * stored * (1 + 100)


@pytest.mark.parametrize(
    ("context", "causal", "keys"),
    [(1, True, 1), (16, True, 16), (17, True, 16 + 17), (40, True, 16 + 32 + 40), (40, False, 120)],
)
def test_a_block_of_queries_reads_the_keys_that_it_sees_once(context: int, causal: bool, keys: int) -> None:
    assert Scenario(context=context, causal=causal).keys_read == keys


@pytest.mark.parametrize(
    "shared", ["DDR3", "DDR4", "DDR5", "LPDDR4", "LPDDR4X", "LPDDR5", "HBM2", "HBM2e", "HBM3", "GDDR6"]
)
def test_every_kind_of_dram_has_a_row(shared: str) -> None:
    result = hardware_energy(tiny(), Scenario(dram=shared))
    assert any(entry.row.operation == f"dram.{shared}" for entry in result.components)


@given(st.floats(0, 1), st.floats(0, 1))
def test_zeros_save_additions_of_ternary_matrices_and_nothing_else(weights: float, acts: float) -> None:
    base = arithmetic(tiny(), Scenario())
    sparse = arithmetic(tiny(), Scenario(zero_weights=weights, zero_acts=acts))
    for key, count in base.items():
        if key[0] == "matrices":
            zero = 1 - (1 - weights) * (1 - acts)
            level = int(key[1][3:-4]) - 8
            assert sparse[key] == pytest.approx(count * (1 - zero ** (1 << (level - 1))) ** 2, abs=10)
        else:
            assert sparse[key] == count


def test_a_ratio_has_both_sides_and_shares_what_is_alike() -> None:
    results = {kind: hardware_energy(BITNET, Scenario(), arithmetic=kind) for kind in ARITHMETICS}
    for part in (
        "attention",
        "softmax",
        "rope",
        "kv_cache",
        "lm_head",
        "lm_head_weights",
        "embedding",
        "norms",
    ):
        assert {result.part(part) for result in results.values()} == {results["ternary"].part(part)}
    saving = ratio(results["fp16"], results["ternary"])
    assert 1 < saving.low <= saving.value <= saving.high < 71.5
    assert saving.low > results["fp16"].energy.low / results["ternary"].energy.high


def test_a_recurrence_has_a_state_in_the_place_of_attention() -> None:
    shape = find_shape("ridger/MMfreeLM-1.3B")
    result = hardware_energy(shape, Scenario())
    assert "recurrence" in result.parts
    assert not {"attention", "softmax", "rope"} & set(result.parts)
    decode = [
        hardware_energy(find_shape("ridger/MMfreeLM-1.3B"), Scenario(phase="decode", context=n))
        for n in (9, 99)
    ]
    assert decode[0].energy == decode[1].energy


def test_a_ternary_lm_head_runs_on_the_array() -> None:
    plain, ternary = tiny(), tiny(lm_head_ternary=True)
    scenario = Scenario(phase="decode")
    assert ("lm_head", "int9.add") in arithmetic(ternary, scenario)
    assert ("lm_head", "fp16.mul") in arithmetic(ternary, scenario, "fp16")
    assert ("lm_head", "int9.add") not in arithmetic(plain, scenario)
    heads = [hardware_energy(shape, scenario).part("lm_head_weights").value for shape in (plain, ternary)]
    assert heads[1] < heads[0] / 5


def test_what_a_shape_does_not_say_is_noted() -> None:
    assert hardware_energy(BITNET, Scenario()).notes == ()
    assert hardware_energy(BITNET, Scenario(context=4097)).notes == (
        "the context of 4097 exceeds the model's 4096 positions",
    )
    figure = hardware_energy(find_shape("bitnet-b1.58-figure3-3B"), Scenario())
    assert figure.notes[:2] == (
        "hidden_act is unknown; gelu is counted",
        "vocab_size is unknown; LM head and embedding are not counted",
    )
    assert "lm_head" not in figure.parts
    trilm = hardware_energy(find_shape("SpectraSuite/TriLM_99M"), Scenario()).notes
    assert trilm == ("the model is published with activations of 16 bits; 8 run",)
    llama = hardware_energy(find_shape("LLaMA-7B"), Scenario()).notes
    assert llama[0] == "the model's weights are float16; the same shape is counted with ternary ones"


def test_symbols_and_omissions_are_named() -> None:
    result = hardware_energy(BITNET, Scenario(context=40, batch=3))
    assert set(result.symbols) == set(SYMBOLS)
    assert (result.symbols["N"], result.symbols["P"], result.symbols["X"]) == (120, 3 * 820, 8)
    assert len(LEFT_OUT) == 5
    assert result.options["packing"] == "i2"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phase": "train"}, "phase is 'train'; it must be one of prefill, decode"),
        ({"packing": "i3"}, "packing is 'i3'; it must be one of i2, s5, s8, ideal"),
        ({"attention": "int4"}, "attention is 'int4'; it must be one of fp16, int8"),
        ({"logits": "none"}, "logits is 'none'; it must be one of last, all"),
        ({"kv_bits": 5}, "kv_bits is 5; it must be one of 16, 8, 4, 3"),
        ({"context": 0}, "context is 0; a whole number from 1 to 2147483647 is needed"),
        ({"context": 1 << 31}, "context is 2147483648; a whole number from 1 to 2147483647 is needed"),
        ({"batch": True}, "batch is True; a whole number from 1 to 2147483647 is needed"),
        ({"zero_weights": 1.5}, "zero_weights is 1.5; a share from 0 to 1 is needed"),
        ({"zero_acts": float("nan")}, "zero_acts is nan; a share from 0 to 1 is needed"),
        ({"wire_mm": -1.0}, "wire_mm is -1.0; a length of 0 mm or more is needed"),
        (
            {"attention": "int8", "kv_bits": 16},
            "kv_bits is 16 with attention in int8, whose keys and values are codes; use 8 or less",
        ),
    ],
)
def test_a_wrong_choice_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Scenario(**change)
    assert str(caught.value) == message


def test_unknown_names_are_rejected() -> None:
    with pytest.raises(InputError) as caught:
        hardware_energy(tiny(hidden_act="snake"), Scenario())
    assert str(caught.value).startswith(
        "shape 'tiny': hidden_act is 'snake'; its operations are known for relu, "
    )
    with pytest.raises(InputError) as caught:
        hardware_energy(tiny(), Scenario(), arithmetic="int4")
    assert str(caught.value) == "arithmetic is 'int4'; it must be one of ternary, fp16, int8"
    with pytest.raises(
        InputError, match=r"technology\.csv has no operation 'dram\.core' at 7nm; it has int8\.add"
    ):
        hardware_energy(tiny(), Scenario(dram="core"))
