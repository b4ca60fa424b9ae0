"""Devices: named ones have sources, and wrong ones are named."""

from pathlib import Path
from typing import Any

import pytest

from tritforge.accel.errors import InputError
from tritforge.energy.devices import Device, all_devices, find_device, read_devices

HEADER = "name,bandwidth_gbs,rate_tops,memory_gb,source,status,note"
ROW = "a,100,5,8,a paper,verified,"
NUMBERS: dict[str, Any] = {"bandwidth_gbs": 100, "rate_tops": 5, "memory_gb": 8}


def test_a_named_device_has_a_source() -> None:
    for name, device in all_devices().items():
        assert find_device(name) is device
        assert device.source
        assert device.status != "typed"


def test_a_typed_device_says_so() -> None:
    device = Device(name="mine", **NUMBERS)
    assert (device.source, device.status, device.memory_bytes) == ("numbers given by the user", "typed", 8e9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rate_tops": 0}, "device 'mine': rate_tops is 0; a number from 1e-09 to 1e+12 is needed"),
        (
            {"memory_gb": float("nan")},
            "device 'mine': memory_gb is nan; a number from 1e-09 to 1e+12 is needed",
        ),
        (
            {"bandwidth_gbs": "much"},
            "device 'mine': bandwidth_gbs is 'much'; a number from 1e-09 to 1e+12 is needed",
        ),
        (
            {"status": "sure"},
            "device 'mine': status is 'sure'; it must be one of verified, secondary, recalled, typed",
        ),
        ({"source": " "}, "device 'mine' has no source; name the document that it is from"),
    ],
)
def test_a_wrong_device_is_rejected(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        Device(name="mine", **{**NUMBERS, **change})
    assert str(caught.value) == message


def test_an_unknown_device_is_named() -> None:
    with pytest.raises(InputError) as caught:
        find_device("abacus")
    assert str(caught.value) == (
        "no device is called 'abacus'; there are a100-80gb, a100-80gb-int8, "
        "or give --bandwidth, --rate and --memory"
    )


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW, "f.csv device 2: 'a' is there twice; keep one"),
        (ROW.replace("100", "much"), "f.csv device 2: bandwidth_gbs is 'much'; a number is needed"),
        (
            "b,1",
            (
                "f.csv device 2 must have the fields name, bandwidth_gbs, rate_tops, memory_gb, source, "
                "status, note"
            ),
        ),
    ],
)
def test_a_wrong_file_of_devices_is_rejected(tmp_path: Path, row: str, message: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(f"{HEADER}\n{ROW}\n{row}\n")
    with pytest.raises(InputError) as caught:
        read_devices(path)
    assert str(caught.value) == message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        read_devices(tmp_path / "f.csv")
    assert str(caught.value) == (
        f"cannot read {tmp_path / 'f.csv'}: No such file or directory; give a file of devices"
    )
