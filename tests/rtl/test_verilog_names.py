"""Names that Verilog lets a module have."""

import re
from pathlib import Path

import pytest
from verilog_lint import lint

from tritforge.accel.errors import InputError
from tritforge.rtl.verilog_names import RESERVED, check_name


def test_the_standard_has_as_many_reserved_words() -> None:
    assert len(RESERVED) == 248


@pytest.mark.parametrize("name", ["module", "logic", "wire", "s_until_with"])
def test_a_reserved_word_is_refused(name: str) -> None:
    line = f"name is {name!r}, a reserved word of Verilog or SystemVerilog; choose another name"
    with pytest.raises(InputError, match=f"^{re.escape(line)}$"):
        check_name(name)


@pytest.mark.parametrize("name", ["Module", "module_", "core", "_", "x1"])
def test_other_identifiers_are_taken(name: str) -> None:
    check_name(name)


def said_of(path: Path, *names: str) -> str:
    """Return what Verilator says of modules of these names."""
    path.write_text("".join(f"module {name}; endmodule\n" for name in names))
    return lint(path).stderr


def test_verilator_reads_no_reserved_word_as_a_name(tmp_path: Path) -> None:
    for word in sorted(RESERVED)[::35]:
        assert "syntax error" in said_of(tmp_path / "word.v", word), word
    assert "syntax error" not in said_of(
        tmp_path / "capitals.v", *(word.upper() for word in sorted(RESERVED))
    )
