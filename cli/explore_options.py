"""Options of `tritforge explore` that say what is built in what, what runs, and what is asked for."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import click

from tritforge.accel.errors import InputError
from tritforge.cli.common import parse_settings
from tritforge.cli.completers import complete_target_device
from tritforge.cli.energy_options import node_options, technology_from_options

if TYPE_CHECKING:
    from tritforge.explore.choice import Wish
    from tritforge.explore.devices import TargetDevice
    from tritforge.explore.objectives import Request

_Command = TypeVar("_Command", bound=Callable[..., Any])
_POSITIVE = click.FloatRange(min=0, min_open=True)

MODELS, DEVICES = ("bitnet-2b4t",), ("kv260",)
#: Fields of a device by the option that replaces them, and what its number is multiplied with.
_NUMBERS = {
    "luts": ("luts", 1),
    "block_ram": ("block_ram_bytes", 1024),
    "memory": ("memory_gb", 1),
    "bandwidth": ("bandwidth_gbs", 1),
    "dram": ("dram", 1),
    "clock": ("clock_mhz", 1),
}


def _all(function: _Command, options: "tuple[Callable[[_Command], _Command], ...]") -> _Command:
    for option in reversed(options):
        function = option(function)
    return function


def device_options(function: _Command) -> _Command:
    """Add ``--device`` and the numbers of one's own."""
    return _all(
        function,
        (
            click.option(
                "--device",
                "devices",
                multiple=True,
                metavar="NAME",
                shell_complete=complete_target_device,
                help="A board or chip of explore/data/devices.csv, or all; repeatable.  [default: kv260]",
            ),
            click.option(
                "--luts", type=_POSITIVE, metavar="N", help="Its LUTs, in place of those that are known."
            ),
            click.option("--block-ram", type=_POSITIVE, metavar="KIB", help="Its memory on the chip."),
            click.option("--memory", type=_POSITIVE, metavar="GB", help="Its memory behind the chip."),
            click.option("--bandwidth", type=_POSITIVE, metavar="GB/S", help="That memory's bandwidth."),
            click.option("--dram", metavar="TYPE", help="That memory's kind: LPDDR4, DDR4, HBM2, ..."),
            click.option("--clock", type=_POSITIVE, metavar="MHZ", help="The clock that is reached."),
        ),
    )


def scenario_options(function: _Command) -> _Command:
    """Add what runs."""
    return _all(
        node_options(function),
        (
            click.option(
                "--context",
                type=click.IntRange(min=1),
                default=512,
                show_default=True,
                help="Tokens of the prefill, and that a decoded token sees, itself included.",
            ),
            click.option(
                "--batch",
                type=click.IntRange(min=1),
                default=1,
                show_default=True,
                metavar="N",
                help="Sequences.",
            ),
            click.option(
                "--attention",
                type=click.Choice(["fp16", "int8"]),
                default="fp16",
                show_default=True,
                help="Products in attention.",
            ),
            click.option(
                "--kv-bits",
                type=click.Choice(["16", "8", "4", "3"]),
                help="Width of a cached key or value.  [default: 16, or 8 with --attention int8]",
            ),
        ),
    )


def limit_options(function: _Command) -> _Command:
    """Add what is asked for."""
    return _all(
        function,
        (
            click.option(
                "--phase",
                type=click.Choice(["both", "decode", "prefill"]),
                default="both",
                show_default=True,
                help="What the limits hold for and the choice looks at; of both, decode comes first.",
            ),
            click.option(
                "--goal",
                type=click.Choice(["speed", "energy", "area"]),
                default="speed",
                show_default=True,
                help="What the best has the best of; the other two decide among what is within 1 % of it.",
            ),
            click.option("--max-power", type=_POSITIVE, metavar="W", help="Most watts."),
            click.option("--min-tokens", type=_POSITIVE, metavar="N", help="Fewest tokens a second."),
            click.option("--max-luts", type=_POSITIVE, metavar="N", help="Most LUTs, on any device."),
        ),
    )


def wish_from_options(options: Mapping[str, Any]) -> "Wish":
    """Return what is asked for."""
    from tritforge.explore.choice import Wish

    limits = {"max_watts": "max_power", "min_tokens": "min_tokens", "max_luts": "max_luts"}
    given = {field: options[name] for field, name in limits.items() if options[name] is not None}
    return Wish(phase=options["phase"], goal=options["goal"], **given)


def request_from_options(options: Mapping[str, Any]) -> "Request":
    """Return what is swept.

    Raises
    ------
    InputError
        A name that is not known, an axis, a file or a configuration that is wrong.
    """
    from tritforge.accel.presets import load_config
    from tritforge.energy.scenario import Scenario
    from tritforge.explore.axes import SweepFile, parse_axis, read_sweep_file
    from tritforge.explore.objectives import Request
    from tritforge.explore.space import DEFAULT_AXES, FOLLOWING, Space
    from tritforge.models.shapes import resolve_shape

    path = options["sweep_file"]
    file = read_sweep_file(path) if path else SweepFile(models=(), devices=(), axes={})
    typed = [parse_axis(text) for text in options["sweeps"]]
    axes = dict(file.axes) | dict(typed)
    given = options["config_name"] is not None
    settings = parse_settings(options["settings"])
    unset = {name: values for name, values in DEFAULT_AXES.items() if name not in settings}
    _check_once([name for name, _ in typed], axes, settings)
    base = load_config(options["config_name"] or "default", settings)
    technology, node = technology_from_options(dict(options))
    for device in (devices := _devices(options, file.devices)):
        # A kind of memory that has no row is told before the work.
        technology.row(node, f"dram.{device.dram}")
    kv_bits = options["kv_bits"]
    return Request(
        space=Space(
            models=tuple(resolve_shape(name) for name in options["models"] or file.models or MODELS),
            devices=devices,
            axes=axes or ({} if given else unset),
            base=base,
            following=() if given else tuple(name for name in FOLLOWING if name not in settings),
        ),
        scenario=Scenario(
            context=options["context"],
            batch=options["batch"],
            attention=options["attention"],
            kv_bits=int(kv_bits) if kv_bits else None,
        ),
        node=node,
        technology=technology if options["technology"] else None,
    )


def _check_once(typed: Sequence[str], axes: Collection[str], settings: Collection[str]) -> None:
    """Refuse a parameter that is said twice.

    Raises
    ------
    InputError
        There is one.
    """
    for name in typed:
        if typed.count(name) > 1:
            raise InputError(f"--sweep {name} is given twice; name all its values in one")
    both = [name for name in axes if name in settings]
    if both:
        raise InputError(f"{both[0]} is swept, and set by --set; leave one of them out")


def _devices(options: Mapping[str, Any], listed: tuple[str, ...]) -> "tuple[TargetDevice, ...]":
    """Return the devices that are named, with the numbers that are given in the place of theirs.

    Raises
    ------
    InputError
        A name that is not known, or a device of one's own that lacks a number.
    """
    from tritforge.energy.devices import TYPED
    from tritforge.explore.devices import (
        TYPED_CLOCK,
        TargetDevice,
        all_target_devices,
        find_target_device,
    )

    numbers = {
        field: options[name] * factor
        for name, (field, factor) in _NUMBERS.items()
        if options[name] is not None
    }
    names = options["devices"] or listed
    if not names and numbers:
        needed = {"bandwidth_gbs": "--bandwidth", "clock_mhz": "--clock"}
        missing = [option for field, option in needed.items() if field not in numbers]
        if missing:
            raise InputError(
                f"a device of one's own needs {' and '.join(missing)}; or name one with --device"
            )
        values: dict[str, Any] = {
            "memory_gb": 1024.0,
            "dram": "LPDDR4",
            "clock_source": TYPED_CLOCK,
        } | numbers
        return (TargetDevice(name="custom", title="a device of one's own", family="asic", **values),)
    if "all" in names:
        found = tuple(all_target_devices().values())
    else:
        found = tuple(find_target_device(name) for name in names or DEVICES)
    if "clock_mhz" in numbers:
        numbers["clock_source"] = TYPED_CLOCK
    if numbers:
        found = tuple(
            replace(one, **numbers, source=f"{one.source}; {', '.join(numbers)}: {TYPED}") for one in found
        )
    return found
