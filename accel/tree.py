"""Datapath `tree`: lanes that mask and complement, and a tree of adders, for any target."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Value

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import Datapath, extend, register


@dataclass(frozen=True, kw_only=True)
class Term:
    """A sum inside the tree: its bits, the +1 that it lacks, and the number of lanes in it."""

    bits: Value
    owed: Value
    lanes: int


class DotTree(Datapath):
    """Adder tree of `config.tree_arity` operands an adder.

    A register follows every `config.levels_per_register` levels and the last one. Sums are as wide as their
    interval needs: ``act_bits + ceil(log2(n))`` bits for n lanes.
    """

    @classmethod
    def stage_bits(cls, config: AcceleratorConfig) -> list[int]:
        levels = range(0, config.tree_levels + 1, config.levels_per_register)
        last = [config.tree_levels] if config.tree_levels % config.levels_per_register else []
        return [sum_bits(config, min(config.tree_arity**level, config.lanes)) for level in (*levels, *last)]

    def lane(self, index: int) -> Value:
        """Return the bits that one lane passes: ``x``, ``~x`` or 0."""
        return self.masked(index)

    def owed(self, index: int) -> Value:
        """Return the +1 that one lane lacks."""
        return self.trit(index)[1] if self.config.negation == "carry" else Const(0, 1)

    def add(self, terms: Sequence[Term], width: int, level: int, index: int) -> Value:  # noqa: ARG002
        """Return the sum of neighbours and of all that they lack but the last; `level` and `index` say where."""
        return add_terms(terms, width, self.config.negation)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        terms = [Term(bits=self.lane(i), owed=self.owed(i), lanes=1) for i in range(config.lanes)]
        for level in range(config.tree_levels):
            ends_stage = (level + 1) % config.levels_per_register == 0 or level == config.tree_levels - 1
            joined = []
            for index, start in enumerate(range(0, len(terms), config.tree_arity)):
                term = self._join(terms[start : start + config.tree_arity], level, index)
                joined.append(registered(m, term, f"level{level}_{index}") if ends_stage else term)
            terms = joined
        m.d.comb += [self.sum.eq(terms[0].bits.as_signed()), self.carry.eq(terms[0].owed)]
        return m

    def _join(self, terms: Sequence[Term], level: int, index: int) -> Term:
        if len(terms) == 1:
            return terms[0]
        lanes = sum(term.lanes for term in terms)
        bits = self.add(terms, sum_bits(self.config, lanes), level, index)
        return Term(bits=bits, owed=terms[-1].owed, lanes=lanes)


def sum_bits(config: AcceleratorConfig, lanes: int) -> int:
    """Width of a sum of lanes: it lies in ``-2**(act_bits-1) * n .. 2**(act_bits-1) * n - 1``."""
    return config.act_bits + (lanes - 1).bit_length()


def add_terms(terms: Sequence[Term], width: int, negation: str) -> Value:
    """Return the bits of a sum that needs `width` of them."""
    operands = [extend(term.bits, width) for term in terms]
    owed = [term.owed for term in terms[:-1]]
    if negation == "bias":
        return sum(operands[1:], operands[0])[:width]
    if len(terms) == 2:
        # The carry-in as an addition of one more bit below: synthesis finds no carry-in in a sum of three.
        return (Cat(1, operands[0]) + Cat(owed[0], operands[1]))[1 : width + 1]
    return sum((*operands[1:], *owed), operands[0])[:width]


def registered(m: Module, term: Term, name: str) -> Term:
    """Return a sum in a register."""
    owed = term.owed if isinstance(term.owed, Const) else register(m, term.owed, f"{name}_owed")
    return Term(bits=register(m, term.bits, name), owed=owed, lanes=term.lanes)
