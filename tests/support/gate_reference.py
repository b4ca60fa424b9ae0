"""Netlists of the cells in `gate_cells`, simulated one stream at a time, without words and without expressions."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

Net: TypeAlias = int | str
#: Truth value of every net; constants are nets "0" and "1".
Values: TypeAlias = dict[Net, int]
#: Delay in steps by instance, input and output.
Delays: TypeAlias = Mapping[tuple[str, str, str], int]

#: Of the inputs in the order of the alphabet.
FUNCTIONS: Mapping[str, Mapping[str, Callable[..., int]]] = {
    "INV": {"Y": lambda a: 1 - a},
    "NAND": {"Y": lambda a, b: 1 - a * b},
    "XOR": {"Y": lambda a, b: (a + b) % 2},
    "HALF": {"CON": lambda a, b: 1 - (a + b) // 2, "SN": lambda a, b: 1 - (a + b) % 2},
    "MAJ": {"Y": lambda a, b, c: (a + b + c) // 2},
    "TIE": {"Y": lambda: 1},
}


class Reference:
    """A design and its values; gates stand in the module in an order in which they can be evaluated."""

    def __init__(self, module: Mapping[str, Any]) -> None:
        self.cells = {
            name: (cell["type"], {pin: bits[0] for pin, bits in cell["connections"].items()})
            for name, cell in module["cells"].items()
        }
        self.ports = {
            name: port["bits"]
            for name, port in module["ports"].items()
            if port["direction"] == "input" and name != "clk"
        }
        self.values: Values = {"0": 0, "1": 1}
        for bits in self.ports.values():
            self.values |= dict.fromkeys(bits, 0)
        for kind, pins in self.cells.values():
            if kind == "DFF":
                self.values[pins["QN"]] = 0
        self._settle()

    def _settle(self) -> None:
        for kind, pins in self.cells.values():
            if kind != "DFF":
                read = [self.values[pins[pin]] for pin in sorted(pins.keys() - FUNCTIONS[kind])]
                for pin, function in FUNCTIONS[kind].items():
                    self.values[pins[pin]] = function(*read)

    def step(self, ports: Mapping[str, Sequence[int]]) -> tuple[Values, Values]:
        """Go to the end of the next cycle, and return the values before and after."""
        before = dict(self.values)
        for kind, pins in self.cells.values():
            if kind == "DFF":
                self.values[pins["QN"]] = 1 - before[pins["D"]]
        for name, bits in self.ports.items():
            self.values |= dict(zip(bits, ports[name], strict=True))
        self._settle()
        return before, self.values

    def waveforms(
        self, before: Values, after: Values, delays: Delays, *, steps: int, arrival: int, inertial: bool
    ) -> dict[Net, list[int]]:
        """Return the values of each net at steps 0 to `steps` - 1 of a cycle."""
        waves: dict[Net, list[int]] = {"0": [0] * steps, "1": [1] * steps}
        for bits in self.ports.values():
            for net in bits:
                waves[net] = [after[net] if step >= arrival else before[net] for step in range(steps)]
        for name, (kind, pins) in self.cells.items():
            if kind == "DFF":
                start, net = delays[name, "CLK", "QN"], pins["QN"]
                waves[net] = [after[net] if step >= start else before[net] for step in range(steps)]
        for name, (kind, pins) in self.cells.items():
            for output, function in FUNCTIONS.get(kind, {}).items():
                inputs = sorted(pins.keys() - FUNCTIONS[kind])
                lags = {pin: delays[name, pin, output] for pin in inputs}
                wave = [
                    function(*(waves[pins[pin]][max(0, step - lags[pin])] for pin in inputs))
                    for step in range(steps)
                ]
                if inertial and lags:
                    wave = without_narrow_pulses(wave, min(lags.values()))
                waves[pins[output]] = wave
        return waves


def without_narrow_pulses(wave: Sequence[int], width: int) -> list[int]:
    """Return a waveform that takes a value only where it then lasts `width` steps; it starts and ends as `wave`."""
    longer, result = [*wave, *[wave[-1]] * width], [wave[0]]
    for step in range(1, len(wave)):
        ahead = longer[step : step + width]
        result.append(ahead[0] if len(set(ahead)) == 1 else result[-1])
    return result


def transitions(wave: Sequence[int]) -> tuple[int, int]:
    """Return how often a waveform rises and falls."""
    steps = list(pairwise(wave))
    return steps.count((0, 1)), steps.count((1, 0))
