"""The documentation of the registers: prose with tables made from the map."""

import argparse
from pathlib import Path
from string import Template

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.files import write_atomically
from tritforge.accel.register_map import registers
from tritforge.accel.registers import Field, Register

_TEMPLATE = Path(__file__).with_name("registers.md.in")
#: An accelerator with every register, and its fields as wide as they can be.
_LARGEST = AcceleratorConfig(tokens_max=256, k_max=1 << 15, m_max=1 << 20, partial_sums=True)
_LARGEST_CONTROL = ControlConfig(address_bits=64, results="memory")


def render_page() -> str:
    """Return the page in Markdown."""
    words = list(registers(_LARGEST, _LARGEST_CONTROL).values())
    overview = ["| offset | register | access | |", "|---|---|---|---|"]
    overview += [
        f"| {_offsets(word)} | `{word.name}` | {word.access.value} | {word.description} |" for word in words
    ]
    return Template(_TEMPLATE.read_text()).substitute(
        overview="\n".join(overview), registers="\n\n".join(_section(word) for word in words)
    )


def _offsets(register: Register) -> str:
    first, last = register.offsets[0], register.offsets[-1]
    return f"0x{first:03X}" if register.count == 1 else f"0x{first:03X} to 0x{last:03X}"


def _section(register: Register) -> str:
    """Return a register's heading and the table of its fields."""
    lines = [
        f"### {register.name}, {_offsets(register)}, {register.access.value}",
        "",
        f"{register.description}.",
        "",
        "| bits | field | |",
        "|---|---|---|",
    ]
    return "\n".join(lines + [_row(field) for field in register.fields])


def _row(field: Field) -> str:
    high = field.shift + field.width - 1
    bits = str(high) if field.width == 1 else f"{high}:{field.shift}"
    names = ", ".join(f"{value} `{name}`" for value, name in enumerate(field.names))
    return f"| {bits} | `{field.name}` | {field.description}{f': {names}' if names else ''} |"


def main() -> None:
    """Write the page to the path that the command line names."""
    parser = argparse.ArgumentParser(description="Write the documentation of the registers.")
    parser.add_argument("path", type=Path, help="for example docs/registers.md")
    write_atomically(parser.parse_args().path, render_page())


if __name__ == "__main__":
    main()
