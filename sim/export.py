"""Make the shipped model of two training runs: weights, held-out text, figures and model card.

Run as ``python -m tritforge.sim.export --ternary RUN --twin RUN --corpus r-cran-janeaustenr_*.deb --output
models/data/austen``, where RUN are output folders of `tritforge.models.train`. It lives here rather than in
`tritforge.models` because it runs the NumPy model, which the models must not depend on. Needs ``rdata`` of
the extra ``train``, not PyTorch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import Progress, TaskID
from safetensors import SafetensorError
from safetensors.numpy import load_file

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.models.card import render
from tritforge.models.checkpoint import Checkpoint, quantise_master
from tritforge.models.config import DecoderConfig
from tritforge.models.corpus import HELD_OUT_SHARE, Split, read_novels, split
from tritforge.sim.attention import Floats
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.evaluate import WINDOW, bits_per_character


@dataclass(frozen=True, kw_only=True)
class Run:
    """Outputs of a finished training run.

    Attributes
    ----------
    config
        Shapes of the model.
    recipe
        As the run wrote it.
    trained_bits
        Held-out bits per character that the training code measured.
    tensors : mapping to ndarray of float32
        Master weights by Hugging Face's names.
    """

    config: DecoderConfig
    recipe: Mapping[str, Any]
    trained_bits: float
    tensors: Mapping[str, Floats]

    @classmethod
    def read(cls, folder: Path) -> "Run":
        """Read ``metrics.json`` and ``master.safetensors``.

        Raises
        ------
        InputError
            The folder does not hold a finished run.
        """
        try:
            metrics = json.loads((folder / "metrics.json").read_text())
            return cls(
                config=DecoderConfig.from_dict(metrics["config"]),
                recipe=metrics["recipe"],
                trained_bits=float(metrics["held_out_bits_per_character"]),
                tensors=load_file(folder / "master.safetensors"),
            )
        except OSError as error:
            raise InputError(f"{folder} holds no finished training run: {error}") from error
        except (KeyError, TypeError, json.JSONDecodeError, SafetensorError) as error:
            raise InputError(f"{folder} holds a damaged training run: {error!r}") from error


class CountingProduct(GoldenProduct):
    """The golden ternary product, counting the zeros among the activation codes of each matrix."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__(checkpoint)
        self._zeros = dict.fromkeys(checkpoint.matrices, 0)
        self._codes = dict.fromkeys(checkpoint.matrices, 0)

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        self._zeros[name] += codes_x.size - int(np.count_nonzero(codes_x))
        self._codes[name] += codes_x.size
        return super().__call__(name, codes_x)

    def zero_share(self, name: str) -> float:
        """Share of zeros among the codes that have entered a matrix."""
        return self._zeros[name] / self._codes[name]


class FloatDecoder(Decoder):
    """The full-precision twin: the same decoder with float32 matrices and nothing quantised.

    Parameters
    ----------
    config
        The shapes.
    tensors
        Float32 weights by Hugging Face's names.
    """

    def __init__(self, config: DecoderConfig, tensors: Mapping[str, Floats]) -> None:
        # Quantising checks names and shapes; the codes themselves are not used.
        super().__init__(quantise_master(config, tensors))
        self._weights = tensors

    def linear(self, name: str, x: Floats) -> Floats:
        product: Floats = x @ self._weights[f"{name}.weight"].T
        return product


def figures(name: str, ternary: Run, twin: Run, text: Split, progress: Progress) -> dict[str, Any]:
    """Measure everything that the card says.

    Parameters
    ----------
    name
        Of the model.
    ternary, twin
        The two runs.
    text
        Training and held-out text.
    progress
        Shows a bar for each of the two evaluations.

    Raises
    ------
    InputError
        The runs differ in more than the precision.
    """
    alike = {key: value for key, value in ternary.recipe.items() if key != "ternary"}
    if alike != {key: value for key, value in twin.recipe.items() if key != "ternary"}:
        raise InputError(f"the twin's recipe {dict(twin.recipe)} is not that of {dict(ternary.recipe)}")
    if (ternary.config, ternary.recipe["ternary"], twin.recipe["ternary"]) != (twin.config, True, False):
        raise InputError("the runs are not a ternary model and its full-precision twin of the same shapes")
    checkpoint = quantise_master(ternary.config, ternary.tensors)
    product = CountingProduct(checkpoint)
    decoders = {"ternary": Decoder(checkpoint, product), "twin": FloatDecoder(twin.config, twin.tensors)}
    bits = {}
    for run, decoder in decoders.items():
        task = progress.add_task(f"{run} on held-out text")

        def show(done: int, total: int, task: TaskID = task) -> None:
            progress.update(task, completed=done, total=total)

        bits[run] = bits_per_character(decoder, text.held_out, progress=show)
    content = checkpoint.to_bytes()
    matrices = [
        {
            "name": key,
            "m": matrix.m,
            "k": matrix.k,
            "weight_shares": matrix.shares,
            "zero_activations": product.zero_share(key),
        }
        for key, matrix in checkpoint.matrices.items()
    ]
    return {
        "name": name,
        "config": checkpoint.config.to_dict(),
        "recipe": dict(ternary.recipe),
        "window": WINDOW,
        "held_out": {
            "sha256": text.held_out_sha256,
            "characters": len(text.held_out),
            "train_characters": len(text.train),
            "share": HELD_OUT_SHARE,
        },
        "bits_per_character": {
            "ternary": {"trained": ternary.trained_bits, "numpy": bits["ternary"]},
            "twin": {"trained": twin.trained_bits, "numpy": bits["twin"]},
        },
        "size": {
            "ternary": sum(matrix.codes.size for matrix in checkpoint.matrices.values()),
            "float": sum(tensor.size for tensor in checkpoint.tensors.values()),
            "file": len(content),
        },
        "model_sha256": sha256(content).hexdigest(),
        "matrices": matrices,
    }


def export(ternary: Run, twin: Run, text: Split, output: Path) -> dict[str, Any]:
    """Write ``model.safetensors``, ``held_out.txt``, ``metrics.json`` and the card ``README.md``.

    The name of the output folder is the model's. Returns the figures.

    Raises
    ------
    InputError
        The runs do not belong together, or the folder cannot be written.
    """
    with Progress(console=Console(stderr=True)) as progress:
        document = figures(output.name, ternary, twin, text, progress)
    quantise_master(ternary.config, ternary.tensors).save(output / "model.safetensors")
    write_atomically(output / "held_out.txt", text.held_out)
    write_atomically(output / "metrics.json", json.dumps(document, indent=2) + "\n")
    write_atomically(output / "README.md", render(document))
    return document


@click.command()
@click.option("--ternary", type=click.Path(path_type=Path), required=True, help="Output of the ternary run.")
@click.option("--twin", type=click.Path(path_type=Path), required=True, help="Output of the twin's run.")
@click.option("--corpus", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--output", type=click.Path(path_type=Path), default=Path("models/data/austen"))
def main(ternary: Path, twin: Path, corpus: Path, output: Path) -> None:
    """Make the shipped model of two training runs."""
    try:
        document = export(Run.read(ternary), Run.read(twin), split(read_novels(corpus)), output)
    except InputError as error:
        raise click.UsageError(str(error)) from error
    for run, bits in document["bits_per_character"].items():
        click.echo(
            f"{run}: {bits['trained']:.4f} bits per character as trained, {bits['numpy']:.4f} in NumPy"
        )


if __name__ == "__main__":
    main()
