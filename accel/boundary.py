"""Parts of the accelerator cut out for measurement, each with registers or ports at its edges."""

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.array import TileArray, make_datapath, sums_layout, swap_groups
from tritforge.accel.codes import TRIT_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.datapath import copy
from tritforge.accel.decoders import WordDecoder
from tritforge.accel.sequencer import issue_layout


class ArrayBoundary(wiring.Component):
    """The array with the shadow register of the weight loader before it, decoded trits coming in.

    The register takes a beat at a time at its own place, as the loader's does. Controls are registered, so that
    their way to all that they enable is timed; data enter registers directly.

    Parameters
    ----------
    config
        What to build; a beat has ``config.weight_port_bits`` of decoded trits.

    Members
    -------
    beat, load : In, decoded trits and that they come
    issue, word, swap, bias : In, as in `TileArray`
    sums, sums_valid : Out, as in `TileArray`
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "beat": In(config.weight_port_bits),
                "load": In(1),
                "issue": In(issue_layout(config)),
                "word": In(config.lanes * config.act_container_bits),
                "swap": In(1),
                "bias": In(config.rows * config.bias_bits),
                "sums": Out(sums_layout(config)),
                "sums_valid": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        m.submodules.array = array = TileArray(config)
        issue = Signal.like(self.issue)
        m.d.sync += issue.eq(self.issue)
        m.d.comb += [
            array.issue.eq(issue),
            array.swap.eq(Cat(copy(m, self.swap, group, "swap") for group in range(len(array.swap)))),
            array.word.eq(self.word),
            self.sums.eq(array.sums),
            self.sums_valid.eq(array.sums_valid),
        ]
        if config.negation == "bias":
            m.d.comb += array.bias.eq(self.bias)

        port = config.weight_port_bits
        beats = -(-config.tile_bits // port)
        # One bit goes round and says which beat comes; each group of chains has registers of it, as for `swap`.
        turn = Signal(beats, init=1)
        with m.If(self.load):
            m.d.sync += turn.eq(turn.rotate_left(1))
        groups, chains = swap_groups(config), config.lanes // config.positions
        places = [copy(m, turn & self.load.replicate(beats), group, "place") for group in range(groups)]
        shadow = Signal(config.tile_bits, reset_less=True)
        for index in range(config.tile_bits // TRIT_BITS):
            beat, place = divmod(index * TRIT_BITS, port)
            with m.If(places[index % chains * groups // chains][beat]):
                m.d.sync += shadow.word_select(index, TRIT_BITS).eq(self.beat[place : place + TRIT_BITS])
        m.d.comb += array.tile.eq(shadow)
        return m


class Datapaths(wiring.Component):
    """The dot products alone: a row's datapath for each row, all fed with the same activations.

    Parameters
    ----------
    config
        What to build.

    Members
    -------
    acts, trits : In, operands in the datapath's order, trits row by row
    sums, carries : Out, the rows' sums and the +1s that they lack
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        super().__init__(
            {
                "acts": In(config.lanes * config.act_bits),
                "trits": In(config.rows * config.lanes * TRIT_BITS),
                "sums": Out(config.rows * config.dot_bits),
                "carries": Out(config.rows),
            }
        )

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        for row in range(config.rows):
            m.submodules[f"dot{row}"] = dot = make_datapath(config)
            m.d.comb += [
                dot.acts.eq(self.acts),
                dot.trits.eq(self.trits.word_select(row, config.lanes * TRIT_BITS)),
                self.sums.word_select(row, config.dot_bits).eq(dot.sum),
                self.carries[row].eq(dot.carry),
            ]
        return m


class BareDecoder(wiring.Component):
    """A decoder of one packed word whose flag of illegal words nobody reads.

    Parameters
    ----------
    packing
        ``i2``, ``s5`` or ``s8``.

    Members
    -------
    word : In
    trits : Out
    """

    def __init__(self, packing: str) -> None:
        self.packing = packing
        trits, bits = WORDS[packing]
        super().__init__({"word": In(bits), "trits": Out(TRIT_BITS * trits)})

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        m.submodules.decoder = decoder = WordDecoder(self.packing)
        m.d.comb += [decoder.word.eq(self.word), self.trits.eq(decoder.trits)]
        return m
