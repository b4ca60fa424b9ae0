"""Datapath `fused` for ECP5: chains of adders that mask and complement in the carry cell itself."""

from collections.abc import Sequence

from amaranth.hdl import Module, Value

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath, extend
from tritforge.accel.ecp5 import Adder, Kind, add_chain, plain
from tritforge.accel.tree import Term, registered, sum_bits


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

        sums: list[Term] = []
        for chain in range(chains):
            lane = Term(bits=self.masked(chain), owed=self.trit(chain)[1], lanes=1)
            sums.append(registered(m, lane, f"pos0_{chain}"))
        for position in range(1, config.positions):
            width = sum_bits(config, position + 1)
            adders, owed = [], []
            for chain in range(chains):
                index = position * chains + chain
                nonzero, neg = self.trit(index)
                adders.append(
                    Adder(
                        kind=Kind.TERNARY,
                        a=extend(sums[chain].bits, width),
                        b=extend(self.act(index), width),
                        c=neg.replicate(width),
                        d=nonzero.replicate(width),
                        carry=sums[chain].owed,
                    )
                )
                owed.append(neg)
            lanes = [position + 1] * chains
            sums = self._register_sums(m, adders, owed, lanes, f"pos{position}", cells=cells)
        for level in range(config.tree_levels):
            pairs = list(zip(sums[::2], sums[1::2], strict=False))
            lanes = [left.lanes + right.lanes for left, right in pairs]
            adders = []
            for (left, right), count in zip(pairs, lanes, strict=True):
                width = sum_bits(config, count)
                adders.append(plain(extend(left.bits, width), extend(right.bits, width), left.owed))
            owed = [right.owed for _, right in pairs]
            odd = sums[2 * len(pairs) :]
            sums = self._register_sums(m, adders, owed, lanes, f"join{level}", cells=cells)
            sums += [registered(m, term, f"join{level}_odd") for term in odd]
        m.d.comb += [self.sum.eq(sums[0].bits.as_signed()), self.carry.eq(sums[0].owed)]
        return m

    def _register_sums(
        self,
        m: Module,
        adders: Sequence[Adder],
        owed: Sequence[Value],
        lanes: Sequence[int],
        name: str,
        *,
        cells: bool,
    ) -> list[Term]:
        """Add, `adders_per_chain` adders in a carry chain, and register the sums."""
        size = self.config.adders_per_chain
        totals: list[Value] = []
        for start in range(0, len(adders), size):
            totals += add_chain(m, adders[start : start + size], name=f"{name}_add{start}", cells=cells)
        return [
            registered(m, Term(bits=total, owed=lacked, lanes=count), f"{name}_{index}")
            for index, (total, lacked, count) in enumerate(zip(totals, owed, lanes, strict=True))
        ]
