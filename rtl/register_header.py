"""The registers as a C header."""

from pathlib import Path

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.files import write_atomically
from tritforge.accel.register_map import registers
from tritforge.accel.registers import Access, Register

#: A program in C that uses the header.
EXAMPLE = Path(__file__).with_name("tritforge_example.c")
HEADER_NAME = "tritforge_regs.h"
_PREFIX = "TRITFORGE_"
_ACCESS = {
    Access.READ_ONLY: "read only",
    Access.READ_WRITE: "read and write",
    Access.CLEAR: "write 1 to clear",
    Access.STROBE: "write 1 to start, reads as zero",
}
_HEAD = """\
/* Registers of a TritForge accelerator. Generated: change the accelerator and generate it again.
 *
 * ..._OFFSET is a byte address in the page of registers; a field has ..._SHIFT and ..._MASK (of the word, in place).
 * ..._VALUE is what a constant register of this very accelerator reads.
 */
#ifndef TRITFORGE_REGS_H
#define TRITFORGE_REGS_H

/* A field's value in a word, and a word with this value in a field, as TRITFORGE_GET(TRITFORGE_STATUS_BUSY, w). */
#define TRITFORGE_GET(field, word) (((word) & field##_MASK) >> field##_SHIFT)
#define TRITFORGE_PUT(field, value) (((value) << field##_SHIFT) & field##_MASK)
"""
_TAIL = """
#endif
"""


def render_header(config: AcceleratorConfig, control: ControlConfig) -> str:
    """Return the header of an accelerator's registers, C11 without an include."""
    parts = [_registers(register) for register in registers(config, control).values()]
    return _HEAD + "".join(parts) + _TAIL


def write_header(folder: Path, config: AcceleratorConfig, control: ControlConfig) -> tuple[Path, Path]:
    """Write the header and the example that uses it into a folder; return their paths."""
    header, example = folder / HEADER_NAME, folder / EXAMPLE.name
    write_atomically(header, render_header(config, control))
    write_atomically(example, EXAMPLE.read_text())
    return header, example


def _registers(register: Register) -> str:
    """Return the lines of a register."""
    name = _PREFIX + register.name
    lines = [f"\n/* {register.description}: {_ACCESS[register.access]}. */"]
    lines.append(f"#define {name}_OFFSET {register.offset:#05x}u")
    if register.count > 1:
        lines.append(f"#define {name}_COUNT {register.count}u")
    if register.constant is not None:
        lines.append(f"#define {name}_VALUE {register.constant:#010x}u")
    for field in register.fields:
        stem = f"{name}_{field.name.upper()}"
        lines += [
            f"/* {field.name}: {field.description} */",
            f"#define {stem}_SHIFT {field.shift}u",
            f"#define {stem}_MASK {field.mask:#010x}u",
        ]
        lines += [f"#define {stem}_{value.upper()} {index}u" for index, value in enumerate(field.names)]
    return "\n".join(lines) + "\n"
