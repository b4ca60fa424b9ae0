"""Libraries from Liberty files."""

import gzip
import re
from pathlib import Path

import pytest
from asap7 import asap7_files
from tiny_liberty import tiny_liberty

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.liberty import load_library


def test_cells_come_in_the_projects_units(tmp_path: Path) -> None:
    library = load_library([tiny_liberty(tmp_path, voltage=500, voltage_unit="1mV")])
    nand = library.cell("NAND")
    assert library.voltage == pytest.approx(0.5)
    assert library.slew_thresholds == (0.1, 0.9)
    assert (nand.area_um2, nand.leakage_nW) == (2, 0.04)
    assert [(when.pins, leakage) for when, leakage in nand.leakages] == [(("A",), 0.06)]
    assert nand.inputs["B"].capacitance_fF == 1
    function = nand.outputs["Y"].function
    assert function is not None
    assert function.truth(("A", "B")) == 0b0111
    (arc, _) = nand.arcs
    assert arc.rise is not None
    assert arc.rise.at(50, 5) == 8 + 5 + 15
    (power,) = nand.powers
    assert power.rise is not None
    assert power.fall is not None
    # fF and mV make aJ.
    assert (power.rise.at(0, 0), power.fall.at(0, 0)) == pytest.approx((0.5e-6, -0.25e-6))


def test_a_table_whose_first_axis_is_the_load_is_turned(tmp_path: Path) -> None:
    cell = (
        "cell (TURNED) { area : 1; pin (A) { direction : input; } pin (Y) { direction : output; "
        'function : "A"; timing () { related_pin : "A"; cell_rise (swapped) { values ("1, 2", "3, 4"); } '
        'rise_transition (swapped) { values ("1, 2", "3, 4"); } } } }\n'
    )
    (arc,) = load_library([tiny_liberty(tmp_path, more=cell)]).cell("TURNED").arcs
    assert arc.rise is not None
    assert arc.rise.at(100, 0) == 2
    assert arc.rise.at(0, 10) == 3
    assert arc.fall is None


def test_flip_flops_say_what_they_store_and_show(tmp_path: Path) -> None:
    library = load_library([tiny_liberty(tmp_path)])
    inverting, plain = library.cell("DFFN").flip_flop, library.cell("DFF").flip_flop
    assert inverting is not None
    assert plain is not None
    assert (inverting.clock, inverting.rising, inverting.outputs) == ("CLK", True, {"QN": True})
    assert inverting.next_state.truth(("D",)) == 0b01
    assert plain.next_state.truth(("D",)) == 0b10
    (setup,) = library.cell("DFF").constraints
    assert (setup.pin, setup.clock, setup.kind) == ("D", "CLK", "setup_rising")


def test_a_file_is_parsed_once(tmp_path: Path) -> None:
    path, cache = tiny_liberty(tmp_path), tmp_path / "cache"
    packed = tmp_path / "packed.lib.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    parsed: list[str] = []
    first = load_library([path], cache=cache, on_parse=parsed.append)
    again = load_library([packed], cache=cache, on_parse=parsed.append)
    assert parsed == ["tiny.lib"]
    assert again.sha256 == first.sha256
    assert list(again.cells) == list(first.cells)
    for name in first.cells:
        one, other = first.cells[name], again.cells[name]
        assert (one.inputs, one.outputs, one.flip_flop) == (other.inputs, other.outputs, other.flip_flop)
        for arc, same in zip(one.arcs, other.arcs, strict=True):
            assert arc.rise is not None
            assert same.rise is not None
            assert arc.rise.at(33, 4) == same.rise.at(33, 4)
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:100])
    load_library([path], cache=cache, on_parse=parsed.append)
    assert parsed == ["tiny.lib", "tiny.lib"]


def test_what_is_no_library_is_refused_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no Liberty file is named; name at least one"):
        load_library([])
    missing, text, cut = tmp_path / "missing.lib", tmp_path / "text.lib", tmp_path / "cut.lib"
    with pytest.raises(
        InputError, match=re.escape(f"cannot read {missing}: No such file or directory; name a")
    ):
        load_library([missing])
    text.write_text("Call me Ishmael.")
    with pytest.raises(InputError, match=re.escape(f"{text} is not a Liberty library: ")):
        load_library([text])
    cut.write_text(tiny_liberty(tmp_path).read_text()[:-5])
    with pytest.raises(InputError, match=re.escape(f"{cut} is not a Liberty library: ")) as refusal:
        load_library([cut])
    assert "\n" not in str(refusal.value)


def test_files_of_two_corners_or_of_the_same_cells_are_refused(tmp_path: Path) -> None:
    one, other = tiny_liberty(tmp_path), tiny_liberty(tmp_path, name="other", voltage=0.7)
    with pytest.raises(
        InputError, match=re.escape(f"voltage is 0.7 in {other} and 0.5 in {one}; name files of")
    ):
        load_library([one, other])
    with pytest.raises(
        InputError, match=re.escape(f"cell INV is in {one} a second time; name each file once")
    ):
        load_library([one, one])
    with pytest.raises(InputError, match="the library has no cell 'AND'; name the files of all cells"):
        load_library([one]).cell("AND")


def test_asap7_is_at_its_drawn_size() -> None:
    """Three gate pitches of 54 nm by a row of 270 nm, not four times that in each direction."""
    library = load_library(asap7_files("INVBUF", "SEQ"))
    assert library.cell("INVx1_ASAP7_75t_R").area_um2 == pytest.approx(3 * 0.054 * 0.27)
    assert (library.voltage, library.temperature) == (0.7, 25)
    flip_flop = library.cell("DFFHQNx1_ASAP7_75t_R").flip_flop
    assert flip_flop is not None
    assert flip_flop.next_state.truth(("D",)) == 0b01
