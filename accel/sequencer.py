"""Sequencer: issues one token of one tile a cycle, and waits only where a stream or the result queue waits."""

from amaranth.hdl import Module, Mux, Shape, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import StructLayout
from amaranth.lib.wiring import In, Out

from tritforge.accel.activations import loaded_layout
from tritforge.accel.config import AcceleratorConfig
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

    The word of the next token is read from the activation buffer while the present one is issued, across
    tiles and jobs, so the array sees a token every cycle. A token is issued when its tile is there and, in the last
    tile along K, when the result queue has a place for its sums; from then on nothing in the array can stall.

    Parameters
    ----------
    config
        Bounds.

    Members
    -------
    loaded : In, stream of jobs whose activations are in the buffer
    tile_valid : In, the next tile is assembled
    popped : In, the result queue gave an entry away
    address, enable : Out, read port of the activation buffer
    release : Out, words that the finished job gives back to the buffer
    issue : Out, the token issued in this cycle; its word is on the buffer's output
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
                "enable": Out(1),
                "release": Out(config.buffer_words.bit_length()),
                "issue": Out(issue_layout(config)),
                "swap": Out(1),
            }
            | shared
        )

    def last_tile(self, k_left: Signal) -> Signal:
        """Return whether the tile at hand is the last along K."""
        return k_left <= self.config.lanes

    def elaborate(self, platform: object) -> Module:  # noqa: ARG002
        m = Module()
        config = self.config
        current = Signal(loaded_layout(config))
        job = current.job
        active, primed = Signal(), Signal()
        m_left = Signal(Shape.cast(job.m.shape()).width)
        k_left = Signal(Shape.cast(job.k.shape()).width)
        token = Signal(index_range(config.tokens_max))
        base, tile_base, address = (
            Signal(range(config.buffer_words), name=n) for n in ("base", "tile_base", "addr")
        )
        credit = Signal(range(config.result_entries + 1), init=config.result_entries)

        token_end, k_end, m_end, job_end = Signal(), Signal(), Signal(), Signal()
        go, take = Signal(), Signal()
        m.d.comb += [
            token_end.eq(token == job.tokens - 1),
            k_end.eq(self.last_tile(k_left)),
            m_end.eq(m_left <= config.rows),
            job_end.eq(token_end & k_end & m_end),
            go.eq(active & primed & (self.tile_valid | (token != 0)) & (~k_end | (credit != 0))),
            self.swap.eq(go & (token == 0)),
            self.issue.valid.eq(go),
            self.issue.first.eq(k_left == job.k),
            self.issue.last.eq(k_end),
            self.issue.bias_end.eq(self.issue.first & token_end),
            self.issue.token.eq(token),
            take.eq(~active | (go & job_end)),
            self.loaded.ready.eq(take),
            self.release.eq(Mux(go & job_end, current.words, 0)),
        ]
        spoken_for = go & k_end
        if config.sparse:
            spoken_for |= self.reserve
        left = credit + self.popped - spoken_for
        m.d.sync += credit.eq(left)
        if config.sparse:
            room = Signal(init=1)
            m.d.sync += room.eq(left != 0)
            m.d.comb += self.room.eq(room)

        # Address of the word after the one at hand; jobs lie one behind the other.
        following, next_tile, next_job = (
            Signal(range(config.buffer_words), name=n) for n in ("next", "next_tile", "next_job")
        )
        m.d.comb += [
            next_job.eq(base + current.words),
            next_tile.eq(Mux(k_end, base, tile_base + 1)),
            following.eq(Mux(job_end, next_job, Mux(token_end, next_tile, address + current.stride))),
            self.address.eq(Mux(primed, following, address)),
            self.enable.eq(go | ~primed),
        ]
        with m.If(active & ~primed):
            m.d.sync += primed.eq(1)
        with m.If(go):
            m.d.sync += [address.eq(following), token.eq(Mux(token_end, 0, token + 1))]
            with m.If(token_end):
                m.d.sync += [tile_base.eq(next_tile), k_left.eq(Mux(k_end, job.k, k_left - config.lanes))]
            with m.If(token_end & k_end):
                m.d.sync += m_left.eq(m_left - config.rows)
            with m.If(job_end):
                # The first word of the next job was read in this cycle if that job is loaded.
                m.d.sync += [active.eq(0), primed.eq(0), base.eq(next_job), tile_base.eq(next_job)]
        with m.If(take & self.loaded.valid):
            m.d.sync += [
                active.eq(1),
                primed.eq(active),
                current.eq(self.loaded.payload),
                m_left.eq(self.loaded.payload.job.m),
                k_left.eq(self.loaded.payload.job.k),
            ]
        return m
