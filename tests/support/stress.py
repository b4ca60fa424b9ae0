"""Phases of work that reach into a core's corners, and the Verilog bench that runs them in any simulator.

The words that must come are computed by NumPy; order, tails and marks of the beats follow from the interface alone.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

import numpy as np
from driving import Product, beats

from tritforge.accel.beats import beat_words
from tritforge.accel.codes import TRITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.job import Error
from tritforge.models.image import pack_image
from tritforge.models.operands import order_results, pack_activations
from tritforge.rtl.verilog import GeneratedCore

BENCH = Path(__file__).with_name("stress.v.in")


@dataclass(frozen=True, kw_only=True)
class Refused:
    """A job out of the bounds."""

    m: int
    k: int
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Corrupt:
    """A product one of whose weight beats holds an illegal word at a place; its sums are not compared."""

    product: Product
    beat: int
    place: int


Job = Product | Refused | Corrupt


@dataclass(frozen=True, kw_only=True)
class Phase:
    """Jobs run back to back.

    Attributes
    ----------
    jobs
        What is sent.
    shares
        Of 256 cycles, those in which the jobs, activations, weights and results pause.
    seed
        Of the pauses.
    reset
        Whether a reset comes before it.
    abort
        Cycle in which the phase is given up; the next one must begin with a reset.
    """

    jobs: Sequence[Job]
    shares: tuple[int, int, int, int] = (0, 0, 0, 0)
    seed: int = 1
    reset: bool = False
    abort: int = 0


@dataclass
class Streams:
    """Contents of the bench's files: words in the order in which they are sent or must come."""

    config: AcceleratorConfig
    jobs: list[int] = field(default_factory=list)
    acts: list[int] = field(default_factory=list)
    weights: list[int] = field(default_factory=list)
    beats: list[int] = field(default_factory=list)
    phases: list[int] = field(default_factory=list)

    def add(self, phase: Phase) -> None:
        """Append a phase."""
        errors = [self._add_job(job) for job in phase.jobs]
        corrupt = any(isinstance(job, Corrupt) for job in phase.jobs)
        # Far more than any of it needs.
        limit = 200 + 40 * sum(map(len, (self.jobs, self.acts, self.weights, self.beats)))
        shares = sum(share << 8 * index for index, share in enumerate(phase.shares))
        row = [len(self.jobs), len(self.acts), len(self.weights), len(self.beats), shares, phase.seed]
        row += [int(phase.reset), phase.abort, errors[-1], int(not corrupt), limit]
        self.phases += row + [0] * (16 - len(row))

    def _add_job(self, job: Job) -> Error:
        if isinstance(job, Refused):
            self.jobs.append(self._word(job.m, job.k, job.tokens, Error.ILLEGAL_JOB))
            return Error.ILLEGAL_JOB
        product = job.product if isinstance(job, Corrupt) else job
        self.jobs.append(self._word(*product.shape, Error.NONE))
        self.acts += beats(pack_activations(self.config, product.x), self.config.act_port_bits)
        weights = beats(pack_image(self.config, product.w), self.config.weight_port_bits)
        if isinstance(job, Corrupt):
            word_bits = WORDS[self.config.packing][1]
            illegal = min(set(range(1 << word_bits)) - set(TRITS[self.config.packing]))
            start = job.place * word_bits
            weights[job.beat] &= ~(((1 << word_bits) - 1) << start)
            weights[job.beat] |= illegal << start
        self.weights += weights
        size = self.config.results_per_beat
        words = [int(word) & 0xFFFFFFFF for word in order_results(self.config, product.expected)]
        for start in range(0, len(words), size):
            part = words[start : start + size]
            beat = sum(word << 32 * index for index, word in enumerate(part))
            beat |= ((1 << 4 * len(part)) - 1) << self.config.result_port_bits
            last = start + size >= len(words)
            compared = not isinstance(job, Corrupt)
            marks = int(last) | int(compared) << 1
            self.beats.append(beat | marks << (self.config.result_port_bits * 9 // 8))
        return Error.ILLEGAL_TRIT if isinstance(job, Corrupt) else Error.NONE

    def _word(self, m: int, k: int, tokens: int, error: Error) -> int:
        values = {"m": m, "k": k, "tokens": tokens}
        word, start = 0, 0
        flags = [("flags", 8)] if self.config.partial_sums or self.config.sparse else []
        for name, width in (("m", 32), ("k", 16), ("tokens", 16), *flags):
            word |= values.get(name, 0) << start
            start += width
        return word | error << start

    def write(self, folder: Path) -> None:
        """Write the files that the bench reads; one word more each, so that none is empty."""
        for name in ("phases", "jobs", "acts", "weights", "beats"):
            words = getattr(self, name)
            (folder / f"{name}.hex").write_text("".join(f"{word:x}\n" for word in [*words, 0]))


def render(core: GeneratedCore, streams: Streams, *, mutant_bits: int = 0) -> str:
    """Return the bench of a core; with `mutant_bits`, its input ``mutant`` follows ``+mutant=``."""
    widths = {port["name"]: port["width"] for port in core.ports}
    declaration = (
        f"    reg [{mutant_bits - 1}:0] mutant = 0;\n"
        '    integer chosen = 0;\n    initial if ($value$plusargs("mutant=%d", chosen)) mutant = chosen;\n'
    )
    return Template(BENCH.read_text()).substitute(
        name=core.name,
        phases=len(streams.phases) // 16,
        jobs=len(streams.jobs),
        acts=len(streams.acts),
        weights=len(streams.weights),
        beats=len(streams.beats),
        job_bits=widths["s_axis_job_tdata"],
        act_bits=widths["s_axis_activations_tdata"],
        weight_bits=widths["s_axis_weights_tdata"],
        result_bits=widths["m_axis_results_tdata"],
        error_bits=widths["error"],
        mutant_declaration=declaration if mutant_bits else "",
        mutant_port="        .mutant(mutant)," if mutant_bits else "",
    )


def corner_phases(config: AcceleratorConfig, seed: int) -> list[Phase]:
    """Return phases that reach every bound, tail, pause, error and order of jobs of a small configuration."""
    generator = np.random.default_rng(seed)
    limit = 1 << (config.act_bits - 1)

    def random(m: int, k: int, tokens: int) -> Product:
        return Product.random(generator, m, k, tokens, config.act_bits)

    def constant(m: int, k: int, tokens: int, x: int, w: int) -> Product:
        return Product(x=np.full((tokens, k), x), w=np.full((m, k), w, dtype=np.int8))

    def any_shape() -> tuple[int, int, int]:
        return (
            int(generator.integers(1, config.m_max + 1)),
            int(generator.integers(1, config.k_max + 1)),
            int(generator.integers(1, config.tokens_max + 1)),
        )

    rows, lanes, tokens, k_max, m_max = (
        config.rows,
        config.lanes,
        config.tokens_max,
        config.k_max,
        config.m_max,
    )
    phases = [Phase(jobs=[random(rows, lanes, 1)], reset=True)]
    # One job at a time: every number of tokens, every tail of rows and lanes.
    phases += [Phase(jobs=[random(2 * rows, 2 * lanes, count)]) for count in range(1, tokens + 1)]
    phases += [Phase(jobs=[random(m, lanes, tokens)]) for m in range(1, 2 * rows + 1)]
    phases += [Phase(jobs=[random(rows, k, 1 + k % tokens)]) for k in range(1, 2 * lanes + 1)]
    # The bounds of the shape, and of the sums.
    phases.append(Phase(jobs=[random(m_max, k_max, tokens)]))
    phases.extend(
        Phase(jobs=[constant(rows, k_max, tokens, x, w)]) for x in (-limit, limit - 1) for w in (1, -1, 0)
    )
    # Jobs out of the bounds, alone and between others.
    good = random(rows + 1, lanes + 1, tokens)
    for m, k, t in (
        *((0, 1, 1), (1, 0, 1), (1, 1, 0)),
        *((m_max + 1, 1, 1), (1, k_max + 1, 1), (1, 1, tokens + 1)),
        (0, 0, 0),
    ):
        refused = Refused(m=m, k=k, tokens=t)
        phases += [Phase(jobs=[refused]), Phase(jobs=[good, refused, good])]
    # Every bit that a field of the port has and no legal value sets.
    high = [Refused(m=1 << bit | 1, k=1, tokens=1) for bit in range(m_max.bit_length(), 32)]
    high += [Refused(m=1, k=1 << bit | 1, tokens=1) for bit in range(k_max.bit_length(), 16)]
    high += [Refused(m=1, k=1, tokens=1 << bit | 1) for bit in range(tokens.bit_length(), 16)]
    high += [Refused(m=low | 1 << 31, k=1, tokens=1) for low in range(1, m_max + 1)]
    high += [Refused(m=1, k=low | 1 << 15, tokens=1) for low in range(1, k_max + 1)]
    high += [Refused(m=1, k=1, tokens=low | 1 << 15) for low in range(1, tokens + 1)]
    phases.append(Phase(jobs=[one for refused in high for one in (refused, good)]))
    # Random jobs back to back: at full speed, with each stream pausing, and with all of them.
    for shares in (
        *((0, 0, 0, 0), (200, 0, 0, 0), (0, 180, 0, 0), (0, 0, 180, 0), (0, 0, 0, 180), (0, 0, 0, 250)),
        *((60, 60, 60, 60), (0, 100, 100, 100), (100, 250, 0, 0), (0, 0, 250, 0)),
    ):
        jobs = [random(*any_shape()) for _ in range(8)]
        phases.append(Phase(jobs=jobs, shares=shares, seed=len(phases)))
    # The largest jobs, whose activations do not all fit, before slow weights and slow results.
    largest = [random(m_max, k_max, tokens) for _ in range(3)]
    phases += [Phase(jobs=largest, shares=shares, seed=9) for shares in ((0, 0, 220, 0), (0, 0, 0, 220))]
    # Single tokens and short jobs, one behind the other.
    phases.append(Phase(jobs=[random(1 + i % rows, 1 + i % lanes, 1 + i % tokens) for i in range(24)]))
    small = [random(1 + i % rows, 1 + i % lanes, 1) for i in range(24)]
    phases += [Phase(jobs=small, shares=(0, 0, 0, share), seed=share) for share in (0, 200, 254)]
    phases.append(Phase(jobs=[random(m_max, k_max, 1), random(1, 1, tokens), random(m_max, 1, 1)]))
    # An illegal word at every place of a beat: reported until the next job is taken.
    for place in range(config.words_per_beat):
        beat = place % config.tile_beats
        if place >= len(beat_words(config, beat).whole):
            continue
        bad = Corrupt(product=random(rows, lanes, 1), beat=config.bias_beats + beat, place=place)
        phases += [Phase(jobs=[bad]), Phase(jobs=[good])]
    # Given up in the middle of a job, at many moments, then reset.
    for cycle in range(4, 60, 5):
        phases.append(
            Phase(
                jobs=[random(*any_shape()) for _ in range(3)], abort=cycle, shares=(0, 0, 0, 128), seed=cycle
            )
        )
        phases.append(Phase(jobs=[random(rows, k_max, tokens), random(*any_shape())], reset=True))
    return phases


def without_initial_values(text: str) -> str:
    """Return Verilog whose registers and memories start unknown."""
    text = re.sub(r"^  initial begin\n(?:    \S+\[\d+\] = .*;\n)+  end\n", "", text, flags=re.MULTILINE)
    # The back end's own helpers, which trigger its processes, keep theirs.
    pattern = r"^(  reg (?:signed )?(?:\[\d+:0\] )?(?!\\\$auto\$verilog_backend)\S+ ?) = [^;]*;$"
    return re.sub(pattern, r"\1;", text, flags=re.MULTILINE)
