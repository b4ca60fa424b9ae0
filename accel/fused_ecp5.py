"""Datapath `fused` for ECP5: chains of adders that mask and complement in the carry cell itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Module, Value

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath, extend, register
from tritforge.accel.ecp5 import Adder, Kind, add_chain, plain
from tritforge.accel.tree import sum_bits


@dataclass(frozen=True, kw_only=True)
class _Sum:
    """A sum in a register: its bits and the +1 that it lacks."""

    bits: Value
    owed: Value


class Ecp5FusedDot(Datapath):
    """Chains of `config.positions` lanes, joined by a tree.

    A chain adds one lane a cycle to the sum that its predecessor left in a register, so the lane at position p needs
    its operands p cycles after the first: the order in which activations and weights are stored sees to that.
    Every adder costs one carry cell a bit and half a cell for its carry-in.
    """

    @classmethod
    def stage_bits(cls, config: AcceleratorConfig) -> list[int]:
        lanes = [
            *range(1, config.positions + 1),
            *(min(config.positions << level, config.lanes) for level in range(1, config.tree_levels + 1)),
        ]
        return [config.act_bits, *(sum_bits(config, count) for count in lanes)]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self.config
        cells = platform is not None
        chains = config.lanes // config.positions

        sums: list[_Sum] = []
        for chain in range(chains):
            act, (nonzero, neg) = self.act(chain), self.trit(chain)
            passed = (act ^ neg.replicate(len(act))) & nonzero.replicate(len(act))
            sums.append(_registered(m, passed, neg, f"pos0_{chain}"))
        for position in range(1, config.positions):
            width = sum_bits(config, position + 1)
            adders, owed = [], []
            for chain in range(chains):
                lane = position * chains + chain
                nonzero, neg = self.trit(lane)
                adders.append(
                    Adder(
                        kind=Kind.TERNARY,
                        a=extend(sums[chain].bits, width),
                        b=extend(self.act(lane), width),
                        c=neg.replicate(width),
                        d=nonzero.replicate(width),
                        carry=sums[chain].owed,
                    )
                )
                owed.append(neg)
            sums = self._register_sums(m, adders, owed, f"pos{position}", cells=cells)
        lanes = config.positions
        for level in range(config.tree_levels):
            lanes *= 2
            width = sum_bits(config, min(lanes, config.lanes))
            pairs = [sums[start : start + 2] for start in range(0, len(sums), 2)]
            adders = [
                plain(extend(left.bits, width), extend(right.bits, width), left.owed)
                for left, right in (pair for pair in pairs if len(pair) == 2)
            ]
            owed = [pair[-1].owed for pair in pairs if len(pair) == 2]
            joined = self._register_sums(m, adders, owed, f"join{level}", cells=cells)
            for odd in (pair[0] for pair in pairs if len(pair) == 1):
                joined.append(_registered(m, odd.bits, odd.owed, f"join{level}_odd"))
            sums = joined
        m.d.comb += [self.sum.eq(sums[0].bits.as_signed()), self.carry.eq(sums[0].owed)]
        return m

    def _register_sums(
        self, m: Module, adders: Sequence[Adder], owed: Sequence[Value], name: str, *, cells: bool
    ) -> list[_Sum]:
        """Add, `adders_per_chain` adders in a carry chain, and register the sums."""
        size = self.config.adders_per_chain
        totals: list[Value] = []
        for start in range(0, len(adders), size):
            totals += add_chain(m, adders[start : start + size], name=f"{name}_add{start}", cells=cells)
        return [
            _registered(m, total, lacked, f"{name}_{index}")
            for index, (total, lacked) in enumerate(zip(totals, owed, strict=True))
        ]


def _registered(m: Module, bits: Value, owed: Value, name: str) -> _Sum:
    return _Sum(bits=register(m, bits, name), owed=register(m, owed, f"{name}_owed"))
