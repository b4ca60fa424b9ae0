"""`tritforge generate`: text, every ternary product of which an accelerator computes."""

import sys
from dataclasses import asdict
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.errors import InputError
from tritforge.accel.files import check_writable
from tritforge.accel.presets import load_config
from tritforge.cli.common import (
    baud_option,
    cache_option,
    config_option,
    config_was_given,
    examples,
    json_option,
    parse_settings,
    port_option,
    settings_option,
    write_json,
)
from tritforge.cli.completers import complete_model
from tritforge.cli.cosim import TOOLS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritforge.accel.config import AcceleratorConfig
    from tritforge.energy.interval import Interval
    from tritforge.models.checkpoint import Checkpoint
    from tritforge.models.text import Tokenizer
    from tritforge.sim.measured_generation import Difference, MeasuredGeneration


@click.command(
    name="generate",
    epilog=examples(
        'tritforge generate --prompt "She was " --backend rtl',
        'tritforge generate --prompt "She was " --backend cycle --temperature 0.7 --json run.json',
        'tritforge generate --prompt "It is " --backend board --port /dev/ttyUSB0',
    ),
)
@click.option(
    "--model",
    default="austen",
    show_default=True,
    shell_complete=complete_model,
    help="A shipped model or a checkpoint's path.",
)
@click.option("--prompt", required=True, help="Text to continue.")
@click.option("--tokens", type=click.IntRange(min=1), default=64, show_default=True, help="Tokens to write.")
@click.option(
    "--backend",
    default="cycle",
    show_default=True,
    metavar="golden|cycle|rtl|board",
    help="What computes the ternary products: NumPy, NumPy with the cycle model, the simulated Verilog, or a board, "
    "which tells its configuration.",
)
@port_option
@baud_option
@config_option
@settings_option
@click.option(
    "--temperature", type=float, default=0.0, show_default=True, help="0 takes the most likely token."
)
@click.option("--top-k", type=int, metavar="K", help="Choose among the K most likely tokens.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Seed of the choice among likely tokens."
)
@click.option(
    "--clock",
    type=click.FloatRange(min=1e-3, max=1e6),
    default=200.0,
    show_default=True,
    metavar="MHZ",
    help="Clock of the accelerator, for the tokens per second.",
)
@click.option(
    "--tokenizer", metavar="FILE|ascii", help="A tokenizer.json.  [default: the one beside the model]"
)
@cache_option
@json_option
def command(
    model: str,
    prompt: str,
    tokens: int,
    backend: str,
    port: str | None,
    baud: int | None,
    config_name: str,
    settings: tuple[str, ...],
    temperature: float,
    top_k: int | None,
    seed: int,
    clock: float,
    tokenizer: str | None,
    cache: Path,
    json_path: Path | None,
) -> int:
    """Write text with a model, every ternary product of which an accelerator computes.

    The text goes to standard output, token by token as it comes; the rest of the decoder and its cache of keys and
    values run on the host. At the end, on standard error: cycles, tokens per second, energy of a token, and whether
    tokens, logits and cycles equal those of the golden model. Exit status 1 when they do not.
    """
    from tritforge.models.fit import check_fits
    from tritforge.models.library import load_model
    from tritforge.models.text import open_tokenizer
    from tritforge.sim.accelerator import open_accelerator
    from tritforge.sim.measured_generation import MeasuredGeneration, Request

    expected = load_config(config_name, parse_settings(settings))
    if isnan(clock):
        raise InputError("clock is nan; a number of MHz is needed")
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path)
    translate = open_tokenizer(model, tokenizer)
    checkpoint = load_model(model)
    ids = translate.encode(prompt)
    if not ids:
        raise InputError("the prompt is empty; give a text of one character or more with --prompt")
    if max(ids) >= checkpoint.config.vocab_size:
        raise InputError(
            f"the tokenizer gives token {max(ids)}, and the model knows {checkpoint.config.vocab_size}; "
            "give the model's own tokenizer with --tokenizer FILE"
        )
    if backend != "board":  # which cuts what does not fit
        check_fits(expected, checkpoint.config.matrices)
    request = Request(prompt=ids, count=tokens, seed=seed, temperature=temperature, top_k=top_k)
    text = sys.stderr if str(json_path) == "-" else sys.stdout
    known = expected if backend != "board" or config_was_given() else None
    with open_accelerator(backend, known, cache=cache, port=port, baud=baud, on_phase=_say) as accelerator:
        config = accelerator.config
        run = MeasuredGeneration(checkpoint=checkpoint, accelerator=accelerator, request=request)
        written = _write(run, translate, prompt, text)
        difference = run.difference()
    energy = _energy_per_token(checkpoint, config, len(ids), tokens, model)
    document = {
        "ok": difference is None,
        "model": model,
        "backend": backend,
        "config": config.to_dict(),
        "seed": seed,
        "prompt": prompt,
        "text": written,
        "tokens": run.tokens,
        "difference": None if difference is None else asdict(difference),
        **_figures(run, clock, energy),
        "notes": _notes(checkpoint),
    }
    if json_path is not None:
        write_json(json_path, document, tools=TOOLS)
    for line in _report(document, difference):
        click.echo(line, err=True)
    return 0 if difference is None else 1


def _say(phase: str) -> None:
    click.echo(phase, err=True)


def _write(run: "MeasuredGeneration", tokenizer: "Tokenizer", prompt: str, stream: Any) -> str:
    """Write the prompt and the text as it comes; return the new text."""
    shown = 0
    for _ in run:
        text = prompt + tokenizer.decode(run.tokens)
        # A token may end within a character, which the next one completes.
        if len(run.tokens) == run.request.count or not text.endswith("\N{REPLACEMENT CHARACTER}"):
            stream.write(text[shown:])
            stream.flush()
            shown = len(text)
    stream.write("\n")
    stream.flush()
    return tokenizer.decode(run.tokens)


def _energy_per_token(
    checkpoint: "Checkpoint", config: "AcceleratorConfig", prompt: int, tokens: int, model: str
) -> "Interval":
    """Return the mean energy of the decoding steps of a run, in joules, by the hardware accounting."""
    from tritforge.energy.hardware import hardware_energy
    from tritforge.energy.interval import Interval
    from tritforge.energy.scenario import Scenario
    from tritforge.models.shapes import ModelShape

    shape = ModelShape.from_decoder(checkpoint.config, name=model, source="the checkpoint's configuration")
    # The first new token comes with the prompt; a run of one token is told what the next would take.
    contexts = range(prompt + 1, prompt + max(tokens, 2))
    energies = [
        hardware_energy(
            shape, Scenario(config=config, phase="decode", context=context), arithmetic="ternary"
        ).energy
        for context in contexts
    ]
    return Interval.total(energies).times(1 / len(energies))


def _notes(checkpoint: "Checkpoint") -> list[str]:
    """Say what the energy of a token leaves out."""
    blocks = max(matrix.scale_grid.shape[1] for matrix in checkpoint.matrices.values())
    if blocks == 1:
        return []
    note = (
        f"Not in the energy: matrices whose scales differ along their inputs take {blocks} products for a token, "
        "and it counts one"
    )
    return [note]


def _figures(run: "MeasuredGeneration", clock: float, energy: "Interval") -> dict[str, Any]:
    """Return cycles, speeds and energy, fit for JSON; None for what the back end or the run does not tell."""
    cycles, host = run.cycles_per_token, run.host_seconds_per_token
    seconds = None if cycles is None else cycles / (clock * 1e6)
    usage = run.accelerator.usage
    return {
        "clock_mhz": clock,
        "prompt_tokens": len(run.request.prompt),
        "prompt_cycles": run.steps[0].usage.cycles,
        "cycles": usage.cycles,
        "cycles_compared": usage.cycles is not None and run.accelerator.predicted_cycles,
        "cycles_per_token": cycles,
        "products": usage.products,
        "operations": usage.operations,
        "tokens_per_second": None if seconds is None else 1 / seconds,
        "host_seconds_per_token": host,
        "tokens_per_second_with_host": None if seconds is None or host is None else 1 / (seconds + host),
        "product_seconds": sum(step.product_seconds for step in run.steps),
        "energy_per_token_j": energy.value,
        "energy_per_token_low_j": energy.low,
        "energy_per_token_high_j": energy.high,
    }


def _report(document: dict[str, Any], difference: "Difference | None") -> "Sequence[str]":
    """Say a run's figures in a few lines."""
    from tritforge.energy.interval import Interval
    from tritforge.energy.report import format_joules

    lines = [""]
    if document["cycles"] is not None:
        lines.append(
            f"Prompt: {document['prompt_tokens']} tokens in {document['prompt_cycles']:,} cycles, "
            "the first new token's included"
        )
    if document["cycles_per_token"] is not None:
        speed = document["cycles"] / document["product_seconds"]
        simulated = f"; simulated at {speed:,.0f} cycles/s" if document["backend"] == "rtl" else ""
        lines.append(f"Each further token: {document['cycles_per_token']:,.0f} cycles{simulated}")
        lines.append(
            f"At {document['clock_mhz']:g} MHz: {document['tokens_per_second']:,.0f} tokens/s of the accelerator, "
            f"{document['tokens_per_second_with_host']:,.0f} with the host's "
            f"{document['host_seconds_per_token'] * 1e3:.2f} ms a token in NumPy"
        )
    energy = Interval(
        value=document["energy_per_token_j"],
        low=document["energy_per_token_low_j"],
        high=document["energy_per_token_high_j"],
    )
    lines.append(f"Energy (hardware accounting, 7 nm): {format_joules(energy)} a token")
    lines += document["notes"]
    if difference is None:
        compared = "tokens, logits and cycles" if document["cycles_compared"] else "tokens and logits"
        lines.append(f"equal: {compared} of all {len(document['tokens'])} steps are the golden model's")
    else:
        lines.append(
            f"DIFFERENT: {difference.what} of new token {difference.position}: expected {difference.expected:.9g}, "
            f"got {difference.got:.9g} (seed {document['seed']})"
        )
    return lines
