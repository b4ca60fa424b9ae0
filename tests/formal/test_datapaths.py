"""Datapaths equal the sum of ternary products, proved for every activation and every legal trit at 4 lanes."""

from dataclasses import replace
from pathlib import Path

import pytest
from amaranth.hdl import Cat, Module, Mux, Value
from formal import FormalBench, prove_pipeline

from tritforge.accel.codes import I2_ILLEGAL, TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath, VendorCells
from tritforge.accel.fused_ecp5 import Ecp5FusedDot
from tritforge.accel.fused_xilinx import XilinxFusedDot
from tritforge.accel.tree import DotTree

LANES = 4
TREE = AcceleratorConfig(lanes=LANES, rows=1, act_bits=8, act_port_bits=8)
ECP5 = replace(TREE, datapath="fused", target="ecp5", negation="carry", chain_length=2)
XILINX = replace(TREE, datapath="fused", target="xilinx", negation="carry")
XILINX_CELLS = "-D NO_INCLUDES +/xilinx/cells_sim.v"
ECP5_CELLS = "-D NO_INCLUDES +/ecp5/cells_sim.v"


class SumBench(FormalBench):
    """A datapath beside a reference that multiplies by selection and adds."""

    def __init__(self, dot: Datapath) -> None:
        super().__init__()
        self.dot = dot

    def properties(self, m: Module) -> None:
        dot, config = self.dot, self.dot.config
        m.submodules.dot = dot
        acts = [self.free(config.act_bits, f"act{lane}") for lane in range(config.lanes)]
        trits = [self.free(TRIT_BITS, f"trit{lane}") for lane in range(config.lanes)]
        for trit in trits:
            self.assume(m, trit != I2_ILLEGAL)
        chains = config.lanes // config.positions
        late = [lane // chains for lane in range(config.lanes)]
        m.d.comb += [
            dot.acts.eq(Cat(self.past(m, act, cycles) for act, cycles in zip(acts, late, strict=True))),
            dot.trits.eq(Cat(self.past(m, trit, cycles) for trit, cycles in zip(trits, late, strict=True))),
        ]
        latency = config.datapath_latency
        products: list[Value] = []
        negatives: list[Value] = []
        for act, trit in zip(acts, trits, strict=True):
            x, w = self.past(m, act, latency).as_signed(), self.past(m, trit, latency)
            products.append(Mux(w == 0, 0, Mux(w == 0b11, -x, x)))
            negatives.append(w == 0b11)
        lacking: Value = sum(negatives[1:], negatives[0]) if config.negation == "bias" else dot.carry
        self.check(m, dot.sum + lacking == sum(products[1:], products[0]))
        if config.negation == "bias":
            self.check(m, ~dot.carry)


def tree(**changes: object) -> DotTree:
    return DotTree(replace(TREE, **changes))  # type: ignore[arg-type]


def prove_sum(dot: Datapath, folder: Path, **options: object) -> bool:
    outcome = prove_pipeline(SumBench(dot), dot.config.datapath_latency, folder, **options)  # type: ignore[arg-type]
    print(f"{type(dot).__name__}, {dot.config.act_bits} bits: {outcome.seconds:.1f} s")
    return outcome.proved


@pytest.mark.parametrize("act_bits", range(2, 9))
@pytest.mark.parametrize("levels_per_register", [1, 2])
@pytest.mark.parametrize("tree_arity", [2, 3])
@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_the_tree_is_the_sum(
    negation: str, tree_arity: int, levels_per_register: int, act_bits: int, tmp_path: Path
) -> None:
    dot = tree(
        negation=negation, tree_arity=tree_arity, levels_per_register=levels_per_register, act_bits=act_bits
    )
    assert prove_sum(dot, tmp_path)


@pytest.mark.parametrize("lanes", [2, 3, 5])
@pytest.mark.parametrize("tree_arity", [2, 3, 4])
@pytest.mark.parametrize("negation", ["bias", "carry"])
def test_a_tree_that_is_not_full_is_the_sum(
    negation: str, tree_arity: int, lanes: int, tmp_path: Path
) -> None:
    assert prove_sum(tree(lanes=lanes, act_bits=4, negation=negation, tree_arity=tree_arity), tmp_path)


@pytest.mark.parametrize(
    ("chain_length", "adders_per_chain", "act_bits"),
    [
        *((4, 1, act_bits) for act_bits in range(2, 9)),
        *((2, 2, act_bits) for act_bits in range(2, 7)),
        (2, 2, 8),
        (2, 1, 4),
    ],
)
def test_the_fused_ecp5_cells_are_the_sum(
    chain_length: int, adders_per_chain: int, act_bits: int, tmp_path: Path
) -> None:
    """With Yosys' own model of the carry cell; what is simulated without cells is the same sum."""
    config = replace(ECP5, chain_length=chain_length, adders_per_chain=adders_per_chain, act_bits=act_bits)
    assert prove_sum(Ecp5FusedDot(config), tmp_path, platform=VendorCells(), cells=ECP5_CELLS)
    assert prove_sum(Ecp5FusedDot(config), tmp_path / "operators")


@pytest.mark.parametrize(("lanes", "act_bits"), [(2, 8), (4, 2), (4, 8), (5, 4), (6, 4)])
def test_the_fused_xilinx_cells_are_the_sum(lanes: int, act_bits: int, tmp_path: Path) -> None:
    """With Yosys' own models of the LUT and the carry chain; six lanes are the fewest for an adder of three."""
    config = replace(XILINX, lanes=lanes, act_bits=act_bits)
    assert prove_sum(XilinxFusedDot(config), tmp_path, platform=VendorCells(), cells=XILINX_CELLS)


class WrongLane(DotTree):
    """The last lane complements where its weight is +1."""

    def lane(self, index: int) -> Value:
        passed = super().lane(index)
        nonzero, neg = self.trit(index)
        return passed ^ (nonzero & ~neg).replicate(len(passed)) if index == LANES - 1 else passed


class WrongCorner(DotTree):
    """The sum's lowest bit is wrong for one of all combinations of the operands."""

    def lane(self, index: int) -> Value:
        passed = super().lane(index)
        corner = (self.acts == 0x7F8001FE) & (self.trits == 0b11010111)
        return passed ^ corner if index == 0 else passed


@pytest.mark.parametrize("negation", ["bias", "carry"])
@pytest.mark.parametrize("wrong", [WrongLane, WrongCorner])
def test_a_wrong_datapath_is_refuted(wrong: type[DotTree], negation: str, tmp_path: Path) -> None:
    assert not prove_sum(wrong(replace(TREE, negation=negation)), tmp_path)


class CarryLost(Ecp5FusedDot):
    """The +1 that the sum lacks is not passed on."""

    def elaborate(self, platform: object) -> Module:
        m = super().elaborate(platform)
        m.d.comb += self.carry.eq(0)
        return m


def test_a_wrong_fused_datapath_is_refuted(tmp_path: Path) -> None:
    dot = CarryLost(replace(ECP5, act_bits=4))
    assert not prove_sum(dot, tmp_path, platform=VendorCells(), cells=ECP5_CELLS)
