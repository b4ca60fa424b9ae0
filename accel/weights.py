"""Weight loader: unpacks the next tile of ternary weights while the array works on the present one."""

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.beats import beat_words, striped_words
from tritforge.accel.codes import BIAS_WORD_BITS, TRIT_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.countdown import Countdown
from tritforge.accel.decoders import WordDecoder
from tritforge.accel.job import job_layout

#: Flags of illegal words that one register joins.
_FLAGS_PER_REGISTER = 4


class WeightLoader(wiring.Component):
    """Decoders between two registers, and one register of a tile's trits, a slice of it for each beat.

    Each row tile starts with the biases of its rows, where the configuration has them (the count of -1 weights, 16
    bits each), then come its tiles along K; both start a beat. A tile is handed over and the first beat of the
    next one taken in the same cycle, so a tile costs as many cycles as it has beats, or as many as the array needs,
    whichever is more. A beat reaches the tile three cycles after it was taken; a tile is offered one cycle after its
    last beat was, and read two cycles after it was taken.

    A beat of the next tile replaces the trits of the same beat of this one and no others, so an array that takes a
    tile's positions one cycle after the other needs no register of its own for those that come in later beats.

    Parameters
    ----------
    config
        Widths and packing.

    Members
    -------
    jobs : In, stream of jobs, in the order of their weights
    beats : In, stream of `weight_port_bits`
    tile_valid : Out, a tile can be taken
    swap : In, the tile is taken, if there is one
    tile : Out, two cycles after `swap`, the tile taken: trits side by side in the order (position, row, chain)
    bias : Out, in the same cycle, biases of the rows side by side, of the first tile of each row tile; not there with
        negation ``carry``
    illegal : Out, high for one cycle, three cycles after a beat with an illegal word was taken. Its trits are then
        not to be relied on; the core reports the job as wrong.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        members = {
            "jobs": In(stream.Signature(job_layout(config))),
            "beats": In(stream.Signature(config.weight_port_bits)),
            "tile_valid": Out(1),
            "swap": In(1),
            "tile": Out(config.tile_bits),
            "illegal": Out(1),
        }
        if config.bias_beats:
            members["bias"] = Out(config.rows * config.bias_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        busy, full = Signal(), Signal()
        in_bias = Signal()
        # The place of the next beat in its tile, or among the biases: a bit for each.
        place = Signal(max(config.tile_beats, config.bias_beats), init=1)
        tiles = Countdown("k", config.k_max, config.lanes)
        row_tiles = Countdown("m", config.m_max, config.rows)
        k_end = tiles.last

        taken = Signal()
        bias_end, tile_end, job_end, final = Signal(), Signal(), Signal(), Signal()
        m.d.comb += [
            self.tile_valid.eq(full),
            # With the last beat of a job the next one is taken, whose first beat may follow at once.
            self.jobs.ready.eq(~busy | (taken & final)),
            self.beats.ready.eq(busy & (~full | self.swap)),
            taken.eq(self.beats.valid & self.beats.ready),
            bias_end.eq(in_bias & place[max(config.bias_beats, 1) - 1]),
            tile_end.eq(~in_bias & place[config.tile_beats - 1]),
            job_end.eq(k_end & row_tiles.last),
            final.eq(tile_end & job_end),
        ]
        # The beat at the port in the cycle before, and what became of it: its place in the tile, a bit for each.
        payload = Signal(config.weight_port_bits, reset_less=True)
        taken_words, taken_biases, places = Signal(), Signal(), Signal(config.tile_beats)
        m.d.sync += [
            payload.eq(self.beats.payload),
            taken_words.eq(taken & ~in_bias),
            taken_biases.eq(taken & in_bias),
            places.eq(Mux(taken & ~in_bias, place, 0)),
        ]
        self._take_words(m, payload, taken_words, places)
        if config.bias_beats:
            self._take_biases(m, payload, taken_biases)

        with m.If(self.swap):
            m.d.sync += full.eq(0)
        with m.If(taken):
            m.d.sync += place.eq(Mux(bias_end | tile_end, 1, place << 1))
            with m.If(bias_end):
                m.d.sync += in_bias.eq(0)
        with m.If(taken & tile_end):
            m.d.sync += [full.eq(1), in_bias.eq(k_end & (config.bias_beats > 0))]
        with m.If(self.jobs.ready):
            m.d.sync += [busy.eq(self.jobs.valid), in_bias.eq(config.bias_beats > 0)]
        # Which way the counters go is known early, whether they go late. Where no job is offered, what is taken here
        # is read by nobody.
        with m.If(~busy | (taken & tile_end)):
            with m.If(~busy | job_end):
                tiles.load(m, self.jobs.payload.k)
                row_tiles.load(m, self.jobs.payload.m)
            with m.Else():
                tiles.wrap(m)
                row_tiles.advance(m, k_end)
        return m

    def _take_words(self, m: Module, payload: Value, taken: Value, places: Value) -> None:
        """Decode the words of a beat and keep their trits and the flags of the illegal ones.

        Parameters
        ----------
        m
            The module that takes the decoders.
        payload, taken
            A beat, and whether it is one of words.
        places
            Its place in the tile, a bit for each; none is set where it is none of words.
        """
        config = self.config
        bits = WORDS[config.packing][1]
        complete = [beat_words(config, index) for index in range(config.tile_beats)]
        per_beat = max(len(here.whole) for here in complete)

        words: list[Value] = [payload.word_select(index, bits) for index in range(per_beat)]
        if any(here.striped for here in complete):
            # The block's last beat brings the last bit of each striped word; those before it were kept.
            stripes = striped_words(config)
            rest = payload[config.weight_port_bits - stripes :]
            kept = Signal((config.block_beats - 1) * stripes)
            with m.If(taken):
                m.d.sync += kept.eq(Cat(kept, rest) >> stripes)
            words += [Cat(kept, rest)[index::stripes] for index in range(stripes)]
        trits, illegal = [], []
        for index, word in enumerate(words):
            m.submodules[f"decoder{index}"] = decoder = WordDecoder(config.packing)
            m.d.comb += decoder.word.eq(word)
            trits.append(decoder.trits)
            illegal.append(decoder.illegal)

        # The trits of the beat, whole words' and striped ones', in a register before the tile's: it is far from here.
        bits = WORDS[config.packing][0] * TRIT_BITS
        decoded = Signal(len(words) * bits, reset_less=True)
        placed = Signal.like(places)
        m.d.sync += [decoded.eq(Cat(*trits)), placed.eq(places)]
        tile: list[Value] = []
        for index, here in enumerate(complete):
            striped = decoded[per_beat * bits :]
            beat = Cat(decoded[: len(here.whole) * bits], striped[: len(here.striped) * bits])
            beat = beat[: len(here.trits(config)) * TRIT_BITS]
            held = Signal(len(beat), name=f"beat{index}")
            with m.If(placed[index]):
                m.d.sync += held.eq(beat)
            tile.append(held)
        m.d.comb += self.tile.eq(Cat(*tile))

        checked = [taken] * per_beat
        if len(words) > per_beat:
            block_end = places[config.block_beats - 1 :: config.block_beats].any()
            checked += [block_end] * (len(words) - per_beat)
        # Joined in two steps: all words of a wide port in one cycle would be the longest path.
        flags = [flag & check for flag, check in zip(illegal, checked, strict=True)]
        joined = Signal(-(-len(flags) // _FLAGS_PER_REGISTER))
        m.d.sync += joined.eq(
            Cat(
                Cat(*flags[start : start + _FLAGS_PER_REGISTER]).any()
                for start in range(0, len(flags), _FLAGS_PER_REGISTER)
            )
        )
        m.d.sync += self.illegal.eq(joined.any())

    def _take_biases(self, m: Module, payload: Value, taken: Value) -> None:
        """Keep the biases of a row tile: a shift register."""
        config = self.config
        port = config.weight_port_bits
        biases, shifted = Signal(config.bias_beats * port), Signal(config.bias_beats * port)
        with m.If(taken):
            m.d.sync += biases.eq(Cat(biases, payload) >> port)
        m.d.sync += shifted.eq(biases)
        m.d.comb += self.bias.eq(
            Cat(shifted.word_select(row, BIAS_WORD_BITS)[: config.bias_bits] for row in range(config.rows))
        )
