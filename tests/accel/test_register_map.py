"""The map keeps its promises to those who use it by names and by offsets."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import RESULTS, ControlConfig
from tritforge.accel.presets import PRESETS
from tritforge.accel.register_map import DONE, ID, JOB_CAUSES, JOB_REGISTERS, REFUSALS, VERSION, registers
from tritforge.accel.registers import WORD_BITS, Access

CONTROLS = st.builds(
    ControlConfig,
    address_bits=st.integers(8, 64),
    queue_depth=st.integers(1, 4),
    in_flight=st.sampled_from([4, 8, 16]),
    results=st.sampled_from(RESULTS),
    activation_store_bytes=st.sampled_from([0, 4096]),
)
CONFIGS = st.sampled_from(list(PRESETS.values()))


@given(config=CONFIGS, control=CONTROLS)
def test_offsets_and_constants_of_fields_do_not_depend_on_the_accelerator(
    config: AcceleratorConfig, control: ControlConfig
) -> None:
    """A driver may take them from any map; but for the widths of job parameters and whether results have a place."""
    largest = registers(AcceleratorConfig(partial_sums=True), ControlConfig(results="memory"))
    for name, register in registers(config, control).items():
        assert register.offset == largest[name].offset
        assert register.access == largest[name].access
        if name not in JOB_REGISTERS:
            assert register.fields == largest[name].fields


@given(config=CONFIGS, control=CONTROLS)
def test_constants_tell_the_configuration(config: AcceleratorConfig, control: ControlConfig) -> None:
    words = {
        name: register.decode(register.constant)
        for name, register in registers(config, control).items()
        if register.constant is not None
    }
    assert words["ID"]["id"] == ID == int.from_bytes(b"TFRG", "big")
    assert (words["VERSION"]["major"], words["VERSION"]["minor"]) == VERSION
    told = {name: value for fields in words.values() for name, value in fields.items()}
    for name in ("lanes", "rows", "tokens_max", "k_max", "m_max", "act_bits", "chain_length"):
        assert told[name] == getattr(config, name)
    for name in ("weight_port_bits", "act_port_bits", "result_port_bits", "partial_sums"):
        assert told[name] == getattr(config, name)
    features = registers(config, control)["FEATURES"]
    for name in ("packing", "datapath", "negation", "target", "weight_store"):
        assert features[name].names[told[name]] == getattr(config, name)
    assert features["results"].names[told["results"]] == control.results
    assert (told["depth"], told["in_flight"]) == (control.queue_depth, control.in_flight)
    assert told["address_bits"] == control.address_bits
    assert words["ACTIVATION_STORE"]["bytes"] == control.activation_store_bytes
    stored = config.weight_store_bytes if config.weight_store == "bram" else 0
    assert words["WEIGHT_STORE"]["bytes"] == stored


def test_a_job_s_registers_lie_side_by_side() -> None:
    words = registers(AcceleratorConfig(), ControlConfig(results="memory"))
    offsets = [words[name].offset for name in JOB_REGISTERS]
    assert offsets == list(range(offsets[0], offsets[0] + 4 * len(offsets), 4))
    assert all(words[name].guarded for name in JOB_REGISTERS)


@pytest.mark.parametrize(
    ("results", "present"),
    [
        ("stream", set()),
        ("store", {"RESULTS_LO", "RESULTS_HI"}),
        ("memory", {"RESULTS_LO", "RESULTS_HI", "RESULT_STRIDE"}),
    ],
)
def test_registers_of_results_are_there_where_results_have_a_place(results: str, present: set[str]) -> None:
    words = registers(AcceleratorConfig(), ControlConfig(results=results))
    assert {name for name in words if name.startswith("RESULT") and name != "RESULT_STORE"} == present


@pytest.mark.parametrize(("bits", "low", "high"), [(8, 8, 0), (32, 32, 0), (33, 32, 1), (64, 32, 32)])
def test_addresses_take_two_words(bits: int, low: int, high: int) -> None:
    words = registers(AcceleratorConfig(), ControlConfig(address_bits=bits))
    assert words["WEIGHTS_LO"]["low"].width == low
    assert sum(field.width for field in words["WEIGHTS_HI"].fields) == high


def test_parameters_are_as_wide_as_their_bounds() -> None:
    config = replace(AcceleratorConfig(), m_max=65536, k_max=8191, tokens_max=1, partial_sums=True)
    words = registers(config, ControlConfig())
    assert words["JOB_M"].mask == 0x1FFFF
    assert words["JOB_K"].mask == 0x1FFF
    assert words["JOB_TOKENS"].mask == 1
    assert words["JOB_FLAGS"].mask == 1
    assert registers(replace(config, partial_sums=False), ControlConfig())["JOB_FLAGS"].mask == 0


def test_a_job_s_causes_have_the_bits_that_they_have_among_the_errors() -> None:
    words = registers(AcceleratorConfig(), ControlConfig())
    errors, status = words["ERRORS"], words["JOB_STATUS"]
    assert not REFUSALS.keys() & JOB_CAUSES.keys()
    assert {field.name for field in errors.fields} == {name for name, _ in (REFUSALS | JOB_CAUSES).values()}
    for field in status.fields:
        if field.name != "done":
            assert field == errors[field.name]
    assert status["done"].mask == 1 << DONE
    assert DONE < WORD_BITS


def test_what_can_be_read_at_any_time_is_never_a_strobe() -> None:
    words = registers(AcceleratorConfig(), ControlConfig())
    assert [name for name, word in words.items() if word.access is Access.STROBE] == ["CONTROL"]
    assert words["IRQ_STATUS"].fields == words["IRQ_ENABLE"].fields
