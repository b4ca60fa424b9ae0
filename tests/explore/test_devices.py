"""Devices have sources, and the numbers of the modules that know their parts."""

import re
from pathlib import Path

import pytest
from sweep_points import device

from tritforge.accel.errors import InputError
from tritforge.energy.technology import default_technology
from tritforge.explore.devices import all_target_devices, find_target_device, read_target_devices
from tritforge.rtl.boards import BOARDS
from tritforge.rtl.parts import PARTS
from tritforge.rtl.xilinx_estimate import XILINX_PARTS


def test_every_device_can_be_found_and_its_memory_is_priced() -> None:
    for name, found in all_target_devices().items():
        assert find_target_device(name) is found
        assert default_technology().row("7nm", f"dram.{found.dram}")
        assert (found.fused_target is None) is (found.family == "asic")


@pytest.mark.parametrize(
    ("name", "part"), [("ulx3s", "ecp5-85k"), ("orangecrab-85f", "ecp5-85k"), ("orangecrab-25f", "ecp5-25k")]
)
def test_ecp5_devices_have_the_luts_of_their_part(name: str, part: str) -> None:
    assert find_target_device(name).luts == PARTS[part].luts


def test_boards_have_the_numbers_that_they_have_elsewhere() -> None:
    board, memory = find_target_device("ulx3s"), BOARDS["ulx3s"].memory
    assert memory is not None
    assert board.memory_gb * 1e9 == memory.size_bytes
    assert board.bytes_per_second == memory.bytes_per_second
    arty, part = find_target_device("arty-a7-100t"), XILINX_PARTS["xc7a100t"]
    assert arty.luts == part.luts
    assert arty.block_ram_bytes == part.block_rams * 36 * 1024 // 8


def test_a_device_that_is_not_known_is_told_with_those_that_come_close() -> None:
    with pytest.raises(InputError, match=r"^no device is called 'KV26'; did you mean kv260\?$"):
        find_target_device("KV26")
    with pytest.raises(InputError, match=r"^no device is called 'zzz'; there are ulx3s, orangecrab-85f"):
        find_target_device("zzz")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clock_mhz": 0}, "device 'bench': clock_mhz is 0; a number from 1e-09 to 1e+12 is needed"),
        ({"luts": -1}, "device 'bench': luts is -1; a number from 1e-09 to 1e+12 is needed"),
        ({"bandwidth_gbs": float("inf")}, "device 'bench': bandwidth_gbs is inf; "),
        ({"family": "cpld"}, "device 'bench': family is 'cpld'; it must be one of ecp5, xilinx, asic"),
        ({"clock_source": " "}, "device 'bench' has no clock_source; name it"),
    ],
)
def test_a_device_with_a_wrong_number_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{re.escape(message)}"):
        device(**changes)


def test_a_file_of_devices_with_a_mistake_is_told_by_its_line(tmp_path: Path) -> None:
    good = Path(read_target_devices.__code__.co_filename).with_name("data") / "devices.csv"
    lines = good.read_text().splitlines()
    path = tmp_path / "devices.csv"
    path.write_text("\n".join([*lines, lines[1]]))
    with pytest.raises(InputError, match=r"'ulx3s' is there twice; keep one$"):
        read_target_devices(path)
    path.write_text("\n".join([lines[0], lines[1].replace("0.286", "fast")]))
    with pytest.raises(
        InputError, match=r"^devices.csv device 1: bandwidth_gbs is 'fast'; a number is needed$"
    ):
        read_target_devices(path)
