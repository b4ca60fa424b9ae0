"""Simulation of a netlist of gates without delays, thousands of streams at once.

A net is an array of words with a bit for each stream, so that one operation of NumPy works on all streams and on all
instances of a cell at a level. The streams are independent of each other; along one, registers step from cycle to
cycle. In a cycle the clock rises, registers and ports change, the logic settles, and the clock falls.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tritforge.accel.errors import InputError
from tritforge.rtl.gates.activity import ALL_ONES, CHUNK, WORD, Activity, ActivityCounter, Words
from tritforge.rtl.gates.netlist import ONE, CellGroup, GateNetlist


@dataclass(frozen=True, kw_only=True, eq=False)
class Stimulus:
    """Values of the input ports.

    Attributes
    ----------
    ports
        By port the bits of each cycle, least significant first, one bit a stream: shape (cycles, width, words). The
        clock is not among them.
    warm_up
        Cycles at the beginning that are not counted, until what was in the registers at power-up has left them.
    """

    ports: Mapping[str, Words]
    warm_up: int = 0

    def __post_init__(self) -> None:
        """Check that the ports agree on cycles and streams."""
        shapes = {name: bits.shape for name, bits in self.ports.items()}
        if not shapes:
            raise InputError("the stimulus has no ports; give every input but the clock")
        for name, shape in shapes.items():
            if len(shape) != 3 or 0 in shape:
                raise InputError(f"bits of port {name} have shape {shape}; it must be (cycles, width, words)")
        if len({(shape[0], shape[2]) for shape in shapes.values()}) > 1:
            raise InputError(
                f"bits of the ports have shapes {shapes}; cycles and words must be the same for all"
            )
        if not 0 <= self.warm_up < self.cycles:
            raise InputError(
                f"warm_up is {self.warm_up}; it must be 0 to {self.cycles - 1}, below the number of cycles"
            )

    @property
    def cycles(self) -> int:
        """Cycles, those of the warm-up included."""
        return int(next(iter(self.ports.values())).shape[0])

    @property
    def words(self) -> int:
        """Words of 64 streams."""
        return int(next(iter(self.ports.values())).shape[2])


def pack(bits: ArrayLike) -> Words:
    """Return the bits of streams as words.

    Parameters
    ----------
    bits
        Truth values, shape (..., streams), streams a multiple of 64.

    Returns
    -------
    Words
        Shape (..., streams / 64); stream i is bit i % 64 of word i // 64.

    Raises
    ------
    InputError
        The number of streams is no multiple of 64.
    """
    bits = np.asarray(bits, bool)
    if bits.shape[-1] % WORD or not bits.shape[-1]:
        raise InputError(f"there are {bits.shape[-1]} streams; give a multiple of {WORD}")
    return np.ascontiguousarray(np.packbits(bits, axis=-1, bitorder="little")).view("<u8").astype(np.uint64)


def unpack(words: Words) -> NDArray[np.bool_]:
    """Return the bits of streams, shape (..., streams); the inverse of `pack`."""
    octets = np.ascontiguousarray(words.astype("<u8")).view(np.uint8)
    return np.unpackbits(octets, axis=-1, bitorder="little").astype(bool)


def port_bits(values: ArrayLike, width: int) -> Words:
    """Return integers as the bits of a port.

    Parameters
    ----------
    values
        Signed or unsigned integers of up to 64 bits, shape (cycles, streams) or, for a port that holds several lanes
        side by side, (cycles, lanes, streams), lane 0 in the low bits.
    width
        Bits of a lane; of a wider value only the low ones are taken.

    Returns
    -------
    Words
        Shape (cycles, lanes * width, streams / 64).
    """
    values = np.asarray(values)
    lanes = (values if values.ndim == 3 else values[:, np.newaxis])[:, :, np.newaxis]
    bits = lanes >> np.arange(width).reshape(1, 1, -1, 1).astype(lanes.dtype) & 1
    return pack(bits.reshape(lanes.shape[0], -1, lanes.shape[-1]))


def port_values(words: Words, *, signed: bool = False) -> NDArray[np.int64]:
    """Return the integers on a port of up to 63 bits.

    Parameters
    ----------
    words
        Shape (cycles, width, words).
    signed
        Whether the most significant bit is a sign.

    Returns
    -------
    ndarray
        Shape (cycles, streams).
    """
    width = words.shape[1]
    weights = np.int64(1) << np.arange(width, dtype=np.int64)
    if signed:
        weights[-1] = -weights[-1]
    result: NDArray[np.int64] = np.einsum("cbs,b->cs", unpack(words).astype(np.int64), weights)
    return result


class Simulator:
    """A netlist and the values of its nets.

    Parameters
    ----------
    netlist
        The netlist.
    words
        Words of 64 streams.

    Attributes
    ----------
    values
        Values of the nets at the end of the last cycle, shape (nets, words). At the beginning all flip-flops show 0.
    """

    def __init__(self, netlist: GateNetlist, words: int) -> None:
        self._netlist = netlist
        self._ports = {
            name: nets
            for name, nets in netlist.inputs.items()
            if netlist.clock is None or netlist.clock not in nets
        }
        self.values: Words = np.zeros((netlist.size, words), np.uint64)
        self.values[ONE] = ALL_ONES
        self._settle()

    def step(self, ports: Mapping[str, Words]) -> tuple[Words, Words]:
        """Go to the end of the next cycle.

        Parameters
        ----------
        ports
            Bits of every input but the clock after the edge, shape (width, words).

        Returns
        -------
        before, after
            Values of all nets at the end of the last cycle and of this one.

        Raises
        ------
        InputError
            A port is missing, unknown, or of another width.
        """
        before = self.start(ports)
        self._settle()
        return before, self.values

    def start(self, ports: Mapping[str, Words]) -> Words:
        """Begin a cycle as `step` does, and leave the logic as it was: `values` hold new registers and ports only."""
        self._check(ports)
        before, after = self.values, self.values.copy()
        for group in self._netlist.flip_flops:
            flip_flop = group.cell.flip_flop
            assert flip_flop is not None  # noqa: S101
            state = flip_flop.next_state.evaluate({pin: before[group.nets[pin]] for pin in group.cell.inputs})
            for pin, shows_state in flip_flop.outputs.items():
                after[group.nets[pin]] = state if shows_state else ~state
        for name, nets in self._ports.items():
            after[nets] = ports[name]
        self.values = after
        return before

    def _check(self, ports: Mapping[str, Words]) -> None:
        if ports.keys() != self._ports.keys():
            raise InputError(
                f"the stimulus has ports {', '.join(sorted(ports))}; {self._netlist.name} needs "
                f"{', '.join(sorted(self._ports))}"
            )
        for name, nets in self._ports.items():
            if ports[name].shape != (nets.size, self.values.shape[1]):
                raise InputError(
                    f"bits of port {name} have shape {ports[name].shape}; "
                    f"{self._netlist.name} needs {(nets.size, self.values.shape[1])}"
                )

    def _settle(self) -> None:
        values = self.values
        for group, places in self._netlist.schedule:
            pins = {pin: values[group.nets[pin][places]] for pin in group.cell.inputs}
            for pin, description in group.cell.outputs.items():
                assert description.function is not None  # noqa: S101
                values[group.nets[pin][places]] = description.function.evaluate(pins)


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """What a simulation gave.

    Attributes
    ----------
    activity
        Without delays.
    outputs
        Bits of every output port at the end of each cycle, the warm-up included, shape (cycles, width, words).
    """

    activity: Activity
    outputs: Mapping[str, Words]


def simulate(
    netlist: GateNetlist, stimulus: Stimulus, *, progress: Callable[[int], None] | None = None
) -> Run:
    """Simulate a netlist without delays: every net changes once in a cycle or not at all.

    Flip-flops' data are taken to settle while the clock is high.

    Parameters
    ----------
    netlist
        The netlist.
    stimulus
        What its ports get.
    progress
        Called with the number of cycles that are done.

    Raises
    ------
    InputError
        The stimulus does not fit the netlist's ports.
    """
    simulator = Simulator(netlist, stimulus.words)
    counter = ActivityCounter(netlist, "zero")
    outputs: dict[str, list[Words]] = {name: [] for name in netlist.outputs}
    for cycle in range(stimulus.cycles):
        before, after = simulator.step({name: bits[cycle] for name, bits in stimulus.ports.items()})
        for name, nets in netlist.outputs.items():
            outputs[name].append(after[nets])
        if cycle >= stimulus.warm_up:
            count_settled(netlist, counter, before, after)
        if progress is not None:
            progress(cycle + 1)
    counter.set_states(simulator.values)
    return Run(activity=counter.result(), outputs={name: np.stack(bits) for name, bits in outputs.items()})


def count_settled(netlist: GateNetlist, counter: ActivityCounter, before: Words, after: Words) -> None:
    """Count a cycle without delays from the values at its ends, shapes (nets, words)."""
    counter.add_cycle(after)
    counter.add_nets(np.arange(netlist.size), before, after)
    words = before.shape[1]
    for name, group in netlist.groups.items():
        for places in _chunks(group, words):
            old = {pin: before[nets[places]] for pin, nets in group.nets.items()}
            new = {pin: after[nets[places]] for pin, nets in group.nets.items()}
            if group.cell.flip_flop is None:
                counter.add_cells(name, places, old, new)
                continue
            for start, end in clock_steps(group, old, new):
                counter.add_cells(name, places, start, end)


def clock_steps(
    group: CellGroup, old: Mapping[str, Words], new: Mapping[str, Words]
) -> Iterator[tuple[dict[str, Words], dict[str, Words]]]:
    """Yield what happens at flip-flops in a cycle, as values before and after.

    The clock rises and the outputs change; inputs change; the clock falls.
    """
    flip_flop = group.cell.flip_flop
    assert flip_flop is not None  # noqa: S101
    shape = next(iter(new.values())).shape
    low, high = np.zeros(shape, np.uint64), np.full(shape, ALL_ONES)
    outputs = {pin: new[pin] for pin in group.cell.outputs}
    first = {**old, flip_flop.clock: low}
    risen = {**first, **outputs, flip_flop.clock: high}
    settled = {**new, flip_flop.clock: high}
    yield first, risen
    yield risen, settled
    yield settled, {**settled, flip_flop.clock: low}


def _chunks(group: CellGroup, words: int) -> Iterator[slice]:
    size = max(1, CHUNK // words)
    for start in range(0, group.size, size):
        yield slice(start, min(start + size, group.size))
