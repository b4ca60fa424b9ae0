"""`tritforge board`: what is behind a port, and whether it computes."""

from collections.abc import Sequence
from dataclasses import asdict
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
from tritforge.cli.progress import share_done

if TYPE_CHECKING:
    from tritforge.sim.board_accelerator import BoardAccelerator
    from tritforge.sim.board_check import BoardCheck, CheckedProduct

TOOLS = ("numpy",)


@click.command(
    name="board",
    epilog=examples(
        "tritforge board --port /dev/ttyUSB0",
        "tritforge board --port /dev/ttyUSB0 --config ulx3s --model austen --layer 0 --tokens 16",
        "tritforge board --port simulation --config icebreaker --quick --json -",
    ),
)
@port_option
@baud_option
@config_option
@settings_option
@click.option(
    "--model", shell_complete=complete_model, help="Run a model's layers in place of the seeded products."
)
@click.option("--layer", "layers", default="0", show_default=True, help="A layer, several (0,2), or all.")
@click.option("--tokens", type=int, default=16, show_default=True, help="Tokens in one pass over the layer.")
@click.option(
    "--seed", type=int, default=0, show_default=True, help="Chooses the operands, or the place in the text."
)
@click.option("--quick", is_flag=True, help="Leave out the matrix that fills the weight store.")
@cache_option
@json_option
def command(
    port: str | None,
    baud: int | None,
    config_name: str,
    settings: tuple[str, ...],
    model: str | None,
    layers: str,
    tokens: int,
    seed: int,
    quick: bool,
    cache: Path,
    json_path: Path | None,
) -> int:
    """Identify a board behind a serial port and compare its products with the golden model, every word.

    The board tells its configuration; with --config or --set it must be the one that these describe. The port
    'simulation' is the board's Verilog in a simulator, driven at its UART's pins. Exit status 1 when the board does
    not answer or a word differs.
    """
    from tritforge.models.library import load_model
    from tritforge.sim.board_accelerator import open_board
    from tritforge.sim.board_check import check_board, layer_products, seeded_products
    from tritforge.sim.cosim import CosimTask

    if port is None:
        raise InputError(
            "a port is needed: give --port /dev/ttyUSB0 or the like (python -m serial.tools.list_ports lists them), "
            "or --port simulation"
        )
    if seed < 0:
        raise InputError(f"seed is {seed}; zero or more is needed")
    expected = load_config(config_name, parse_settings(settings)) if config_was_given() else None
    task = None
    if model is not None:
        from tritforge.cli.cosim import parse_layers

        chosen = parse_layers(layers, load_model(model).config.num_hidden_layers)
        task = CosimTask(model=model, layers=chosen, tokens=tokens, seed=seed)
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path)
    with (
        share_done() as report,
        open_board(
            port,
            expected,
            baud=baud,
            cache=cache,
            on_phase=lambda phase: report(phase, 0, 1),
            on_progress=report,
        ) as board,
    ):
        products = (
            seeded_products(board, seed, fill=not quick)
            if task is None
            else layer_products(task, board.config)
        )
        check = check_board(board, products)
        document = {
            "ok": check.ok,
            "port": port,
            "seed": seed,
            "model": model,
            **_identity(board),
            **check.to_dict(),
            "link": asdict(board.link.counts),
        }
    if json_path is not None:
        write_json(json_path, document, tools=TOOLS)
    _show(document, check, to_stderr=str(json_path) == "-")
    return 0 if check.ok else 1


def _identity(board: "BoardAccelerator") -> dict[str, Any]:
    """Return what a board says of itself, fit for JSON."""
    control = board.device.control
    return {
        "register_map": ".".join(str(number) for number in board.device.version),
        "config": board.config.to_dict(),
        "stores": asdict(board.limits),
        "queue_depth": control.queue_depth,
    }


def _show(document: dict[str, Any], check: "BoardCheck", *, to_stderr: bool) -> None:
    from rich.console import Console

    console = Console(stderr=to_stderr)
    for line in describe(document):
        console.print(line, markup=False, highlight=False)
    console.print(product_table(check.products))
    console.print(verdict(document, check), markup=False, highlight=False)


def describe(document: dict[str, Any]) -> list[str]:
    """Say what a board is."""
    config, stores = document["config"], document["stores"]
    return [
        f"{document['port']}: TritForge accelerator, register map {document['register_map']}",
        (
            f"  {config['lanes']} lanes x {config['rows']} rows, {config['datapath']} ({config['target']}), "
            f"packing {config['packing']}, negation {config['negation']}"
        ),
        (
            f"  jobs of M to {config['m_max']}, K to {config['k_max']}, {config['tokens_max']} tokens; "
            f"{document['queue_depth']} may wait"
        ),
        (
            f"  stores: {stores['weights']:,} bytes of weights, {stores['activations']:,} of activations, "
            f"{stores['results']:,} of results"
        ),
    ]


def product_table(products: "Sequence[CheckedProduct]") -> Any:
    """Return a table of products for the terminal."""
    from tritforge.cli.tables import new_table

    numbers = ("M x K", "tokens", "jobs", "words", "differ", "cycles", "seconds")
    table = new_table("product", numbers=numbers, title="products on the board")
    for each in products:
        table.add_row(
            each.name.removeprefix("model."),
            f"{each.m} x {each.k}",
            f"{each.tokens}",
            f"{each.jobs}",
            f"{each.words:,}",
            f"{each.mismatches:,}",
            f"{each.cycles:,}",
            f"{each.seconds:.2f}",
        )
    return table


def verdict(document: dict[str, Any], check: "BoardCheck") -> str:
    """Say in a line how a check ended."""
    link = document["link"]
    wrong = next((product.first for product in check.products if product.first is not None), None)
    if wrong is not None:
        return (
            f"MISMATCH: {wrong.name} token {wrong.token} row {wrong.row}: expected {wrong.expected}, "
            f"got {wrong.got} (seed {document['seed']})"
        )
    if check.refusal is None:
        return "WRONG: the board took a job without rows, which it must refuse"
    words = sum(product.words for product in check.products)
    return (
        f"equal: all {words:,} words bit for bit; {link['bytes_sent']:,} bytes down, {link['bytes_received']:,} up, "
        f"{link['retries']} retries (seed {document['seed']})"
    )
