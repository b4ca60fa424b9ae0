"""Which signals a netlist carries inverted: flip-flops and full adders that invert are placed to need few inverters.

A full adder is its own dual: complements of its operands give complements of sum and carry. A flip-flop stores the
complement as well as the value. So each of them has a phase, and a library whose flip-flops and full adders invert
needs an inverter only where two that meet disagree. In a chain of adders every other one works on complements, and
from register to register an inverted value comes out right. Logic takes either: the mapping that follows absorbs an
inverter beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from tritforge.rtl.gates.adders import AdderCell
from tritforge.rtl.gates.cells import LibertyCell
from tritforge.rtl.gates.yosys_module import Bit, YosysModule

#: Flip-flops of Yosys before they are mapped.
FLIP_FLOP = "$_DFF_P_"
#: Attribute of a cell that says whether it works on complements.
FLIPPED = "tritforge_flipped"
#: Passes over all cells at most; few are needed.
_PASSES = 50


@dataclass(frozen=True, kw_only=True)
class BoundCell:
    """How a cell of the library takes the place of one of Yosys' or of this project's.

    Attributes
    ----------
    cell
        Name of the library's.
    inputs, outputs
        Its pins by those that are replaced.
    inverted
        Replaced output pins whose complement it gives, as long as its inputs are not complements.
    dual
        Whether complements at its inputs give complements at its outputs.
    """

    cell: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]
    inverted: frozenset[str]
    dual: bool


def bound_adder(adder: AdderCell) -> BoundCell:
    """Return how a library's adder takes the place of `FULL` or `HALF` of `tritforge.rtl.gates.adders`."""
    inverted = {pin for pin, flag in (("Y", adder.sum_inverted), ("X", adder.carry_inverted)) if flag}
    return BoundCell(
        cell=adder.cell,
        inputs=dict(zip("ABC", adder.inputs, strict=False)),
        outputs={"Y": adder.sum, "X": adder.carry},
        inverted=frozenset(inverted),
        dual=len(adder.inputs) == 3,
    )


def bound_flip_flop(cell: LibertyCell) -> BoundCell:
    """Return how a flip-flop with a clock, a data pin and one output takes the place of `FLIP_FLOP`."""
    flip_flop = cell.flip_flop
    assert flip_flop is not None  # noqa: S101
    (data,) = (pin for pin in cell.inputs if pin != flip_flop.clock)
    ((output, shows_state),) = flip_flop.outputs.items()
    inverts = (flip_flop.next_state.operator == "not") == shows_state
    return BoundCell(
        cell=cell.name,
        inputs={"C": flip_flop.clock, "D": data},
        outputs={"Q": output},
        inverted=frozenset("Q" if inverts else ""),
        dual=True,
    )


@dataclass(kw_only=True)
class _Net:
    """Who meets at a net: the cell and pin that drive it, if they are to be bound, and the cells that read it."""

    driver: tuple[str, str] | None = None
    readers: list[str] = field(default_factory=list)
    fixed: bool = False


def bind(module: YosysModule, kinds: Mapping[str, BoundCell]) -> int:
    """Replace cells by those of the library, in place, and return the number of inverters that this took.

    Parameters
    ----------
    module
        With cells of the kinds, of one bit.
    kinds
        Their replacements; those of one that inverts are flipped where this saves inverters.
    """
    places = {name: cell["type"] for name, cell in module.cells.items() if cell["type"] in kinds}
    nets = _nets(module, places)
    binding = _Binding(module, kinds, places, nets)
    binding.choose()
    return binding.emit()


def _nets(module: YosysModule, places: Mapping[str, str]) -> dict[Bit, _Net]:
    """Return the nets that a cell to be bound drives or reads as data."""
    nets: dict[Bit, _Net] = {}
    for name, pin, bit, drives in module.pins():
        if name not in places or (places[name] == FLIP_FLOP and pin == "C") or isinstance(bit, str):
            continue
        net = nets.setdefault(bit, _Net())
        if drives:
            net.driver = name, pin
        else:
            net.readers.append(name)
    for bit in module.port_nets("output") | module.port_nets("input"):
        if bit in nets:
            nets[bit].fixed = True
    return nets


class _Binding:
    """Phases of cells, and what they cost."""

    def __init__(
        self,
        module: YosysModule,
        kinds: Mapping[str, BoundCell],
        places: Mapping[str, str],
        nets: Mapping[Bit, _Net],
    ) -> None:
        self._module = module
        self._kinds = kinds
        self._places = places
        self._nets = nets
        self._flipped = dict.fromkeys(places, False)
        self._placed: set[str] = set()
        self._deferred: set[tuple[str, Bit]] = set()
        self._touches: dict[str, list[Bit]] = {name: [] for name in places}
        for bit, net in nets.items():
            for name in dict.fromkeys((*net.readers, *([net.driver[0]] if net.driver else []))):
                self._touches[name].append(bit)

    def choose(self) -> None:
        """Choose phases: neighbours agree as far as one can go from cell to cell; then single ones change sides."""
        for start in self._places:
            if self._is_movable(start) and start not in self._placed:
                self._spread(start)
        for _ in range(_PASSES):
            improved = [self._improve([name]) for name in self._places if self._is_movable(name)]
            if not any(improved):
                return

    def _is_movable(self, name: str) -> bool:
        return self._kinds[self._places[name]].dual

    def _spread(self, start: str) -> None:
        """Place a cell and all that it meets through others, each so that it agrees with the one it was met from.

        Nets that one cell reads go before those that several read, of whom some may disagree: a sign that is extended
        meets two neighbours of a chain.
        """
        self._placed.add(start)
        reached = [start]
        clear = [(start, bit) for bit in self._touches[start]]
        crowded: list[tuple[str, Bit]] = []
        while clear or crowded:
            name, bit = (clear or crowded).pop()
            net = self._nets[bit]
            if len(net.readers) > 1 and (name, bit) not in self._deferred:
                self._deferred.add((name, bit))
                crowded.append((name, bit))
                continue
            for other in [*([net.driver[0]] if net.driver else []), *net.readers]:
                if other not in self._placed and self._is_movable(other):
                    self._placed.add(other)
                    reached.append(other)
                    self._agree(net, name, other)
                    clear += [(other, bit) for bit in self._touches[other]]
        self._improve(reached)

    def _agree(self, net: _Net, known: str, other: str) -> None:
        """Set the phase of one cell at a net so that it needs no inverter to another one there."""
        driver = net.driver[0] if net.driver else None
        if driver in {known, other} and net.driver is not None:
            # What the driver gives is what the reader takes.
            inverts = net.driver[1] in self._kinds[self._places[net.driver[0]]].inverted
            self._flipped[other] = self._flipped[known] ^ inverts
        else:
            self._flipped[other] = self._flipped[known]

    def _improve(self, names: list[str]) -> bool:
        """Flip cells together if this saves inverters, and return whether it did."""
        bits = list(dict.fromkeys(bit for name in names for bit in self._touches[name]))
        before = sum(self._inverters(self._nets[bit]) for bit in bits)
        for name in names:
            self._flipped[name] ^= True
        if sum(self._inverters(self._nets[bit]) for bit in bits) < before:
            return True
        for name in names:
            self._flipped[name] ^= True
        return False

    def _inverters(self, net: _Net) -> int:
        """Return whether a net needs an inverter for those of its ends that logic is not."""
        wanted = {self._flipped[reader] for reader in net.readers}
        if net.fixed:
            wanted.add(False)
        given = self._gives(net)
        return len(wanted - {given}) if given is not None else len(wanted) - 1

    def _gives(self, net: _Net) -> bool | None:
        """Return whether a net's driver gives its complement; None where logic or a port drives it."""
        if net.driver is None:
            return None
        name, pin = net.driver
        return self._flipped[name] ^ (pin in self._kinds[self._places[name]].inverted)

    def emit(self) -> int:
        """Write the library's cells and the inverters into the module."""
        cells = self._module.cells
        complements: dict[Bit, Bit] = {}
        for bit, net in self._nets.items():
            if self._gives(net) or any(self._flipped[reader] for reader in net.readers):
                complements[bit] = self._module.new_net()
        outside = {
            bit for name, _, bit, drives in self._module.pins() if not drives and name not in self._places
        }
        for name, kind in self._places.items():
            bound, old = self._kinds[kind], cells.pop(name)
            pins = {pin: bits[0] for pin, bits in old["connections"].items()}
            inputs = {
                new: self._input(name, pins[pin], complements, clock=pin == "C" and kind == FLIP_FLOP)
                for pin, new in bound.inputs.items()
            }
            outputs = {
                new: complements[pins[pin]] if self._gives(self._nets[pins[pin]]) else pins[pin]
                for pin, new in bound.outputs.items()
            }
            cells[name] = {
                **old,
                "type": bound.cell,
                "parameters": {},
                # As 32 bits, which is how Yosys writes a number.
                "attributes": {FLIPPED: f"{self._flipped[name]:032b}"},
                "port_directions": dict.fromkeys(inputs, "input") | dict.fromkeys(outputs, "output"),
                "connections": {pin: [bit] for pin, bit in (inputs | outputs).items()},
            }
        inverters = 0
        for bit, complement in complements.items():
            net = self._nets[bit]
            if not self._gives(net):
                self._module.add_gate("$_NOT_", bit, complement)
                inverters += 1
            elif net.fixed or bit in outside or not all(self._flipped[reader] for reader in net.readers):
                self._module.add_gate("$_NOT_", complement, bit)
                inverters += 1
        return inverters

    def _input(self, name: str, bit: Bit, complements: Mapping[Bit, Bit], *, clock: bool) -> Bit:
        if clock or not self._flipped[name]:
            return bit
        if isinstance(bit, str):
            return "0" if bit == "1" else "1"
        return complements[bit]
