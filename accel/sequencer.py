"""Sequencer: issues one token of one tile a cycle, and waits only where a stream or the result queue waits."""

from amaranth.hdl import Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.activations import loaded_layout
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.countdown import Countdown
from tritforge.accel.job import index_range


def issue_layout(config: AcceleratorConfig) -> StructLayout:
    """Layout of what travels beside a token through the array.

    `first` and `last` mark a row tile's first and last tile along K; `bias_end` the last token of its first tile.
    """
    return StructLayout(
        {"valid": 1, "first": 1, "last": 1, "bias_end": 1, "token": index_range(config.tokens_max)}
    )


class Sequencer(wiring.Component):
    """Walks a job: for each row tile, for each tile along K, for each token.

    Across tiles and jobs the array sees a token every cycle. A token is issued when its tile is there and, in the
    last tile along K, when the result queue has a place for its sums; from then on nothing in the array can stall.

    Parameters
    ----------
    config
        Bounds.

    Members
    -------
    loaded : In, stream of jobs whose activations are in the buffer
    tile_valid : In, the next tile is assembled
    popped : In, the result queue gave an entry away
    address : Out, the word of the token at hand in the activation buffer
    release : Out, words that the finished job gives back to the buffer
    issue : Out, the token issued in this cycle, in which its word is addressed
    swap : Out, high with the first token of a tile: the assembled tile becomes the active one
    reserve : In, with `sparse`, another place in the result queue is taken, while no token is issued
    room : Out, with `sparse`, the result queue has a place that is not yet spoken for
    """

    def __init__(self, config: AcceleratorConfig) -> None:
        self.config = config
        shared = {"reserve": In(1), "room": Out(1)} if config.sparse else {}
        super().__init__(
            {
                "loaded": In(stream.Signature(loaded_layout(config))),
                "tile_valid": In(1),
                "popped": In(1),
                "address": Out(range(config.buffer_words)),
                "release": Out(config.buffer_words.bit_length()),
                "issue": Out(issue_layout(config)),
                "swap": Out(1),
            }
            | shared
        )

    def tiles(self) -> Countdown:
        """Return the counter of the inputs along K, a tile a step; it is a tile ahead."""
        return Countdown("k", self.config.k_max, self.config.lanes)

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        # The next token is the first of its tile, or one of the others; neither where there is no job.
        first, later = Signal(), Signal()
        # What follows from where the walk is lies in registers; only what it waits for is found out in the cycle.
        tokens = Countdown("tokens", config.tokens_max, 1)
        tiles = self.tiles()
        row_tiles = Countdown("m", config.m_max, config.rows)
        token_end, k_end, k_end_next = tokens.last, Signal(), Signal()
        token = Signal(index_range(config.tokens_max))
        first_tile = Signal()
        idle, job_end, go, take, spoken_for = Signal(), Signal(), Signal(), Signal(), Signal()
        room, room_next = self._count_room(m, spoken_for)
        # In the last tile along K, and the result queue has no place: a register, since all waits for it.
        hold = Signal()
        m.d.sync += [k_end.eq(k_end_next), hold.eq(k_end_next & ~room_next)]
        m.d.comb += [
            job_end.eq(token_end & k_end & row_tiles.last),
            idle.eq(~first & ~later),
            k_end_next.eq(k_end),
            go.eq((first & self.tile_valid | later) & ~hold),
            spoken_for.eq(go & k_end),
            self.swap.eq(first & self.tile_valid & ~hold),
            self.issue.valid.eq(go),
            self.issue.first.eq(first_tile),
            self.issue.last.eq(k_end),
            self.issue.bias_end.eq(first_tile & token_end),
            self.issue.token.eq(token),
            take.eq(idle | (go & job_end)),
            self.loaded.ready.eq(take),
        ]
        if config.sparse:
            m.d.comb += self.room.eq(room)
        self._walk_words(m, go=go, token_end=token_end, k_end=k_end, job_end=job_end)

        with m.If(go):
            m.d.sync += [token.eq(Mux(token_end, 0, token + 1)), later.eq(~token_end)]
        # Which way the counters go is known early, whether they go late. Where no job is offered, what is taken here
        # is read by nobody.
        job = self.loaded.payload.job
        with m.If(idle | go):
            with m.If(idle | job_end):
                m.d.sync += [first.eq(self.loaded.valid), first_tile.eq(1)]
                tokens.load(m, job.tokens)
                m.d.comb += k_end_next.eq(self.loaded.payload.single)
                # The tile after the first: there is none, or it is the first again.
                tiles.load(m, job.k)
                with m.If(~self.loaded.payload.single):
                    tiles.skip(m, job.k)
                row_tiles.load(m, job.m)
            with m.Else():
                m.d.sync += first.eq(token_end)
                tokens.wrap(m)
                with m.If(token_end):
                    m.d.comb += k_end_next.eq(tiles.last)
                    m.d.sync += first_tile.eq(k_end)
                    tiles.wrap(m)
                row_tiles.advance(m, token_end & k_end)
        return m

    def _count_room(self, m: Module, spoken_for: Value) -> tuple[Signal, Value]:
        """Return whether the result queue has a place that is not yet spoken for, a register, and what it will be."""
        config = self.config
        credit = Signal(range(config.result_entries + 1), init=config.result_entries)
        room = Signal(init=1)
        spent: Value = spoken_for
        if config.sparse:
            spent = spoken_for | self.reserve
        # Both events are known late, so the count is a cycle behind. A place is spent only where there is one, so an
        # entry that leaves makes room whatever is spent.
        had_popped, had_spent, room_next = Signal(), Signal(), Signal()
        m.d.sync += [
            had_popped.eq(self.popped),
            had_spent.eq(spent),
            credit.eq(credit + had_popped - had_spent),
            room.eq(room_next),
        ]
        m.d.comb += room_next.eq(self.popped | Mux(spent, credit != 1 - had_popped + had_spent, room))
        return room, room_next

    def _walk_words(self, m: Module, *, go: Value, token_end: Value, k_end: Value, job_end: Value) -> None:
        """Keep the address of the word at hand; jobs lie one behind the other."""
        config = self.config
        stride = Signal.like(self.loaded.payload.stride)
        words = Signal.like(self.loaded.payload.words)
        base, tile_base, address, next_tile, next_job = (
            Signal(range(config.buffer_words), name=name)
            for name in ("base", "tile_base", "word", "next_tile", "next_job")
        )
        m.d.comb += [
            next_job.eq(base + words),
            next_tile.eq(Mux(k_end, base, tile_base + 1)),
            self.address.eq(address),
            # Not a multiplexer: synthesis would make it a reset, which comes over slower wires.
            self.release.eq(words & (go & job_end).replicate(len(words))),
        ]
        with m.If(go):
            m.d.sync += address.eq(Mux(job_end, next_job, Mux(token_end, next_tile, address + stride)))
            with m.If(token_end):
                m.d.sync += tile_base.eq(Mux(job_end, next_job, next_tile))
            with m.If(job_end):
                m.d.sync += base.eq(next_job)
        with m.If(self.loaded.ready):
            m.d.sync += [stride.eq(self.loaded.payload.stride), words.eq(self.loaded.payload.words)]
