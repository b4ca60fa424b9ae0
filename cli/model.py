"""`tritforge model`: what a checkpoint is made of, and conversion between formats."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tritforge.accel.errors import InputError
from tritforge.accel.files import check_writable
from tritforge.accel.presets import load_config
from tritforge.cli.common import examples, json_option, parse_settings, write_json
from tritforge.cli.completers import complete_config, complete_model
from tritforge.cli.progress import share_done

if TYPE_CHECKING:
    from tritforge.accel.config import AcceleratorConfig
    from tritforge.models.conversion import Target
    from tritforge.models.gguf_reader import I2sLayout

_Command = TypeVar("_Command", bound=Callable[..., Any])
_TARGETS = ("native", "hf-packed", "hf-float", "gguf-tq1_0", "gguf-tq2_0", "gguf-i2_s", "image")

_settings_option = click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="Replace a parameter of it."
)
_quantise_option = click.option(
    "--quantise", is_flag=True, help="Make ternary weights of float ones, by their mean magnitude."
)


def _config_option(purpose: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--config", "config_name", metavar="NAME", shell_complete=complete_config, help=purpose
    )


def _layout_option(name: str, purpose: str) -> Callable[[_Command], _Command]:
    return click.option(name, type=click.Choice(["x86", "arm"]), help=purpose)


@click.group(
    "model",
    epilog=examples(
        "tritforge model inspect austen",
        "tritforge model convert austen austen.gguf --to gguf-tq1_0 --round-scales",
    ),
)
def command() -> None:
    """Inspect and convert checkpoints.

    PATH is a shipped model's name, a folder of Hugging Face's (config.json and safetensors), a GGUF file, a file of
    TritForge, or the folder of an accelerator's image. Pickles (.bin, .pt, .ckpt) are never opened.
    """


@command.command(
    "inspect",
    epilog=examples(
        "tritforge model inspect austen",
        "tritforge model inspect PATH --config wide --set k_max=16384 --json figures.json",
        "tritforge model inspect ggml-model-i2_s.gguf --i2s-layout x86 --all",
    ),
)
@click.argument("path", shell_complete=complete_model)
@_config_option("Accelerator to fit: a preset or a TOML file.  [default: an image's own, otherwise default]")
@_settings_option
@_layout_option("--i2s-layout", "Build of bitnet.cpp that wrote a GGUF file's i2_s.")
@_quantise_option
@click.option("--all", "each", is_flag=True, help="List every matrix, not the spread over the layers.")
@json_option
def inspect_command(
    path: str,
    config_name: str | None,
    settings: tuple[str, ...],
    i2s_layout: "I2sLayout | None",
    quantise: bool,
    each: bool,
    json_path: Path | None,
) -> int:
    """Show what a checkpoint is made of.

    Architecture and shapes; of each matrix the shares of -1, 0 and +1, entropy, rows and columns of zeros, scales;
    memory in each packing beside the entropy; whether an accelerator runs it, and in how many cycles. One matrix is
    in memory at a time.
    """
    from tritforge.models.formats import open_checkpoint
    from tritforge.models.image_bundle import ImageReader
    from tritforge.models.inspection import inspect

    name = config_name or "default"
    accelerator = load_config(name, parse_settings(settings))
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path)
    with open_checkpoint(path, i2s_layout=i2s_layout, quantise=quantise) as reader:
        if isinstance(reader, ImageReader) and config_name is None and not settings:
            name, accelerator = "of the image", reader.accelerator
        with share_done() as report:
            found = inspect(reader, on_progress=lambda done, total: report("reading", done, total))
        found = replace(found, source=found.source | {"path": path})
        fit = _fit(accelerator, reader.matrices)
    if json_path is not None:
        write_json(json_path, {"ok": True, **found.to_dict(), "accelerator": {"config": name, **fit}})
    if str(json_path) != "-":
        from tritforge.cli.model_tables import print_inspection

        print_inspection(found, each=each, config_name=name, accelerator=accelerator, fit=fit)
    return 0


def _fit(accelerator: "AcceleratorConfig", shapes: dict[str, tuple[int, int]]) -> dict[str, Any]:
    """Return whether an accelerator runs the matrices, and what a token costs there."""
    from collections import Counter

    from tritforge.models.fit import misfits
    from tritforge.models.image import image_bytes
    from tritforge.sim.cycles import total_cycles

    problems = misfits(accelerator, shapes)
    result: dict[str, Any] = {
        "parameters": accelerator.to_dict(),
        "fits": not problems,
        "problems": problems,
        "largest_m": max(m for m, _ in shapes.values()),
        "largest_k": max(k for _, k in shapes.values()),
    }
    if problems:
        return result
    counts = Counter(shapes.values())

    def cycles(tokens: int) -> int:
        return sum(count * total_cycles(accelerator, m, k, tokens) for (m, k), count in counts.items())

    batch = accelerator.tokens_max
    return result | {
        "image_bytes": sum(
            count
            * sum(image_bytes(accelerator, m, part.stop - part.start) for part in accelerator.k_slices(k))
            for (m, k), count in counts.items()
        ),
        "cycles_per_token": cycles(1),
        "batch": batch,
        "cycles_per_token_in_batch": cycles(batch) / batch,
    }


@command.command(
    "convert",
    epilog=examples(
        "tritforge model convert PATH model.safetensors --to native",
        "tritforge model convert austen austen.gguf --to gguf-tq1_0 --round-scales",
        "tritforge model convert austen austen-image --to image --config ecp5 --set packing=s8",
    ),
)
@click.argument("path", shell_complete=complete_model)
@click.argument("output", type=click.Path(path_type=Path))
@click.option(
    "--to",
    "target",
    type=click.Choice(_TARGETS),
    required=True,
    metavar="FORMAT",
    help=", ".join(_TARGETS) + ".",
)
@_config_option("For an image: a preset or a TOML file.  [default: default]")
@_settings_option
@_layout_option("--i2s-layout", "Build of bitnet.cpp that a GGUF file of i2_s is from, or is to be for.")
@_layout_option("--to-i2s-layout", "That of OUTPUT, if it is not that of PATH.")
@click.option("--round-scales", is_flag=True, help="Let scales be rounded to what GGUF holds.")
@_quantise_option
@click.option("--force", is_flag=True, help="Replace what lies at OUTPUT.")
@json_option
def convert_command(
    path: str,
    output: Path,
    target: "Target",
    config_name: str | None,
    settings: tuple[str, ...],
    i2s_layout: "I2sLayout | None",
    to_i2s_layout: "I2sLayout | None",
    round_scales: bool,
    quantise: bool,
    force: bool,
    json_path: Path | None,
) -> int:
    """Write a checkpoint in another format.

    The result is written beside OUTPUT and read back, and every code, scale and number of it compared with the
    source; only then is it moved to OUTPUT. What a format cannot hold unchanged is refused. Exit status 1 when
    something differs.
    """
    from tritforge.models.conversion import convert
    from tritforge.models.formats import detect, open_checkpoint

    accelerator = None
    if target == "image" or config_name is not None or settings:
        accelerator = load_config(config_name or "default", parse_settings(settings))
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path)
        if json_path.resolve() == output.resolve():
            raise InputError(f"{json_path} is where the model goes; choose another file for the JSON")
    from_gguf = detect(path)[0] == "gguf"
    # One layout may speak of either file; of a GGUF file that is read it must.
    reads = None if target == "gguf-i2_s" and not from_gguf else i2s_layout
    writes = to_i2s_layout or (i2s_layout if target == "gguf-i2_s" else None)
    with open_checkpoint(path, i2s_layout=reads, quantise=quantise) as reader, share_done() as report:
        result = convert(
            reader,
            output,
            target,
            accelerator=accelerator,
            i2s_layout=writes,
            round_scales=round_scales,
            force=force,
            on_progress=report,
        )
    if json_path is not None:
        write_json(json_path, {"ok": True, "source": path, **result.to_dict()})
    if str(json_path) != "-":
        click.echo(
            f"{output}: {result.format}, {result.bytes:,} bytes; {result.matrices} matrices of {result.weights:,} "
            f"weights and {result.float_numbers:,} float numbers compared, "
            + ("equal but for the rounding of scales" if round_scales else "all equal")
        )
        if result.sign_off:
            what = "sign-off (SHA-256 of manifest.json)" if target == "image" else "SHA-256"
            click.echo(f"{what}: {result.sign_off}")
        for note in result.notes:
            click.echo(f"Note on {path}: {note}")
    return 0
