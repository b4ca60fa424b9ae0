"""The driver of an accelerator's registers, against one in Python."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from fake_accelerator import CYCLES, FakeAccelerator
from fake_link import FakeLink, FaultyLine

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import BoardError, InputError
from tritforge.accel.link_top import link_control
from tritforge.accel.presets import PRESETS
from tritforge.sim.device import Device, JobAddresses, check_config
from tritforge.sim.link_protocol import Link

SMALL = AcceleratorConfig.from_dict(
    {"weight_store": "bram", "weight_store_bytes": 1 << 10, "packing": "s8"},
    base=PRESETS["tiny"],
)
JOB = JobAddresses(m=3, k=5, tokens=2)


def connect(accelerator: FakeAccelerator) -> Device:
    return Device(Link(FaultyLine(FakeLink(accelerator))), name="fake")


def prepared(config: AcceleratorConfig = SMALL) -> tuple[Device, FakeAccelerator]:
    """A driver of an accelerator whose weight store holds zeros alone, which are weights."""
    accelerator = FakeAccelerator(config)
    device = connect(accelerator)
    device.bus.write(0x1000_0000, bytes(config.weight_store_bytes))
    return device, accelerator


@pytest.mark.parametrize("name", ["ulx3s", "icebreaker"])
def test_a_board_is_known_by_its_registers(name: str) -> None:
    """Rebuilt from what was read: all that weight images and jobs depend on."""
    config = PRESETS[name]
    device = connect(FakeAccelerator(config))
    assert device.control == link_control(config)
    check_config(device.config, config, "fake")
    rest = {"adders_per_chain", "tree_arity", "levels_per_register", "column_beats"}
    same = {key: value for key, value in config.to_dict().items() if key not in rest}
    assert {key: value for key, value in device.config.to_dict().items() if key not in rest} == same
    assert device.version == (1, 0)


def test_an_unexpected_configuration_is_one_line_that_names_all_differences() -> None:
    expected = AcceleratorConfig.from_dict(
        {"lanes": 16, "weight_store_bytes": 2048, "packing": "i2"}, base=SMALL
    )
    with pytest.raises(InputError) as caught:
        check_config(connect(FakeAccelerator(SMALL)).config, expected, "fake")
    assert str(caught.value) == (
        "fake has lanes 8 (expected 16), packing s8 (expected i2), weight_store_bytes 1024 (expected 2048); "
        "give the configuration that its bitstream was built from, or none"
    )


def test_what_registers_do_not_tell_is_not_compared() -> None:
    expected = AcceleratorConfig.from_dict({"tree_arity": 3, "chain_length": 4}, base=SMALL)
    check_config(connect(FakeAccelerator(SMALL)).config, expected, "fake")


@pytest.mark.parametrize(
    ("register", "value", "message"),
    [
        ("ID", 0x1234, "fake has ID 0x00001234; an accelerator has 0x54465247"),
        (
            "VERSION",
            0x2_0001,
            "fake has version 2.1 of the register map, and this program 1.0; build its bitstream again",
        ),
        ("FEATURES", 9, "fake has packing 9, which this program does not know; build its bitstream again"),
        ("ARRAY", 8, "fake describes itself by what no accelerator has: rows is 0; "),
    ],
)
def test_something_else_is_refused(register: str, value: int, message: str) -> None:
    accelerator = FakeAccelerator(SMALL)
    accelerator.put(register, value)
    with pytest.raises(BoardError) as caught:
        connect(accelerator)
    assert str(caught.value).startswith(message)


def test_jobs_are_numbered_and_counted() -> None:
    device, accelerator = prepared()
    for number in range(20):
        assert device.start(JOB) == number
        assert device.wait(number, limit=1).completed == number + 1
    counted = device.run(JOB, limit=1)
    assert (counted.started, counted.completed, counted.failed, counted.cycles) == (1, 1, 0, CYCLES)
    assert accelerator.started == [(3, 5, 2)] * 21


def test_numbers_go_on_beyond_their_word() -> None:
    device, accelerator = prepared()
    accelerator.put("STARTED", -1)
    accelerator.put("COMPLETED", -1)
    accelerator.put("CYCLES", -50)
    device.prepare()
    assert device.run(JOB, limit=1).cycles == CYCLES
    assert device.start(JOB) == 0


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (replace(JOB, m=0), "M, K or T is zero or over its bound"),
        (replace(JOB, k=65), "M, K or T is zero or over its bound"),
        (replace(JOB, weights=2), "an address is no multiple of the bytes of its port's beat"),
        (replace(JOB, weights=1020), "an address has a bit beyond the address width"),
    ],
)
def test_a_refused_start_says_why_and_the_next_one_works(job: JobAddresses, why: str) -> None:
    device, accelerator = prepared()
    with pytest.raises(BoardError) as caught:
        device.start(job)
    head = f"fake did not start a job of M {job.m}, K {job.k}, tokens 2: a start was refused: {why}"
    assert str(caught.value).startswith(head)
    assert accelerator.get("ERRORS") == 0
    assert device.run(JOB, limit=1).completed == 1


def test_a_failed_job_says_why_and_the_next_one_works() -> None:
    device, accelerator = prepared()
    device.bus.write(0x1000_0000, bytes([0xFF]) * 64)
    with pytest.raises(BoardError) as caught:
        device.run(JOB, limit=1)
    assert str(caught.value) == (
        "job 0 of fake failed: a weight word was none of the packing's; the results are not to be used"
    )
    assert accelerator.get("ERRORS") == 0
    device.bus.write(0x1000_0000, bytes(64))
    assert device.run(JOB, limit=1).failed == 0


def test_a_job_that_does_not_end_is_given_up_and_aborted() -> None:
    device, accelerator = prepared()
    accelerator.hangs = True
    with pytest.raises(BoardError, match=r"^job 0 of fake did not end within 0 cycles; it is aborted when"):
        device.run(JOB, limit=1000)
    accelerator.hangs = False
    device.prepare()
    assert accelerator.get("FAILED") == 1
    assert device.run(JOB, limit=1).failed == 0


def test_a_job_that_counts_cycles_for_ever_is_given_up_at_its_limit() -> None:
    device, accelerator = prepared()
    accelerator.hangs = True
    read = accelerator.read_word

    def busy(address: int) -> int:
        accelerator.put("CYCLES", accelerator.get("CYCLES") + 100)
        return read(address)

    accelerator.read_word = busy  # type: ignore[method-assign]
    with pytest.raises(BoardError, match=r"^job 0 of fake did not end within [\d,]+ cycles; it is aborted"):
        device.run(JOB, limit=5000)


def without_rest(accelerator: FakeAccelerator) -> None:
    accelerator.put("STATUS", accelerator.map["STATUS"].encode(aborting=1, busy=1))


def without_memory(accelerator: FakeAccelerator) -> None:
    accelerator.reset()


@pytest.mark.parametrize(
    ("happens", "call", "message"),
    [
        (without_rest, "prepare", "fake does not come to rest after an abort; reset it"),
        (
            without_memory,
            "check_same",
            "fake was reset: its weights are lost; the next product loads them again",
        ),
    ],
)
def test_what_happens_to_a_board_is_said(
    happens: Callable[[FakeAccelerator], None], call: str, message: str
) -> None:
    device, accelerator = prepared()
    device.check_same()
    happens(accelerator)
    with pytest.raises(BoardError) as caught:
        getattr(device, call)()
    assert str(caught.value) == message


def test_a_reset_before_a_start_is_told_from_a_refusal() -> None:
    device, accelerator = prepared()
    device.run(JOB, limit=1)
    accelerator.reset()
    with pytest.raises(BoardError, match=r"^fake was reset: "):
        device.run(JOB, limit=1)


def test_registers_go_by_name() -> None:
    device, accelerator = prepared()
    device.write("IRQ_ENABLE", device.registers["IRQ_ENABLE"].encode(done=1, failed=1))
    assert device.fields("IRQ_ENABLE") == {"done": 1, "failed": 1, "refused": 0, "idle": 0}
    accelerator.put("JOB_STATUS", 5, 7)
    assert device.read("JOB_STATUS", 7) == 5
    with pytest.raises(InputError, match=r"^fake has no register 'RESULT_STRIDE'; its registers are ID, "):
        device.read("RESULT_STRIDE")
