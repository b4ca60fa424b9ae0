"""The block diagram: drawn from the configuration, its numbers those of the configuration's properties."""

from xml.etree import ElementTree as ET

import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import PRESETS
from tritforge.report.diagram import describe, draw, kibibytes, sums

SVG = "{http://www.w3.org/2000/svg}"


def texts(config: AcceleratorConfig) -> list[str]:
    """Return what is written on a diagram, which is well-formed."""
    root = ET.fromstring(draw(config).replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1))  # noqa: S314
    return [each.text or "" for each in root.iter(f"{SVG}text")]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_number_is_a_property_of_the_configuration(preset: str) -> None:
    config = PRESETS[preset]
    written = texts(config)
    assert f"Array: {config.rows} × {config.lanes}" in written
    assert f"{config.rows * config.lanes:,} ternary operations a cycle" in written
    assert f"{config.tokens_max} × {config.acc_bits} bits" in written
    assert f"tile {config.tile_bits:,} bits decoded" in written
    assert f"{config.result_entries} × {config.rows} sums" in written
    assert f"{sums(config)}: sums of {config.dot_bits} bits" in written
    assert f"row {config.rows - 1}" in written
    assert ("Weight store" in written) == (config.weight_store == "bram")


def test_the_rows_that_are_drawn_and_left_out_are_all_of_them() -> None:
    for rows in range(1, 9):
        written = texts(AcceleratorConfig(rows=rows))
        drawn = sum(text.startswith("row ") for text in written)
        left_out = [int(text.split()[1]) for text in written if "more rows" in text]
        assert drawn + sum(left_out) == rows


def test_the_description_says_what_is_drawn() -> None:
    said = describe(PRESETS["ulx3s"])
    for part in (
        "8 rows of 64 lanes",
        "8 chains of 8, 3 levels",
        "store of 64 KiB",
        "20 bits",
        "packed as i2",
    ):
        assert part in said
    assert "from a stream" in describe(AcceleratorConfig())


def test_the_same_configuration_is_the_same_drawing_and_another_is_not() -> None:
    assert draw(AcceleratorConfig()) == draw(AcceleratorConfig())
    assert draw(AcceleratorConfig()) != draw(AcceleratorConfig(act_port_bits=128))


def test_sizes_are_written_with_their_units() -> None:
    assert [kibibytes(bits) for bits in (100, 8 << 10, 12 << 20)] == ["100 bits", "1 KiB", "1.5 MiB"]
