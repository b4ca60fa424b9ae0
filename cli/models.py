"""`tritforge models`: the shapes of models with their sources, and one model's parameters, memory and speed."""

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from tritforge.accel.errors import InputError
from tritforge.cli.common import examples, json_option, write_json
from tritforge.cli.completers import complete_device, complete_shape
from tritforge.cli.tables import new_table, table_console

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tritforge.energy.devices import Device
    from tritforge.energy.footprint import Footprint
    from tritforge.models.shapes import ModelShape

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command(
    "models",
    epilog=examples(
        "tritforge models trilm",
        "tritforge models bitnet-b1.58-2B-4T --device a100-80gb",
        "tritforge models austen --bandwidth 20 --rate 1 --memory 8 --json -",
    ),
)
@click.argument("name", required=False, metavar="[NAME|PATH|TEXT]", shell_complete=complete_shape)
@click.option(
    "--context", type=click.IntRange(min=1), default=2048, show_default=True, help="Tokens a sequence."
)
@click.option(
    "--kv-bits",
    type=click.Choice(["16", "8", "4", "3"]),
    default="16",
    show_default=True,
    help="Width of cached keys and values.",
)
@click.option(
    "--device",
    "device_name",
    metavar="NAME",
    shell_complete=complete_device,
    help="A known device, such as a100-80gb.",
)
@click.option("--bandwidth", type=_POSITIVE, metavar="GB/S", help="Memory bandwidth of the device.")
@click.option("--rate", type=_POSITIVE, metavar="TOP/S", help="Its operations; a multiply-accumulate is two.")
@click.option("--memory", type=_POSITIVE, metavar="GB", help="Its memory.")
@json_option
def command(
    name: str | None,
    context: int,
    kv_bits: str,
    device_name: str | None,
    bandwidth: float | None,
    rate: float | None,
    memory: float | None,
    json_path: Path | None,
) -> int:
    """List the shapes of models with their sources, or show one model.

    Without an argument, or with a TEXT that several names hold: the list. With the NAME of one, a shipped model,
    a config.json or a checkpoint: its parameters, its memory in every packing and, for a device, the largest
    batch and the most tokens per second that bandwidth and arithmetic allow.
    """
    from tritforge.energy.footprint import footprint, parameters

    device = _device(device_name, bandwidth, rate, memory)
    shapes = _matching(name)
    if name is None or len(shapes) > 1:
        if device is not None:
            raise InputError("a device is given, but no model; name one model")
        if str(json_path) != "-":
            _print_list(shapes)
        if json_path:
            listed = [asdict(shape) | {"parameters": parameters(shape)} for shape in shapes]
            write_json(json_path, {"ok": True, "models": listed})
        return 0
    result = footprint(shapes[0], context=context, kv_bits=int(kv_bits), device=device)
    if str(json_path) != "-":
        _print_model(result)
    if json_path:
        write_json(json_path, {"ok": True, **result.to_dict()})
    return 0


def _device(
    name: str | None, bandwidth: float | None, rate: float | None, memory: float | None
) -> "Device | None":
    from tritforge.energy.devices import Device, find_device

    flags = {"--bandwidth": bandwidth, "--rate": rate, "--memory": memory}
    given = [flag for flag, value in flags.items() if value is not None]
    if name is not None:
        if given:
            raise InputError(f"--device {name} and {given[0]} are both given; give a device or its numbers")
        return find_device(name)
    if not given:
        return None
    if bandwidth is None or rate is None or memory is None:
        missing = ", ".join(flag for flag, value in flags.items() if value is None)
        raise InputError(f"the device lacks {missing}; give --bandwidth, --rate and --memory")
    return Device(name="custom", bandwidth_gbs=bandwidth, rate_tops=rate, memory_gb=memory)


def _matching(name: str | None) -> "list[ModelShape]":
    """Shapes that an argument means: one by its name, or all whose names hold the text."""
    from tritforge.models.shapes import all_shapes, resolve_shape

    shapes = list(all_shapes().values())
    if name is None:
        return shapes
    text = name.casefold()
    holding = [shape for shape in shapes if text in shape.name.casefold()]
    exact = [
        shape
        for shape in holding
        if text in {shape.name.casefold(), shape.name.casefold().rpartition("/")[2]}
    ]
    if exact or not holding or Path(name).exists():
        return [resolve_shape(name)]
    return holding


def _size(value: float | None) -> str:
    """Write a count, such as 1.30B; a dash where it is not known."""
    if value is None:
        return "-"
    for scale, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= scale:
            return f"{value / scale:.2f}{letter}"
    return f"{value:.0f}"


def _bytes(value: float) -> str:
    """Write a number of bytes with a decimal prefix."""
    for scale, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= scale:
            return f"{value / scale:.3f} {unit}"
    return f"{value:g} B"


def _print_list(shapes: "Sequence[ModelShape]") -> None:
    from tritforge.energy.report import describe_source

    console = Console(highlight=False, soft_wrap=True)
    width = max(len(shape.name) for shape in shapes)
    head = (
        f"{'matrices':>9} {'layers':>6} {'hidden':>6} {'network':>7} {'heads':>7} {'vocab':>6} {'experts':>7}"
    )
    console.print(f"{'name':{width}} {'weights':>7} {head}", style="bold", markup=False)
    for source, group in groupby(shapes, key=describe_source):
        console.print(f"\nFrom {source}:", style="dim", markup=False)
        for shape in group:
            heads = f"{shape.num_attention_heads}/{shape.num_key_value_heads}"
            heads = heads if shape.mixer == "attention" else shape.mixer
            experts = shape.num_local_experts
            console.print(
                f"{shape.name:{width}} {shape.weights:>7} {_size(shape.linear_parameters):>9} "
                f"{shape.num_hidden_layers:>6} {shape.hidden_size:>6} {shape.intermediate_size:>7} {heads:>7} "
                f"{shape.vocab_size or '-':>6} "
                f"{f'{shape.num_experts_per_tok}/{experts}' if experts > 1 else '-':>7}",
                markup=False,
            )
    console.print(f"\n{len(shapes)} shapes; `tritforge models NAME` shows one.", markup=False)


def _print_model(result: "Footprint") -> None:
    from tritforge.energy.footprint import parameters
    from tritforge.energy.memory import KV_BITS, find_packing, kv_bytes_per_token, workspace_bytes
    from tritforge.energy.report import describe_source

    shape = result.shape
    console = table_console(highlight=False)
    console.print(shape.name, style="bold", markup=False, soft_wrap=True)
    mixing = (
        f"{shape.num_attention_heads} heads, {shape.num_key_value_heads} of keys and values, "
        f"{shape.head_dim} wide"
    )
    network = f"{'gated' if shape.ffn_gated else 'plain'} network of {shape.intermediate_size}"
    if shape.num_local_experts > 1:
        network += f", {shape.num_experts_per_tok} of {shape.num_local_experts} experts"
    console.print(
        f"{shape.num_hidden_layers} layers of {shape.hidden_size}; "
        f"{mixing if shape.mixer == 'attention' else shape.mixer}; {network}; {shape.weights} weights",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"From {describe_source(shape)}", markup=False, soft_wrap=True)
    if shape.note:
        console.print(f"Note: {shape.note}", markup=False, soft_wrap=True)
    console.print()
    for label, count in parameters(shape).items():
        value = "not known" if count is None else f"{count:,}"
        console.print(f"{label.replace('_', ' ') + ' parameters':22} {value:>18}", markup=False)

    table = new_table(
        "packing", numbers=("bits a weight", "matrices", "embedding", "LM head", "other", "total")
    )
    for memory in result.weights:
        other = memory.scales + memory.norms + memory.router
        parts = (memory.matrices, memory.embedding, memory.lm_head, other, memory.total)
        table.add_row(
            memory.packing,
            f"{find_packing(memory.packing).bits_per_weight:.3f}",
            *(_bytes(part) for part in parts),
        )
    console.print(table)
    if shape.weights != "ternary":
        console.print("Packings i2, s5, s8 and ideal: as if its matrices were ternary.", markup=False)
    for line in result.left_out:
        console.print(f"Not known: {line}.", markup=False)
    caches = ", ".join(f"{_bytes(kv_bytes_per_token(shape, bits))} at {bits} bits" for bits in KV_BITS)
    console.print(f"Cache of keys and values for each token: {caches}.", markup=False)
    console.print(
        f"Workspace: {_bytes(workspace_bytes(shape, 1))} for one token in decoding, "
        f"{_bytes(workspace_bytes(shape, result.context))} for a prefill of {result.context}.",
        markup=False,
    )
    if result.device is not None:
        _print_usage(console, result, result.device)


def _print_usage(console: Console, result: "Footprint", device: "Device") -> None:
    console.print(
        f"\n{device.name}: {device.bandwidth_gbs:g} GB/s, {device.rate_tops:g} TOP/s, {device.memory_gb:g} GB; "
        f"{result.context} tokens a sequence, cache of {result.kv_bits} bits",
        style="bold",
        markup=False,
        soft_wrap=True,
    )
    console.print(f"From {device.source} ({device.status})", markup=False, soft_wrap=True)
    table = new_table("packing", numbers=("phase", "batch", "tokens/s", "at most, by"))
    for use in result.usage:
        if not use.steps:
            table.add_row(use.packing, "-", "0", "-", "memory size: not one sequence fits")
        for number, step in enumerate(use.steps):
            largest = " (most that fit)" if number == 2 else ""
            table.add_row(
                "" if number else use.packing,
                step.phase,
                f"{step.batch}{largest}",
                f"{step.tokens_per_second:,.1f}",
                step.bound,
                end_section=number == len(use.steps) - 1,
            )
    console.print(table)
