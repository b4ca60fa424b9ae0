"""Options of `tritforge energy` that say what runs, on what, and at which technology."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tritforge.cli.completers import complete_config

if TYPE_CHECKING:
    from tritforge.energy.scenario import Scenario
    from tritforge.energy.technology import Technology

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: The model that is reported when none is named.
SHIPPED = "austen"

# Defaults are None, so that an option which the paper accounting does not have is noticed; those of
# `tritforge.energy.scenario.Scenario` hold.
_HARDWARE = {
    "phase": click.option(
        "--phase",
        type=click.Choice(["prefill", "decode"]),
        help="Whole context, or one token.  [default: prefill]",
    ),
    "batch": click.option(
        "--batch", type=click.IntRange(min=1), metavar="N", help="Sequences.  [default: 1]"
    ),
    "config": click.option(
        "--config",
        metavar="NAME|FILE",
        shell_complete=complete_config,
        help="A preset or a TOML file.  [default: default]",
    ),
    "packing": click.option(
        "--packing",
        type=click.Choice(["i2", "s5", "s8", "ideal"]),
        help="Ternary weights in memory.  [default: i2]",
    ),
    "attention": click.option(
        "--attention", type=click.Choice(["fp16", "int8"]), help="Products in attention.  [default: fp16]"
    ),
    "kv_bits": click.option(
        "--kv-bits",
        type=click.Choice(["16", "8", "4", "3"]),
        help="Width of a cached key or value.  [default: 16, or 8 with --attention int8]",
    ),
    "dram": click.option(
        "--dram", metavar="TYPE", help="Memory: LPDDR4, LPDDR5, DDR4, HBM2, HBM3, ...  [default: LPDDR4]"
    ),
    "logits": click.option(
        "--logits",
        type=click.Choice(["last", "all"]),
        help="Positions of a prefill's LM head.  [default: last]",
    ),
    "causal": click.option(
        "--causal/--no-causal",
        default=None,
        help="Whether a position sees only those before it.  [default: causal]",
    ),
    "zero_weights": click.option(
        "--zero-weights",
        metavar="SHARE|measured",
        help="Credit still adders for zero weights; measured takes them from the checkpoint.  [default: 0]",
    ),
    "zero_acts": click.option(
        "--zero-acts",
        metavar="SHARE|FILE|measured",
        help="The same for activation codes; FILE is a metrics.json.  [default: 0]",
    ),
    "wire_mm": click.option(
        "--wire-mm", type=float, metavar="MM", help="Distance from memory to the array.  [default: 1]"
    ),
}


def hardware_options(function: _Command) -> _Command:
    """Add the options that only the hardware accounting has."""
    for option in reversed(_HARDWARE.values()):
        function = option(function)
    return function


def node_options(function: _Command) -> _Command:
    """Add ``--node`` and ``--technology``."""
    table = click.option(
        "--technology",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="A table of one's own, with the columns of energy/data/technology.csv.",
    )
    return click.option("--node", default="7nm", show_default=True, help="Technology node: 7nm or 45nm.")(
        table(function)
    )


def named_options(options: dict[str, Any]) -> list[str]:
    """Return the options that only the hardware accounting has and that were given, as they are written."""
    return ["--" + name.replace("_", "-") for name in _HARDWARE if options[name] is not None]


def shape_parameters(options: dict[str, Any]) -> dict[str, Any]:
    """Return what is left for the shape once the options of this module are taken away."""
    return {name: value for name, value in options.items() if name not in {*_HARDWARE, "node", "technology"}}


def scenario_from_options(options: dict[str, Any], *, context: int, model: str) -> "Scenario":
    """Build the scenario of the options.

    Raises
    ------
    InputError
        A configuration, a share or a checkpoint that is wrong.
    """
    from tritforge.accel.presets import load_config
    from tritforge.energy.scenario import Scenario

    chosen = {name: options[name] for name in _HARDWARE if options[name] is not None}
    if "config" in chosen:
        chosen["config"] = load_config(chosen["config"])
    if "kv_bits" in chosen:
        chosen["kv_bits"] = int(chosen["kv_bits"])
    for name in ("zero_weights", "zero_acts"):
        if name in chosen:
            chosen[name] = _share(name, chosen[name], model)
    return Scenario(context=context, **chosen)


def _share(name: str, text: str, model: str) -> float:
    from tritforge.energy import zeros

    if text == "measured":
        return zeros.measured_weights(model) if name == "zero_weights" else zeros.measured_acts(model)
    if name == "zero_acts" and Path(text).is_file():
        return zeros.zero_acts(Path(text))
    return zeros.share(text, name)


def technology_from_options(options: dict[str, Any]) -> tuple["Technology", str]:
    """Return the table and the node of the options.

    Raises
    ------
    InputError
        The table cannot be read, or a row of it is wrong.
    """
    from tritforge.energy.technology import default_technology, read_technology

    path = options["technology"]
    return (read_technology(path) if path else default_technology()), options["node"]
