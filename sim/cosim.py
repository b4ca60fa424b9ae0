"""Co-simulation of decoder layers: every ternary product on the RTL, every word compared with the golden model."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.library import held_out_text, load_model
from tritforge.models.tokenizer import encode
from tritforge.sim.cycles import product_cycles
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.jobs import split_product
from tritforge.sim.simulator import CORE_NAME, build, run

if TYPE_CHECKING:
    from tritforge.accel.core import Core
    from tritforge.sim.bench_driver import RtlProduct


#: q, k, v, o, gate, up, down.
MATRICES_PER_LAYER = 7


@dataclass(frozen=True, kw_only=True)
class CosimTask:
    """What to run.

    Attributes
    ----------
    model
        A shipped model's name or a checkpoint's path.
    layers
        Layers whose matrices run on the RTL.
    tokens
        Characters of held-out text, in one pass.
    seed
        Chooses the place in the text.
    """

    model: str
    layers: tuple[int, ...]
    tokens: int
    seed: int

    def check(self, checkpoint: Checkpoint, text: str, config: AcceleratorConfig) -> None:
        """Refuse what cannot run, before a simulator is built.

        Raises
        ------
        InputError
            A layer, a number of tokens or a matrix out of bounds.
        """
        shape = checkpoint.config
        for layer in self.layers:
            if not 0 <= layer < shape.num_hidden_layers:
                raise InputError(
                    f"layer is {layer}; {self.model} has layers 0 to {shape.num_hidden_layers - 1}"
                )
        longest = min(shape.max_position_embeddings, len(text))
        if not 1 <= self.tokens <= longest:
            raise InputError(f"tokens is {self.tokens}; {self.model} takes 1 to {longest}")
        for name, (m, k) in shape.matrices.items():
            try:
                split_product(config, m, k, 1)
            except InputError as error:
                raise InputError(f"{name} does not fit the accelerator: {error}") from error


def passage(text: str, tokens: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the tokens of a passage of held-out text, its place chosen by the seed."""
    start = int(np.random.default_rng(seed).integers(0, len(text) - tokens + 1))
    return encode(text[start : start + tokens], errors="replace")


class ComparedProduct:
    """Ternary product of a decoder that runs on the hardware and is compared with the golden model.

    The hardware's words go on into the next matrix, so an error shows again wherever it propagates.

    Parameters
    ----------
    hardware
        The simulated core.
    checkpoint
        The model.
    layers
        Layers whose products run on the hardware; all others on the golden model.
    """

    def __init__(self, hardware: "RtlProduct", checkpoint: Checkpoint, layers: Sequence[int]) -> None:
        self.matrices: list[dict[str, Any]] = []
        self.first_mismatch: dict[str, Any] | None = None
        self.timed_out = False
        #: Words are missing, so the hardware's answer cannot go on into the next matrix.
        self.stopped = False
        self._hardware = hardware
        self._checkpoint = checkpoint
        self._golden = GoldenProduct(checkpoint)
        self._prefixes = tuple(f"model.layers.{layer}." for layer in layers)

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        expected = self._golden(name, codes_x)
        if not name.startswith(self._prefixes) or self.stopped:
            return expected
        config = self._hardware.config
        tokens, k = codes_x.shape
        m = expected.shape[1]
        self._hardware.load(name, self._checkpoint.matrices[name].codes)
        product = self._hardware.product(name, m, codes_x)
        predicted = product_cycles(config, m, k, tokens)
        words = product.words
        compared = 0 if words is None else words.size
        wrong = np.argwhere(words != expected) if words is not None else np.empty((0, 2))
        if words is not None and len(wrong) and self.first_mismatch is None:
            token, row = (int(i) for i in wrong[0])
            self.first_mismatch = {
                "name": name,
                "token": token,
                "row": row,
                "expected": int(expected[token, row]),
                "got": int(words[token, row]),
            }
        self.timed_out = product.timed_out
        self.stopped = words is None
        self.matrices.append(
            {
                "name": name,
                "m": m,
                "k": k,
                "tokens": tokens,
                "words_compared": compared,
                "words_received": product.words_received,
                "words_expected": m * tokens,
                "mismatches": len(wrong),
                "cycles": product.cycles,
                "predicted_cycles": sum(batch.total for batch in predicted),
                "utilisation": m * k * tokens / (product.cycles * config.lanes * config.rows)
                if product.cycles
                else 0.0,
                "timed_out": product.timed_out,
                "error": product.error,
            }
        )
        self._hardware.report(**self.matrices[-1])
        return expected if words is None else words


def run_layers(hardware: "RtlProduct", task: dict[str, Any]) -> dict[str, Any]:
    """Run decoder layers in the simulator's process; called by `tritforge.sim.bench_driver.serve`."""
    todo = CosimTask(**{**task, "layers": tuple(task["layers"])})
    checkpoint = load_model(todo.model)
    product = ComparedProduct(hardware, checkpoint, todo.layers)
    decoder = Decoder(checkpoint, product)
    hidden = decoder.embed(passage(held_out_text(todo.model), todo.tokens, todo.seed))
    for layer in range(max(todo.layers) + 1):
        hidden = decoder.layer(layer, hidden)
    return {
        "matrices": product.matrices,
        "first_mismatch": product.first_mismatch,
        "timed_out": product.timed_out,
    }


def cosimulate(
    task: CosimTask,
    config: AcceleratorConfig,
    *,
    cache: Path,
    core: "Core | None" = None,
    trace: Path | None = None,
    on_phase: Callable[[str], None] | None = None,
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
    trace
        Where to write a waveform.
    on_phase
        Called with what is done next: building, then simulating.
    on_progress
        Called with each matrix's figures as it is done.

    Returns
    -------
    dict
        ``model, layer, tokens, seed, config, verilog_sha256, matrices, first_mismatch, timed_out, ok``.

    Raises
    ------
    InputError
        The task does not fit the model or the accelerator.
    MissingToolError
        The simulator cannot be built.
    SimulationError
        It did not get to its end.
    """
    from tritforge.rtl.tools import verilator_environment
    from tritforge.rtl.verilog import generate

    def say(phase: str) -> None:
        if on_phase is not None:
            on_phase(phase)

    checkpoint = load_model(task.model)
    task.check(checkpoint, held_out_text(task.model), config)
    verilator_environment()  # a missing tool ends the work before it says that it has begun
    generated = generate(config, name=CORE_NAME, core=core)
    say("building the simulator (once per configuration)")
    folder = build(generated, cache, trace=trace is not None)
    say("simulating")
    answer = run(
        folder,
        "tritforge.sim.cosim:run_layers",
        asdict(task),
        config=config.to_dict(),
        trace=trace,
        on_progress=on_progress,
    )
    expected = len(task.layers) * MATRICES_PER_LAYER
    return {
        "model": task.model,
        "layer": task.layers[0] if len(task.layers) == 1 else list(task.layers),
        "tokens": task.tokens,
        "seed": task.seed,
        "config": config.to_dict(),
        "verilog_sha256": generated.sha256,
        **answer,
        "ok": len(answer["matrices"]) == expected and all(_passed(matrix) for matrix in answer["matrices"]),
    }


def _passed(matrix: dict[str, Any]) -> bool:
    return bool(
        matrix["mismatches"] == 0
        and matrix["words_compared"] == matrix["words_expected"]
        and matrix["cycles"] == matrix["predicted_cycles"]
        and not matrix["timed_out"]
        and matrix["error"] == 0
    )
