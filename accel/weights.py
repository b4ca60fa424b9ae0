"""Weight loader: unpacks the next tile of ternary weights while the array works on the present one."""

from amaranth.hdl import Cat, Module, Mux, Shape, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from tritforge.accel.beats import beat_words, striped_words
from tritforge.accel.codes import BIAS_WORD_BITS, TRIT_BITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.decoders import WordDecoder
from tritforge.accel.job import index_range, job_layout

#: Flags of illegal words that one register joins.
_FLAGS_PER_REGISTER = 4


class WeightLoader(wiring.Component):
    """Decoders at the port, and behind them one register of a tile's trits, a slice of it for each beat.

    Each row tile starts with the biases of its rows, where the configuration has them (the count of -1 weights, 16
    bits each), then come its tiles along K; both start a beat. A tile is handed over and the first beat of the
    next one taken in the same cycle, so a tile costs as many cycles as it has beats, or as many as the array needs,
    whichever is more.

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
    tile : Out, stream of tiles: trits side by side in the order (position, row, chain)
    bias : Out, biases of the rows side by side, valid with the first tile of each row tile; not there with negation
        ``carry``
    illegal : Out, high for one cycle after a beat with an illegal word was taken. The trits of that word are then
        not to be relied on; the core reports the job as wrong.
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        members = {
            "jobs": In(stream.Signature(job_layout(config))),
            "beats": In(stream.Signature(config.weight_port_bits)),
            "tile": Out(stream.Signature(config.tile_bits)),
            "illegal": Out(1),
        }
        if config.bias_beats:
            members["bias"] = Out(config.rows * config.bias_bits)
        super().__init__(members)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        job = Signal(job_layout(config))
        busy, full = Signal(), Signal()
        m_left = Signal(Shape.cast(job.m.shape()).width)
        k_left = Signal(Shape.cast(job.k.shape()).width)
        in_bias = Signal()
        beat = Signal(index_range(max(config.tile_beats, config.bias_beats)))

        # Whether this tile is the row tile's last, the row tile the job's last, and whether a row tile is one tile:
        # registers that look a tile ahead, since comparing the counters takes most of a cycle.
        k_end, m_end, one_tile = Signal(), Signal(), Signal()

        taken, weights_taken = Signal(), Signal()
        bias_end, tile_end, job_end = Signal(), Signal(), Signal()
        m.d.comb += [
            self.tile.valid.eq(full),
            # With the last beat of a job the next one is taken, whose first beat may follow at once.
            self.jobs.ready.eq(~busy | (taken & tile_end & job_end)),
            self.beats.ready.eq(busy & (~full | self.tile.ready)),
            taken.eq(self.beats.valid & self.beats.ready),
            weights_taken.eq(taken & ~in_bias),
            bias_end.eq(in_bias & (beat == max(config.bias_beats, 1) - 1)),
            tile_end.eq(~in_bias & (beat == config.tile_beats - 1)),
            job_end.eq(k_end & m_end),
        ]
        self._take_words(m, weights_taken, tile_end, beat)
        if config.bias_beats:
            self._take_biases(m, taken & in_bias)

        with m.If(self.tile.valid & self.tile.ready):
            m.d.sync += full.eq(0)
        with m.If(taken):
            m.d.sync += beat.eq(Mux(bias_end | tile_end, 0, beat + 1))
            with m.If(bias_end):
                m.d.sync += in_bias.eq(0)
        with m.If(taken & tile_end):
            m.d.sync += [
                full.eq(1),
                k_left.eq(Mux(k_end, job.k, k_left - config.lanes)),
                k_end.eq(Mux(k_end, one_tile, k_left <= 2 * config.lanes)),
                in_bias.eq(k_end & (config.bias_beats > 0)),
                busy.eq(~job_end),
            ]
            with m.If(k_end):
                m.d.sync += [m_left.eq(m_left - config.rows), m_end.eq(m_left <= 2 * config.rows)]
        with m.If(self.jobs.valid & self.jobs.ready):
            m.d.sync += [
                busy.eq(1),
                in_bias.eq(config.bias_beats > 0),
                job.eq(self.jobs.payload),
                m_left.eq(self.jobs.payload.m),
                k_left.eq(self.jobs.payload.k),
                k_end.eq(self.jobs.payload.k <= config.lanes),
                m_end.eq(self.jobs.payload.m <= config.rows),
                one_tile.eq(self.jobs.payload.k <= config.lanes),
            ]
        return m

    def _take_words(self, m: Module, taken: Value, tile_end: Value, beat: Value) -> None:
        """Decode the words of a beat and keep their trits and the flags of the illegal ones."""
        config = self.config
        bits = WORDS[config.packing][1]
        complete = [beat_words(config, index) for index in range(config.tile_beats)]
        per_beat = max(len(here.whole) for here in complete)

        words: list[Value] = [self.beats.payload.word_select(index, bits) for index in range(per_beat)]
        if any(here.striped for here in complete):
            # The block's last beat brings the last bit of each striped word; those before it were kept.
            stripes = striped_words(config)
            rest = self.beats.payload[config.weight_port_bits - stripes :]
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

        tile: list[Value] = []
        for index, here in enumerate(complete):
            decoded = Cat(*trits[: len(here.whole)], *trits[per_beat : per_beat + len(here.striped)])
            decoded = decoded[: len(here.trits(config)) * TRIT_BITS]
            held = Signal(len(decoded), name=f"beat{index}")
            with m.If(taken & (beat == index)):
                m.d.sync += held.eq(decoded)
            tile.append(held)
        m.d.comb += self.tile.payload.eq(Cat(*tile))

        checked = [taken] * per_beat
        if len(words) > per_beat:
            phase = Signal(range(config.block_beats))
            block_end = phase == config.block_beats - 1
            with m.If(taken):
                m.d.sync += phase.eq(Mux(tile_end | block_end, 0, phase + 1))
            checked += [taken & block_end] * (len(words) - per_beat)
        # Joined in two steps: all words of a wide port in one cycle would be the longest path.
        flags = [flag & check for flag, check in zip(illegal, checked, strict=True)]
        joined = Signal(-(-len(flags) // _FLAGS_PER_REGISTER))
        m.d.sync += joined.eq(
            Cat(
                Cat(*flags[start : start + _FLAGS_PER_REGISTER]).any()
                for start in range(0, len(flags), _FLAGS_PER_REGISTER)
            )
        )
        m.d.comb += self.illegal.eq(joined.any())

    def _take_biases(self, m: Module, taken: Value) -> None:
        """Keep the biases of a row tile: a shift register."""
        config = self.config
        port = config.weight_port_bits
        biases = Signal(config.bias_beats * port)
        with m.If(taken):
            m.d.sync += biases.eq(Cat(biases, self.beats.payload) >> port)
        m.d.comb += self.bias.eq(
            Cat(biases.word_select(row, BIAS_WORD_BITS)[: config.bias_bits] for row in range(config.rows))
        )
