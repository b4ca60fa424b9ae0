"""Train the shipped character model, or its full-precision twin, on Jane Austen's novels.

Run as ``python -m tritforge.models.train --corpus r-cran-janeaustenr_*.deb --output build/train``.
Needs the extra ``train``. Every random choice of a step follows from the seed and the step's number, so
an interrupted run that is started again continues as if nothing had happened.

The recipe: Muon for the ternary matrices, AdamW for embedding and norms; two stages of learning rate and
weight decay as in the training notes of BitNet b1.58 (the rate falls linearly and drops at half time, where
the weight decay ends); straight-through gradients through both quantisers.
"""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import click
import numpy as np
import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save
from torch import Tensor
from torch.nn import functional

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.models.config import DecoderConfig
from tritforge.models.corpus import Split, read_novels, split
from tritforge.models.tokenizer import VOCAB_SIZE, encode
from tritforge.models.torch_bitnet import CausalLM

WINDOW = 256
AUSTEN = DecoderConfig(
    vocab_size=VOCAB_SIZE,
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=1024,
)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides the trained weights, beside the text and the shapes.

    Attributes
    ----------
    steps, batch
        Optimiser steps, and windows of 256 characters in each.
    matrix_rate, vector_rate
        Peak learning rates of the matrices (Muon) and of embedding and norms (AdamW).
    weight_decay
        Of the matrices, in the first stage; none in the second.
    second_stage
        Factor on the learning rate from half time on.
    warmup
        Steps of linear warm-up.
    seed
        Of the initial weights and of the choice of windows.
    ternary
        False trains the full-precision twin.
    """

    steps: int = 6000
    batch: int = 16
    matrix_rate: float = 0.02
    vector_rate: float = 0.003
    weight_decay: float = 0.1
    second_stage: float = 0.6
    warmup: int = 100
    seed: int = 1
    ternary: bool = True

    def rate(self, step: int) -> float:
        """Learning rate of a step, relative to the peak."""
        done = step / self.steps
        stage = 1.0 if done < 0.5 else self.second_stage
        return min(1.0, (step + 1) / self.warmup) * (1.0 - done) * stage

    def decay(self, step: int) -> float:
        """Weight decay of a step."""
        return self.weight_decay if step < self.steps / 2 else 0.0


def held_out_bits(model: CausalLM, tokens: Tensor) -> float:
    """Bits per character over non-overlapping windows, every character but a window's first scored."""
    full = tokens[: len(tokens) // WINDOW * WINDOW].view(-1, WINDOW)
    batches = [*full.split(32), tokens[full.numel() :][None]]
    nats, scored = 0.0, 0
    with torch.no_grad():
        for batch in batches:
            if batch.shape[1] < 2:
                continue
            logits = model(batch)[:, :-1].flatten(0, 1)
            nats += functional.cross_entropy(logits, batch[:, 1:].flatten(), reduction="sum").item()
            scored += batch[:, 1:].numel()
    return nats / scored / math.log(2)


class Trainer:
    """A training run that can be stopped after any step and continued.

    Parameters
    ----------
    text
        Training and held-out text.
    recipe, config
        What to train, and how.
    """

    def __init__(self, text: Split, recipe: Recipe, config: DecoderConfig = AUSTEN) -> None:
        torch.manual_seed(recipe.seed)
        self.recipe = recipe
        self.config = config
        self.step = 0
        self.model = CausalLM(config, ternary=recipe.ternary)
        self._train = torch.from_numpy(encode(text.train, errors="replace"))
        self._held_out = torch.from_numpy(encode(text.held_out, errors="replace"))
        matrices = [p for n, p in self.model.named_parameters() if n.endswith("_proj.weight")]
        others = [p for n, p in self.model.named_parameters() if not n.endswith("_proj.weight")]
        self._optimizers: tuple[torch.optim.Optimizer, ...] = (
            torch.optim.Muon(matrices, lr=recipe.matrix_rate, adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(others, lr=recipe.vector_rate, betas=(0.9, 0.95), weight_decay=0.0),
        )

    def advance(self) -> float:
        """Take one step and return its training loss in bits per character."""
        recipe = self.recipe
        muon, adam = self._optimizers
        for group in muon.param_groups:
            group["lr"] = recipe.matrix_rate * recipe.rate(self.step)
            group["weight_decay"] = recipe.decay(self.step)
        for group in adam.param_groups:
            group["lr"] = recipe.vector_rate * recipe.rate(self.step)
        starts = np.random.default_rng((recipe.seed, self.step)).integers(
            0, len(self._train) - WINDOW, recipe.batch
        )
        windows = self._train[torch.from_numpy(starts)[:, None] + torch.arange(WINDOW + 1)]
        logits = self.model(windows[:, :-1]).flatten(0, 1)
        loss = functional.cross_entropy(logits, windows[:, 1:].flatten())
        for optimizer in self._optimizers:
            optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self._optimizers:
            optimizer.step()
        self.step += 1
        return loss.item() / math.log(2)

    def evaluate(self) -> float:
        """Held-out bits per character, computed in full float32."""
        with _matmul_precision("ieee"):
            return held_out_bits(self.model, self._held_out)

    def save(self, path: Path) -> None:
        """Write the state of the run, atomically."""
        state = {
            "recipe": asdict(self.recipe),
            "step": self.step,
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }
        partial = path.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(path)

    def resume(self, path: Path) -> None:
        """Continue from a saved state.

        Raises
        ------
        InputError
            The state belongs to another recipe.
        """
        state = torch.load(path, weights_only=True)
        if state["recipe"] != asdict(self.recipe):
            raise InputError(f"{path} was written under another recipe: {state['recipe']}")
        self.step = state["step"]
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)


@contextmanager
def _matmul_precision(precision: str) -> Iterator[None]:
    """Run float32 products as ``bf16`` (with float32 sums) or as plain ``ieee``.

    Codes and trits are integers that bfloat16 holds exactly, so forward products of the ternary model stay
    exact; processors with a bfloat16 matrix unit train several times faster.
    """
    before = torch.backends.mkldnn.matmul.fp32_precision
    torch.backends.mkldnn.matmul.fp32_precision = precision
    try:
        yield
    finally:
        torch.backends.mkldnn.matmul.fp32_precision = before


def run(trainer: Trainer, output: Path, *, save_every: int = 250) -> dict[str, float]:
    """Train to the recipe's end with a progress bar and write ``master.safetensors`` and ``metrics.json``.

    Parameters
    ----------
    trainer
        The run; continued from ``output/state.pt`` where that exists.
    output
        Folder for the state, the float32 master weights and the figures.
    save_every
        Steps between two saved states.
    """
    output.mkdir(parents=True, exist_ok=True)
    state = output / "state.pt"
    if state.exists():
        trainer.resume(state)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns) as progress, _matmul_precision("bf16"):
        task = progress.add_task("training", total=trainer.recipe.steps, completed=trainer.step)
        smooth: float | None = None
        while trainer.step < trainer.recipe.steps:
            loss = trainer.advance()
            smooth = loss if smooth is None else 0.98 * smooth + 0.02 * loss
            progress.update(task, advance=1, description=f"{smooth:.3f} bits per character")
            if trainer.step % save_every == 0:
                trainer.save(state)
    trainer.save(state)
    metrics = {"held_out_bits_per_character": trainer.evaluate()}
    tensors = {name: value.contiguous() for name, value in trainer.model.state_dict().items()}
    write_atomically(output / "master.safetensors", save(tensors))
    document = {**metrics, "recipe": asdict(trainer.recipe), "config": asdict(trainer.config)}
    write_atomically(output / "metrics.json", json.dumps(document, indent=2) + "\n")
    return metrics


@click.command()
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("build/train/ternary"))
@click.option("--steps", type=click.IntRange(min=2), default=Recipe.steps, show_default=True)
@click.option("--seed", type=int, default=Recipe.seed, show_default=True)
@click.option("--twin", is_flag=True, help="Train the full-precision twin instead.")
def main(corpus: Path, output: Path, steps: int, seed: int, twin: bool) -> None:
    """Train the shipped character model, or its full-precision twin, on Jane Austen's novels."""
    torch.set_num_threads(1)  # two threads were several times slower on a shared machine
    recipe = replace(Recipe(), steps=steps, seed=seed, ternary=not twin)
    trainer = Trainer(split(read_novels(corpus)), recipe)
    metrics = run(trainer, output)
    click.echo(f"held out: {metrics['held_out_bits_per_character']:.4f} bits per character")


if __name__ == "__main__":
    main()
