"""An arithmetic unit alone between registers: what published energies of an addition or a multiplication are of."""

from collections.abc import Collection

import numpy as np
import numpy.typing as npt
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.datapath import register
from tritforge.accel.errors import InputError
from tritforge.accel.float16 import FloatAdder, FloatMultiplier
from tritforge.accel.float_format import FloatFormat

OPERATIONS = ("add", "mul")


class LoneUnit(wiring.Component):
    """One operation a cycle on two registered operands, with a register for the result.

    Parameters
    ----------
    operation
        ``add`` or ``mul``.
    bits
        Width of two signed integers: a sum keeps it, a product has twice as many.
    form
        Format of two floating-point numbers and their result, in place of `bits`.
    registers
        Steps of a floating-point unit that end in a register; ``round`` must.

    Members
    -------
    a, b : In, the operands
    result : Out, `latency` cycles later

    Raises
    ------
    InputError
        An unknown operation, or not exactly one of `bits` and `form`.
    """

    def __init__(
        self,
        operation: str,
        *,
        bits: int = 0,
        form: FloatFormat | None = None,
        registers: Collection[str] = ("round",),
    ) -> None:
        if operation not in OPERATIONS:
            raise InputError(f"operation is {operation!r}; it must be one of {', '.join(OPERATIONS)}")
        if (bits > 0) == (form is not None):
            raise InputError(f"bits is {bits} and form {form}; give one of the two")
        if form is not None and "round" not in registers:
            raise InputError("registers has no 'round'; the result needs a register")
        self.operation = operation
        self.form = form
        self.registers = tuple(registers)
        self.operand_bits = bits if form is None else form.bits
        self.result_bits = self.operand_bits * (2 if form is None and operation == "mul" else 1)
        self.latency = 1 + (1 if form is None else len(self.registers))
        super().__init__(
            {"a": In(self.operand_bits), "b": In(self.operand_bits), "result": Out(self.result_bits)}
        )

    def _float_unit(self, form: FloatFormat) -> FloatAdder | FloatMultiplier:
        if self.operation == "add":
            return FloatAdder(form, registers=self.registers)
        return FloatMultiplier(form, registers=self.registers, bypass=True)

    def model(self, a: npt.ArrayLike, b: npt.ArrayLike) -> npt.NDArray[np.int64]:
        """Return results as patterns, of patterns or of signed integers."""
        if self.form is not None:
            return self._float_unit(self.form).model(a, b)
        x, y = np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)
        return (x + y if self.operation == "add" else x * y) & ((1 << self.result_bits) - 1)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        a, b = register(m, self.a, "a_register"), register(m, self.b, "b_register")
        if self.form is None:
            x, y = a.as_signed(), b.as_signed()
            result = x + y if self.operation == "add" else x * y
            m.d.comb += self.result.eq(register(m, result[: self.result_bits], "result_register"))
            return m
        m.submodules.unit = unit = self._float_unit(self.form)
        m.d.comb += [
            unit.a.eq(a),
            unit.b.eq(b),
            self.result.eq(unit.sum if isinstance(unit, FloatAdder) else unit.product),
        ]
        return m
