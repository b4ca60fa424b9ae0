"""The page on registers is the one that the map gives, and says nothing of registers that are not there."""

import re
import subprocess
import sys
from pathlib import Path

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.register_map import JOB_CAUSES, REFUSALS, registers
from tritforge.rtl.register_page import render_page

PAGE = Path(__file__).parents[2] / "docs" / "registers.md"
WORDS = registers(AcceleratorConfig(partial_sums=True), ControlConfig(address_bits=64, results="memory"))


def test_the_page_in_the_repository_is_up_to_date() -> None:
    assert PAGE.read_text() == render_page(), "run: python -m tritforge.rtl.register_page docs/registers.md"


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    subprocess.run([sys.executable, "-m", "tritforge.rtl.register_page", str(path)], check=True)
    assert path.read_text() == render_page()


def test_every_register_has_its_section_and_every_field_its_row() -> None:
    text = render_page()
    for name, register in WORDS.items():
        assert f"### {name}, 0x{register.offset:03X}" in text
        for field in register.fields:
            assert f"| `{field.name}` |" in text


def test_names_in_the_text_are_of_registers_and_fields() -> None:
    """Whatever the prose writes as a register, or as a field of one, exists."""
    text = render_page()
    fields = {f"{name}.{field.name}" for name, register in WORDS.items() for field in register.fields}
    for name in re.findall(r"`([A-Z][A-Z_]+(?:\.\w+)?)`", text):
        assert name in WORDS or name in fields, name


def test_every_cause_of_an_error_is_explained_in_the_text() -> None:
    prose = render_page().split("## Bit by bit")[0]
    for name, _ in REFUSALS.values():
        assert f"`{name}`" in prose
    table = render_page().split("### ERRORS")[1].split("###")[0]
    for name, description in (REFUSALS | JOB_CAUSES).values():
        assert f"| `{name}` | {description} |" in table
