"""What is run when a page is made: the page's own configuration, generated and simulated, every word compared."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.models import library
from tritforge.report.job_lists import ENTRY
from tritforge.report.subject import Subject
from tritforge.sim.comparison import Comparison, MatrixResult
from tritforge.sim.cosim import passage
from tritforge.sim.golden import quantise_activations
from tritforge.sim.operands import ZERO_SHARE, Operands, recorded_operands, seeded_weights
from tritforge.sim.rtl_accelerator import compile_core
from tritforge.sim.simulator import run

#: Random lists of jobs of a run.
LISTS = 24
#: Cycles that the slice of a layer may take, about; a simulator runs some 400,000 a second.
_SLICE_CYCLES = 150_000
#: Most tokens of it.
_SLICE_TOKENS = 16


@dataclass(frozen=True, kw_only=True)
class Verification:
    """What was run and what came of it.

    Attributes
    ----------
    seed
        Repeats it.
    verilog_sha256
        Of the core that was simulated.
    lists
        Of `tritforge.report.job_lists.run_lists`.
    operands
        Where those of the slice are from.
    slices
        The parts of the layer's matrices that ran.
    whole
        Shapes of the matrices that they are parts of, by name: M and K.
    """

    seed: int
    verilog_sha256: str
    lists: tuple[dict[str, Any], ...]
    operands: str
    slices: tuple[MatrixResult, ...]
    whole: dict[str, tuple[int, int]]

    def _sum(self, of_list: str, of_slice: str) -> int:
        lists = sum(int(one[of_list]) for one in self.lists)
        return lists + sum(int(getattr(one, of_slice)) for one in self.slices)

    @property
    def words(self) -> int:
        """Words that were compared."""
        return self._sum("words", "words_compared")

    @property
    def cycles(self) -> int:
        """Cycles that were simulated in jobs."""
        return self._sum("cycles", "cycles")

    @property
    def predicted_cycles(self) -> int:
        """The cycle model's."""
        return self._sum("predicted_cycles", "predicted_cycles")

    @property
    def mismatches(self) -> int:
        """Words that differ."""
        return self._sum("mismatches", "mismatches")

    @property
    def ok(self) -> bool:
        """Whether all came, all is equal, and every job took the cycles that were predicted."""
        return all(list_ok(one) for one in self.lists) and all(one.ok for one in self.slices)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {
            "seed": self.seed,
            "verilog_sha256": self.verilog_sha256,
            "lists": list(self.lists),
            "operands": self.operands,
            "slices": [one.to_dict() for one in self.slices],
            "words_compared": self.words,
            "mismatches": self.mismatches,
            "cycles": self.cycles,
            "predicted_cycles": self.predicted_cycles,
            "ok": self.ok,
        }


def list_ok(one: dict[str, Any]) -> bool:
    """Whether a list of jobs gave all words, all equal, each job on time and without an error."""
    return bool(
        one["words"] == one["words_expected"]
        and not one["mismatches"]
        and one["on_time"]
        and not one["timed_out"]
        and not one["error"]
    )


def verify(
    subject: Subject,
    *,
    seed: int,
    cache: Path,
    lists: int = LISTS,
    on_phase: Callable[[str], None] | None = None,
) -> Verification:
    """Simulate a configuration: random lists of jobs under pauses, then a part of the model's first layer.

    Parameters
    ----------
    subject
        Model and configuration.
    seed
        Chooses lists, pauses, and operands or the place in the text.
    cache
        Folder of compiled simulators.
    lists
        Number of lists.
    on_phase
        Called with what is done next.

    Raises
    ------
    InputError
        The cache cannot be written, or the seed is negative.
    MissingToolError
        Verilator, the compiler, make or perl is missing.
    SimulationError
        The simulator did not compile or get to its end.
    """
    say = on_phase or (lambda _phase: None)
    config = subject.config
    compiled = compile_core(config, cache, on_phase=say)
    say("simulating random jobs")
    task = {"seed": seed, "lists": lists}
    ran = run(compiled.folder, ENTRY, task, config=config.to_dict())
    say("simulating a part of the model's first layer")
    operands, source = layer_slice(subject, seed)
    results = Comparison(compiled, operands).run()
    return Verification(
        seed=seed,
        verilog_sha256=compiled.verilog_sha256,
        lists=tuple(ran["lists"]),
        operands=source,
        slices=tuple(results),
        whole={linear.name: (linear.outputs, linear.inputs) for linear in subject.shape.linears},
    )


def layer_slice(subject: Subject, seed: int) -> tuple[list[Operands], str]:
    """Return the first rows and inputs of each of the first layer's matrices, and where the operands are from.

    Of a shipped model weights and activations are those that the model meets in held-out text; of any other the shape
    is taken, and operands are seeded.
    """
    config = subject.config
    tokens = min(config.tokens_max, _SLICE_TOKENS)
    if subject.model in library.names():
        checkpoint = library.load_model(subject.model)
        ids = passage(library.held_out_text(subject.model), tokens, seed)
        whole = recorded_operands(checkpoint, (0,), ids)
        source = f"weights of {subject.model}, activations of {tokens} held-out characters"
        cut = [_part(one, *_bounds(config, one.m, one.k, tokens, len(whole))) for one in whole]
        return cut, source
    found = []
    linears = subject.shape.linears
    for index, linear in enumerate(linears):
        m, k = _bounds(config, linear.outputs, linear.inputs, tokens, len(linears))
        place = (seed, index)
        numbers = np.random.default_rng((*place, 1)).standard_normal((tokens, k), dtype=np.float32)

        def weights(m: int = m, k: int = k, place: tuple[int, int] = place) -> npt.NDArray[np.int8]:
            return seeded_weights(m, k, np.random.default_rng((*place, 0)))

        activations = quantise_activations(numbers)[0]
        if config.act_bits < 8:
            activations >>= 8 - config.act_bits
        found.append(Operands(name=linear.name, m=m, k=k, weights=weights, activations=activations))
    return found, f"seeded weights with {ZERO_SHARE:.0%} zeros, and seeded activations, of the model's shape"


def _part(one: Operands, m: int, k: int) -> Operands:
    """Return the first rows and inputs of a product."""
    name = one.name.split(".", 3)[3]
    return Operands(
        name=name, m=m, k=k, weights=lambda: one.weights()[:m, :k], activations=one.activations[:, :k]
    )


def _bounds(config: AcceleratorConfig, m: int, k: int, tokens: int, matrices: int) -> tuple[int, int]:
    """Return how many rows and inputs of a matrix run: all inputs that fit, rows up to a share of the cycles."""
    k = min(k, config.k_max)
    pace = max(
        tokens, config.tile_beats, config.rows * tokens // config.results_per_beat // config.k_tiles(k)
    )
    tiles = max(1, _SLICE_CYCLES // matrices // (pace * config.k_tiles(k)))
    return min(m, config.m_max, config.rows * tiles), k
