import pytest

from tritforge.accel.axi_config import AxiConfig
from tritforge.accel.errors import InputError
from tritforge.accel.presets import PRESETS


@pytest.mark.parametrize(
    ("name", "value", "need"),
    [
        ("address_bits", 31, "a whole number in 32 to 64 is needed"),
        ("burst_beats", 257, "a whole number in 2 to 256 is needed"),
        ("burst_beats", 48, "a power of two up to 256 is needed"),
        ("outstanding", 0, "a whole number in 1 to 16 is needed"),
        ("outstanding", True, "a whole number in 1 to 16 is needed"),
        ("queue_depth", 1, "a whole number in 2 to 16 is needed"),
        ("write_master", 1, "true or false is needed"),
    ],
)
def test_a_parameter_out_of_bounds_is_refused(name: str, value: object, need: str) -> None:
    with pytest.raises(InputError) as refused:
        AxiConfig(**{name: value})  # type: ignore[arg-type]
    assert str(refused.value) == f"{name} is {value!r}; {need}"


def test_a_port_that_is_no_axi_width_is_refused() -> None:
    with pytest.raises(InputError) as refused:
        AxiConfig().check(PRESETS["wide"])
    assert str(refused.value) == "weight_port_bits is 1024; the AXI masters take 32 to 512 bits"


def test_a_sparse_accelerator_is_refused() -> None:
    config = type(PRESETS["tiny"]).from_dict({"sparse": True}, base=PRESETS["tiny"])
    with pytest.raises(InputError) as refused:
        AxiConfig().check(config)
    assert "use the stream core for columns" in str(refused.value)


def test_result_words_narrower_than_a_masters_data_are_no_matter_without_it() -> None:
    config = type(PRESETS["tiny"]).from_dict({"result_port_bits": 1024}, base=PRESETS["tiny"])
    AxiConfig().check(config)
    with pytest.raises(InputError):
        AxiConfig(write_master=True).check(config)


def test_parameters_come_by_name() -> None:
    assert AxiConfig.from_dict({"outstanding": 8, "write_master": True}) == AxiConfig(
        outstanding=8, write_master=True
    )
    with pytest.raises(InputError) as refused:
        AxiConfig.from_dict({"burst": 8})
    assert str(refused.value) == (
        "unknown AXI parameter 'burst'; the parameters are "
        "address_bits, burst_beats, outstanding, queue_depth, write_master"
    )


def test_the_control_side_follows() -> None:
    control = AxiConfig(address_bits=40, queue_depth=8, write_master=True).control
    assert (control.address_bits, control.queue_depth, control.results) == (40, 8, "memory")
    assert AxiConfig().control.results == "stream"
