"""Mapping to a library of a dozen cells: what becomes of a design, and that it computes the same."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from amaranth.hdl import ClockDomain, Module, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from asap7 import asap7_files
from tiny_liberty import tiny_liberty

from tritforge.accel.errors import InputError, VerificationError
from tritforge.rtl.gates.closure import Effort, close_timing
from tritforge.rtl.gates.equivalence import prove
from tritforge.rtl.gates.liberty import Library, load_library
from tritforge.rtl.gates.mapping import MappingOptions, map_design, weak_cells
from tritforge.rtl.gates.netlist import GateNetlist, WireLoad
from tritforge.rtl.gates.simulation import Stimulus, port_bits, port_values, simulate
from tritforge.rtl.synthesis import convert

WIRE = WireLoad(base_fF=0.1, per_sink_fF=0.1)
#: Of `MultiplyAdd`: the sum takes 8 bits, of which the highest is the output's sign twice.
REGISTERS = 4 + 3 + 6 + 8


class MultiplyAdd(wiring.Component):  # type: ignore[misc]
    """``a * b + c`` with registers before and behind it, whose carries, sums and constants meet everything."""

    def __init__(self) -> None:
        super().__init__(
            {"clk": In(1), "a": In(signed(4)), "b": In(signed(3)), "c": In(signed(6)), "y": Out(signed(9))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains.sync = domain = ClockDomain("sync", reset_less=True)
        a, b, c = Signal(signed(4)), Signal(signed(3)), Signal(signed(6))
        m.d.comb += domain.clk.eq(self.clk)
        m.d.sync += [a.eq(self.a), b.eq(self.b), c.eq(self.c), self.y.eq(a * b + c)]
        return m


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Library:
    return load_library([tiny_liberty(tmp_path_factory.mktemp("library"))])


@pytest.fixture(scope="module")
def source() -> str:
    return convert(MultiplyAdd())


def check(netlist: GateNetlist) -> None:
    """Compare outputs with integers: 64 streams, the result two cycles after its operands."""
    generator = np.random.default_rng(0)
    a, b, c = (generator.integers(-(1 << width - 1), 1 << width - 1, (40, 64)) for width in (4, 3, 6))
    ports = {
        name: port_bits(values, width) for name, values, width in (("a", a, 4), ("b", b, 3), ("c", c, 6))
    }
    got = port_values(simulate(netlist, Stimulus(ports=ports)).outputs["y"], signed=True)
    expected = (a * b + c)[:-1]
    assert np.array_equal(got[1:], expected) or np.array_equal(got[2:], expected[:-1])


@pytest.mark.parametrize(
    ("adders", "flip_flops"), [("cells", "small"), ("ripple", "plain"), ("prefix", "small")]
)
def test_every_way_of_mapping_computes_the_same(
    library: Library, source: str, tmp_path: Path, adders: str, flip_flops: str
) -> None:
    options = MappingOptions(adders=adders, flip_flops=flip_flops)
    mapped = map_design(source, library=library, options=options, folder=tmp_path)
    netlist = GateNetlist.read(mapped.netlist, top="top", library=library.cells)
    check(netlist)
    registers = mapped.cells.get("DFFN", 0) + mapped.cells.get("DFF", 0)
    assert registers == REGISTERS
    assert (mapped.cells.get("FA", 0) > 0) == (adders == "cells")
    assert "WEAK" not in mapped.cells
    if flip_flops == "small":
        assert mapped.cells["DFFN"] == registers
    proof = prove(mapped, library=library)
    assert (proof.registers, proof.outputs) == (REGISTERS, REGISTERS + 9)


def test_a_netlist_with_another_gate_is_refuted(library: Library, source: str, tmp_path: Path) -> None:
    mapped = map_design(source, library=library, options=MappingOptions(), folder=tmp_path)
    before = mapped.netlist.stat().st_mtime_ns
    assert map_design(source, library=library, options=MappingOptions(), folder=tmp_path) == mapped
    assert mapped.netlist.stat().st_mtime_ns == before
    design = json.loads(mapped.netlist.read_text())
    cell = next(
        cell
        for cell in design["modules"]["top"]["cells"].values()
        if cell["type"] in {"NAND", "NOR", "XOR", "XNOR"}
    )
    cell["type"] = {"NAND": "NOR", "NOR": "NAND", "XOR": "XNOR", "XNOR": "XOR"}[cell["type"]]
    mapped.netlist.write_text(json.dumps(design))
    message = f"the mapped netlist {mapped.netlist} differs from its design, see {tmp_path / 'proof.log'}"
    with pytest.raises(VerificationError, match=re.escape(message)):
        prove(mapped, library=library)


def test_the_ladder_stops_where_the_clock_is_met(library: Library, source: str, tmp_path: Path) -> None:
    efforts = (
        Effort(script="area", logic_share=0.85, ripple_bits=24),
        Effort(script="speed", logic_share=0.5, ripple_bits=0),
    )
    steps: list[int] = []
    options = MappingOptions(clock_mhz=100)
    slow = close_timing(
        source,
        library=library,
        options=options,
        wire_load=WIRE,
        folder=tmp_path,
        efforts=efforts,
        on_step=steps.append,
    )
    assert slow.met
    assert (slow.effort, steps, slow.slacks_ps) == (0, [0], (slow.timing.slack_ps,))
    impossible = close_timing(
        source,
        library=library,
        options=replace(options, clock_mhz=50_000),
        wire_load=WIRE,
        folder=tmp_path,
        efforts=efforts,
    )
    assert not impossible.met
    assert len(impossible.slacks_ps) == 2
    assert impossible.timing.slack_ps == max(impossible.slacks_ps)
    check(impossible.netlist)


def test_weak_cells_are_those_that_slow_down_with_the_load(library: Library) -> None:
    assert weak_cells(library, 13) == ("WEAK",)
    assert weak_cells(library, 31) == ()


def test_options_out_of_bounds_are_refused(library: Library, source: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="adders is 'fast'; it must be one of prefix, ripple, cells"):
        MappingOptions(adders="fast")
    with pytest.raises(InputError, match="clock_mhz is 0; it must be from 1 to 100000"):
        MappingOptions(clock_mhz=0)
    with pytest.raises(InputError, match="ripple_bits is 65; it must be from 0 to 64"):
        MappingOptions(ripple_bits=65)
    with pytest.raises(InputError, match=re.escape("logic_share is 1.5; it must be above 0 and at most 1")):
        MappingOptions(logic_share=1.5)
    with pytest.raises(InputError, match="the ladder of efforts is empty; name at least one"):
        close_timing(
            source,
            library=library,
            options=MappingOptions(),
            wire_load=WIRE,
            folder=tmp_path,
            efforts=(),
        )


def test_a_library_without_flip_flops_is_refused(source: str, tmp_path: Path) -> None:
    path = tiny_liberty(tmp_path)
    text = path.read_text()
    path.write_text(text[: text.index("cell (DFFN)")] + "}\n")
    with pytest.raises(InputError, match="tiny has no flip-flop of a clock and a data pin; add the file of"):
        map_design(source, library=load_library([path]), options=MappingOptions(), folder=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("adders", ["cells", "prefix"])
def test_asap7_takes_the_design_at_a_gigahertz(source: str, tmp_path: Path, adders: str) -> None:
    library = load_library(asap7_files("SIMPLE", "INVBUF", "SEQ", "AO", "OA"), cache=tmp_path / "cache")
    closed = close_timing(
        source, library=library, options=MappingOptions(adders=adders), wire_load=WIRE, folder=tmp_path
    )
    assert closed.met
    check(closed.netlist)
    assert closed.mapped.cells["DFFHQNx1_ASAP7_75t_R"] == REGISTERS
    assert ("FAx1_ASAP7_75t_R" in closed.mapped.cells) == (adders == "cells")
    assert prove(closed.mapped, library=library, library_folder=tmp_path / "library").registers == REGISTERS
