"""Full and half adders of a library: which cells they are, and where a design has use for them."""

from collections.abc import Mapping
from dataclasses import dataclass

from tritforge.rtl.gates.cells import LibertyCell
from tritforge.rtl.gates.liberty import Library
from tritforge.rtl.gates.yosys_module import Bit, YosysModule

#: What `full_adders.v` makes of a full adder, and what this module makes of one with a constant 0 among its inputs.
FULL, HALF = "TRITFORGE_FA", "TRITFORGE_HA"
_XOR3, _MAJORITY = 0b10010110, 0b11101000
_XOR2, _AND2 = 0b0110, 0b1000


@dataclass(frozen=True, kw_only=True)
class AdderCell:
    """A full or a half adder.

    Attributes
    ----------
    cell
        Its name.
    inputs
        Pins; their order has no meaning.
    sum, carry
        Pins.
    sum_inverted, carry_inverted
        Whether the pin gives the complement.
    """

    cell: str
    inputs: tuple[str, ...]
    sum: str
    carry: str
    sum_inverted: bool
    carry_inverted: bool


def find_adder(library: Library, operands: int) -> AdderCell | None:
    """Return the library's smallest adder of two or three operands of a bit, or None where it has none."""
    total, over = (_XOR3, _MAJORITY) if operands == 3 else (_XOR2, _AND2)
    ones = (1 << (1 << operands)) - 1
    found = []
    for cell in library.cells.values():
        roles = _roles(cell, {total: "sum", over: "carry"}, operands, ones)
        if set(roles) == {"sum", "carry"}:
            adder = AdderCell(
                cell=cell.name,
                inputs=tuple(cell.inputs),
                sum=roles["sum"][0],
                carry=roles["carry"][0],
                sum_inverted=roles["sum"][1],
                carry_inverted=roles["carry"][1],
            )
            found.append((cell.area_um2, cell.name, adder))
    return min(found)[2] if found else None


def _roles(
    cell: LibertyCell, wanted: Mapping[int, str], operands: int, ones: int
) -> dict[str, tuple[str, bool]]:
    """Return pin and inversion by what a cell's outputs are of its inputs; empty where they are something else."""
    if len(cell.inputs) != operands or len(cell.outputs) != 2 or cell.is_sequential:
        return {}
    roles: dict[str, tuple[str, bool]] = {}
    for pin, description in cell.outputs.items():
        if description.function is None:
            return {}
        truth = description.function.truth(tuple(cell.inputs))
        for inverted, table in ((False, truth), (True, truth ^ ones)):
            if table in wanted:
                roles[wanted[table]] = (pin, inverted)
    return roles


def simplify_adders(module: YosysModule, *, half: bool) -> None:
    """Turn full adders with constant inputs or an output that nobody reads into what is left of them, in place.

    Parameters
    ----------
    module
        With cells `FULL`: inputs A, B, C, sum Y, carry X.
    half
        Whether those with one constant 0 become half adders `HALF` (A, B, Y, X); otherwise gates.
    """
    known: dict[Bit, Bit] = {}
    waiting = [name for name, cell in module.cells.items() if cell["type"] == FULL]
    changed = True
    while changed:
        # An adder without a carry to give makes the next one's input constant.
        changed = False
        for name in list(waiting):
            cell = module.cells[name]
            pins = [_resolved(cell["connections"][pin][0], known) for pin in "ABC"]
            if not any(isinstance(bit, str) for bit in pins):
                continue
            waiting.remove(name)
            del module.cells[name]
            _replace(module, pins, (cell["connections"]["Y"][0], cell["connections"]["X"][0]), known, half)
            changed = True
    for cell in module.cells.values():
        for pin, bits in cell["connections"].items():
            if cell["port_directions"][pin] == "input":
                cell["connections"][pin] = [_resolved(bit, known) for bit in bits]
    for bit in sorted(module.port_nets("output") & set(known), key=str):
        module.add_gate("$_BUF_", _resolved(bit, known), bit)
    read = module.read_nets()
    for name in [name for name, cell in module.cells.items() if cell["type"] in (FULL, HALF)]:
        pins = module.cells[name]["connections"]
        if pins["Y"][0] not in read:
            del module.cells[name]
            operands = [pins[pin][0] for pin in "ABC" if pin in pins]
            if pins["X"][0] in read:
                _carry(module, operands, pins["X"][0])


def _resolved(bit: Bit, known: Mapping[Bit, Bit]) -> Bit:
    """Return what a net is known to be, the undefined value as 0."""
    while bit in known:
        bit = known[bit]
    return "0" if isinstance(bit, str) and bit != "1" else bit


def _replace(
    module: YosysModule, pins: list[Bit], outputs: tuple[Bit, Bit], known: dict[Bit, Bit], half: bool
) -> None:
    """Add what a full adder with a constant input is: two, one or no operands, and a number of ones."""
    total, carry = outputs
    operands = [bit for bit in pins if isinstance(bit, int)]
    ones = pins.count("1")
    if len(operands) == 2 and ones == 0 and half:
        module.add_cell(HALF, dict(zip("AB", operands, strict=True)), {"Y": total, "X": carry})
    elif len(operands) == 2:
        module.add_gate("$_XNOR_" if ones else "$_XOR_", *operands, total)
        module.add_gate("$_OR_" if ones else "$_AND_", *operands, carry)
    elif len(operands) == 1 and ones == 1:
        module.add_gate("$_NOT_", operands[0], total)
        known[carry] = operands[0]
    elif len(operands) == 1:
        known[total] = operands[0]
        known[carry] = "1" if ones == 2 else "0"
    else:
        known[total], known[carry] = str(ones % 2), str(ones // 2)


def _carry(module: YosysModule, operands: list[Bit], carry: Bit) -> None:
    """Add the carry alone of two or three operands."""
    if len(operands) == 2:
        module.add_gate("$_AND_", *operands, carry)
        return
    both, either, passed = (module.new_net() for _ in range(3))
    module.add_gate("$_AND_", operands[0], operands[1], both)
    module.add_gate("$_OR_", operands[0], operands[1], either)
    module.add_gate("$_AND_", either, operands[2], passed)
    module.add_gate("$_OR_", both, passed, carry)
