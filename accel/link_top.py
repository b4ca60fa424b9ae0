"""The top for small boards: a core behind registers, its operands on the chip, a serial port to the host."""

from fractions import Fraction

from amaranth.hdl import Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.core import Core
from tritforge.accel.link import Link
from tritforge.accel.operand_stores import ActivationStore, ResultStore
from tritforge.accel.store_sizes import StoreSizes
from tritforge.accel.uart import CHARACTER_BITS, UartReceiver, UartTransmitter, check_divisor
from tritforge.accel.weight_store import WeightStore

#: Silence, in character times, after which a frame is thrown away: longer than what a host's serial adapter leaves
#: between the packets that it makes of a frame, 10 ms at 1 Mbaud.
SILENCE_CHARACTERS = 1024


def link_control(config: AcceleratorConfig) -> ControlConfig:
    """Return the control side of the link top: addresses in its stores, a short queue.

    Raises
    ------
    InputError
        A configuration that cannot stand behind the host link.
    """
    sizes = StoreSizes.of(config)
    return ControlConfig(
        address_bits=(max(sizes.weights, sizes.results) - 1).bit_length(),
        queue_depth=2,
        in_flight=2,
        results="store",
        activation_store_bytes=sizes.activations,
        result_store_bytes=sizes.results,
    )


class LinkTop(wiring.Component):
    """Accelerator with all operands on the chip, in the clock domain ``sync``; ``docs/link.md`` has the protocol.

    Parameters
    ----------
    config
        The core, with `weight_store` ``bram``.
    divisor
        Clock frequency over baud rate, 4 or more.
    silence_characters
        Character times of silence after which a frame is thrown away.
    core
        The core to use, made with ``observed=True``; by default the one that `config` describes.
    core_domain
        Clock domain of the core, as in `ControlledCore`; by default `sync`.

    Members
    -------
    rx, tx : In and Out, serial lines, high when idle
    busy : Out, a job is under way
    active : Out, a request is taken in, carried out or answered
    damaged : Out, the last frame that came was not whole

    Raises
    ------
    InputError
        A configuration that cannot stand behind the host link, or a divisor out of bounds.
    """

    def __init__(
        self,
        config: AcceleratorConfig,
        divisor: Fraction | float,
        *,
        silence_characters: int = SILENCE_CHARACTERS,
        core: Core | None = None,
        core_domain: str | None = None,
    ) -> None:
        self.config = config
        self.divisor = check_divisor(divisor)
        self.silence_characters = silence_characters
        self.sizes = StoreSizes.of(config)
        self.control = link_control(config)
        self.core = ControlledCore(config, self.control, core=core, core_domain=core_domain)
        super().__init__(
            {
                "rx": In(1, init=1),
                "tx": Out(1, init=1),
                "busy": Out(1),
                "active": Out(1),
                "damaged": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config, address_bits = self.config, self.control.address_bits
        m.submodules.receiver = receiver = UartReceiver(self.divisor)
        m.submodules.transmitter = transmitter = UartTransmitter(self.divisor)
        m.submodules.link = link = Link(
            self.sizes,
            silence=int(self.silence_characters * CHARACTER_BITS * self.divisor),
            silence_characters=self.silence_characters,
        )
        m.submodules.core = core = self.core
        m.submodules.weights = weights = WeightStore(config, address_bits=address_bits)
        m.submodules.activations = activations = ActivationStore(config)
        m.submodules.results = results = ResultStore(config, address_bits=address_bits)

        wiring.connect(m, receiver.o, link.rx)
        wiring.connect(m, link.tx, transmitter.i)
        wiring.connect(m, link.registers, core.registers)
        wiring.connect(m, core.fetches, weights.fetches)
        wiring.connect(m, weights.beats, core.weights)
        wiring.connect(m, core.loads, activations.loads)
        wiring.connect(m, activations.beats, core.activations)
        wiring.connect(m, core.stores, results.stores)
        wiring.connect(m, core.results, results.results)
        m.d.comb += [
            receiver.rx.eq(self.rx),
            self.tx.eq(transmitter.tx),
            link.lost.eq(receiver.error),
            core.stored.eq(results.stored),
            core.store_error.eq(results.store_error),
            # The stores forget at once.
            core.quiet.eq(1),
            weights.quiesce.eq(core.quiesce),
            activations.quiesce.eq(core.quiesce),
            results.quiesce.eq(core.quiesce),
            results.address.eq(link.stores.address),
            link.stores.r_data.eq(results.data),
            self.busy.eq(core.busy),
            self.active.eq(link.active),
            self.damaged.eq(link.damaged),
        ]
        # The memories are many and far apart, over the whole chip on a board: their way is two cycles of its own.
        for store, write in (
            (weights, link.stores.write_weights),
            (activations, link.stores.write_activations),
        ):
            for target, value in (
                (store.address, link.stores.address),
                (store.data, link.stores.w_data),
                (store.write, write),
            ):
                half_way = Signal.like(target, name="half_way")
                m.d.sync += [half_way.eq(value), target.eq(half_way)]
        return m
