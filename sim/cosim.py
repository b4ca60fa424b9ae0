"""Co-simulation of decoder layers: every ternary product on the RTL, every word compared with the golden model.

The golden model runs the layer first, and each matrix gets the activations that it meets there: a wrong word shows
where it arises and nowhere else, and the products, now independent of each other, can be spread over processes. For a
model's shape without weights, operands are seeded.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.fit import check_fits
from tritforge.models.library import has_held_out_text, held_out_text, load_model
from tritforge.models.shapes import ModelShape, resolve_shape
from tritforge.models.tokenizer import encode
from tritforge.sim.comparison import Comparison, MatrixResult, predicted_cycles
from tritforge.sim.operands import ZERO_SHARE, Operands, recorded_operands, seeded_operands, seeded_tokens
from tritforge.sim.rtl_accelerator import compile_core

if TYPE_CHECKING:
    from tritforge.accel.core import Core

#: Where operands are from.
TEXT, TOKENS, SEED = "held-out text", "seeded tokens", "seeded operands"


@dataclass(frozen=True, kw_only=True)
class CosimTask:
    """What to run.

    Attributes
    ----------
    model
        A shipped model's name or a checkpoint's path; None with a shape.
    shape
        A model's shape, as `tritforge.models.shapes.resolve_shape` knows it, whose operands are seeded; None with a
        model.
    layers
        Layers whose matrices run on the RTL.
    tokens
        Tokens in one pass: characters of held-out text where the model has one.
    seed
        Chooses the place in the text, the tokens, or the operands.
    jobs
        Simulator processes.

    Raises
    ------
    InputError
        Not one of model and shape, no layer, a number of jobs or a seed out of its bounds.
    """

    model: str | None = None
    shape: str | None = None
    layers: tuple[int, ...]
    tokens: int
    seed: int
    jobs: int = 1

    def __post_init__(self) -> None:
        if (self.model is None) == (self.shape is None):
            raise InputError("a model or a shape is needed, one of the two")
        if not self.layers:
            raise InputError("there are no layers to run; one at least is needed")
        if self.jobs < 1:
            raise InputError(f"jobs is {self.jobs}; one process at least is needed")
        if self.seed < 0:
            raise InputError(f"seed is {self.seed}; zero or more is needed")

    @property
    def name(self) -> str:
        """The model's or the shape's name."""
        return str(self.model if self.shape is None else self.shape)


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Where a task's operands come from: a checkpoint, or a shape.

    Attributes
    ----------
    name
        The model as the task names it, or the shape's full name.
    kind
        `TEXT`, `TOKENS` or `SEED`.
    layers
        Number of layers that there are.
    longest
        Most tokens in one pass; None where the source does not say.
    matrices
        M and K of the matrices of a layer, by name.
    """

    name: str
    kind: str
    layers: int
    longest: int | None
    matrices: dict[str, tuple[int, int]]
    _checkpoint: Checkpoint | None = None
    _shape: ModelShape | None = None
    _text: str = ""

    @classmethod
    def open(cls, task: CosimTask) -> "Source":
        """Find what a task names.

        Raises
        ------
        InputError
            There is no such model or shape, or it is damaged.
        """
        if task.shape is not None:
            shape = resolve_shape(task.shape)
            return cls(
                name=shape.name,
                kind=SEED,
                layers=shape.num_hidden_layers,
                longest=shape.max_position_embeddings,
                matrices={linear.name: (linear.outputs, linear.inputs) for linear in shape.linears},
                _shape=shape,
            )
        checkpoint = load_model(task.name)
        config = checkpoint.config
        text = held_out_text(task.name) if has_held_out_text(task.name) else ""
        longest = config.max_position_embeddings
        return cls(
            name=task.name,
            kind=TEXT if text else TOKENS,
            layers=config.num_hidden_layers,
            longest=min(longest, len(text)) if text else longest,
            matrices=dict(config.matrices),
            _checkpoint=checkpoint,
            _text=text,
        )

    def check(self, task: CosimTask, config: AcceleratorConfig) -> None:
        """Refuse what cannot run, before a simulator is built.

        Raises
        ------
        InputError
            A layer, a number of tokens or a matrix out of bounds.
        """
        for layer in task.layers:
            if not 0 <= layer < self.layers:
                raise InputError(f"layer is {layer}; {task.name} has layers 0 to {self.layers - 1}")
        if task.tokens < 1 or (self.longest is not None and task.tokens > self.longest):
            bound = "1 or more" if self.longest is None else f"1 to {self.longest}"
            raise InputError(f"tokens is {task.tokens}; {task.name} takes {bound}")
        check_fits(config, self.matrices)

    def operands(self, task: CosimTask) -> list[Operands]:
        """Return the products of a task that was checked, in the order of their use."""
        if self._shape is not None:
            return seeded_operands(self._shape, task.layers, task.tokens, task.seed)
        assert self._checkpoint is not None  # noqa: S101
        tokens = (
            passage(self._text, task.tokens, task.seed)
            if self._text
            else seeded_tokens(self._checkpoint, task.tokens, task.seed)
        )
        return recorded_operands(self._checkpoint, task.layers, tokens)


def passage(text: str, tokens: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the tokens of a passage of held-out text, its place chosen by the seed."""
    start = int(np.random.default_rng(seed).integers(0, len(text) - tokens + 1))
    return encode(text[start : start + tokens], errors="replace")


def cosimulate(
    task: CosimTask,
    config: AcceleratorConfig,
    *,
    cache: Path,
    core: "Core | None" = None,
    gate_level: bool = False,
    trace: Path | None = None,
    on_phase: Callable[[str], None] | None = None,
    on_cycles: Callable[[int, int], None] | None = None,
    on_progress: Callable[[dict[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Run layers on the RTL and compare every word.

    Parameters
    ----------
    task
        What to run.
    config
        The accelerator.
    cache
        Folder of compiled simulators.
    core
        A core to simulate in place of the one that `config` describes.
    gate_level
        Whether to simulate the core's netlist for ECP5 in place of its Verilog.
    trace
        Where to write a waveform; takes one process.
    on_phase
        Called with what is done next: building, the golden model, then simulating.
    on_cycles
        Called with the predicted cycles of what is done and of all, now and then, from whatever thread.
    on_progress
        Called with each matrix's figures as it is done, from whatever thread.

    Returns
    -------
    dict
        ``model, operands, zero_share`` (of seeded weights), ``layer, tokens, seed, config, gate_level,
        verilog_sha256`` (of the netlist's Verilog at the gate level), ``matrices, first_mismatch,
        simulation_seconds`` (of all processes, without their start), ``timed_out, ok``.

    Raises
    ------
    InputError
        The task does not fit the model or the accelerator.
    MissingToolError
        The simulator cannot be built, or the netlist not made.
    SimulationError
        It did not get to its end.
    """

    def say(phase: str) -> None:
        if on_phase is not None:
            on_phase(phase)

    if trace is not None and task.jobs > 1:
        raise InputError(f"jobs is {task.jobs}; a waveform is that of one simulator, so 1 is needed with it")
    source = Source.open(task)
    source.check(task, config)
    compiled = compile_core(
        config, cache, core=core, gate_level=gate_level, trace=trace is not None, on_phase=say
    )
    if source.kind != SEED:
        say("running the golden model")
    todo = source.operands(task)
    say("simulating")
    total = sum(predicted_cycles(config, each) for each in todo)

    def report(result: MatrixResult) -> None:
        if on_progress is not None:
            on_progress(result.to_dict())

    comparison = Comparison(
        compiled,
        todo,
        jobs=task.jobs,
        trace=trace,
        on_cycles=None if on_cycles is None else lambda done: on_cycles(done, total),
        on_result=report,
    )
    results = comparison.run()
    return document(
        task,
        source,
        config,
        results,
        gate_level=gate_level,
        verilog_sha256=compiled.verilog_sha256,
        seconds=comparison.seconds,
        whole=len(results) == len(todo),
    )


def document(
    task: CosimTask,
    source: Source,
    config: AcceleratorConfig,
    results: Sequence[MatrixResult],
    *,
    gate_level: bool,
    verilog_sha256: str,
    seconds: float,
    whole: bool,
) -> dict[str, Any]:
    """Return what `cosimulate` returns; `whole` says whether all products of the task were run."""
    first = next((result.first for result in results if result.first is not None), None)
    return {
        "model": source.name,
        "operands": source.kind,
        "zero_share": ZERO_SHARE if source.kind == SEED else None,
        "layer": task.layers[0] if len(task.layers) == 1 else list(task.layers),
        "tokens": task.tokens,
        "seed": task.seed,
        "config": config.to_dict(),
        "gate_level": gate_level,
        "verilog_sha256": verilog_sha256,
        "matrices": [result.to_dict() for result in results],
        "first_mismatch": None if first is None else asdict(first),
        "simulation_seconds": seconds,
        "timed_out": any(result.timed_out for result in results),
        "ok": whole and all(result.ok for result in results),
    }
