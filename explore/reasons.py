"""Why a configuration was chosen, in words and figures; or why none could be."""

from collections.abc import Iterator
from dataclasses import replace
from math import floor, log10
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.hardware import notes
from tritforge.explore.choice import ALIKE, Barrier, Choice, Wish, barriers, worst
from tritforge.explore.devices import TargetDevice
from tritforge.explore.objectives import MEMORY_BOUND, Request
from tritforge.explore.space import FOLLOWING, Space
from tritforge.rtl.area import area_model

_PREFIXES = {-4: "p", -3: "n", -2: "µ", -1: "m", 0: "", 1: "k", 2: "M", 3: "G", 4: "T"}
#: Fields that widen what a step waits for.
_WIDENS = {
    "lanes": ("lanes", "rows"),
    "weight port": ("weight_port_bits",),
    "activation port": ("act_port_bits",),
    "result port": ("result_port_bits",),
}
#: What limits are called.
TITLES = {
    "luts": "the device's LUTs",
    "block_ram": "the device's block RAM",
    "memory": "the memory's size",
    "max_watts": "the limit on power",
    "min_tokens": "the limit on tokens a second",
    "max_luts": "the limit on LUTs",
}


def quantity(value: float, unit: str) -> str:
    """Write a quantity with three digits and a prefix: ``39.3 mJ``."""
    if not value:
        return f"0 {unit}"
    # Of what is written: 999.6 is 1.00 k.
    power = min(4, max(-4, floor(log10(abs(float(f"{value:.3g}"))) / 3)))
    return f"{value / 1000.0**power:.3g} {_PREFIXES[power]}{unit}"


def number(value: float) -> str:
    """Write a number with four digits, or all of a whole one: ``17.22``, ``49,512``."""
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"


def config_of(row: dict[str, Any], space: Space) -> AcceleratorConfig:
    """Return the configuration of a row of a table."""
    return AcceleratorConfig.from_dict({name: row[name] for name in space.named}, base=space.base)


def describe(row: dict[str, Any], space: Space) -> str:
    """Write a row's configuration in a line: what is no axis of the sweep is left out."""
    ordered = [name for name in space.named if name not in FOLLOWING or name in space.axes]
    config = config_of(row, space)
    words = [f"{name} {row[name]}" for name in ordered if name not in {"lanes", "rows"}]
    return ", ".join([f"{config.lanes} lanes x {config.rows} rows", *words])


def reasons(choice: Choice, request: Request, wish: Wish) -> tuple[str, ...]:
    """Return why a choice is what it is, a sentence or a few a line."""
    device = next(one for one in request.space.devices if one.name == choice.device)
    if choice.point is None:
        return tuple(_why_none(choice, request, wish, device))
    row = choice.row(choice.point)
    return (
        *(_performance(row, phase) for phase in wish.phases),
        _area(row, device),
        *(_bound(row, phase, device) for phase in wish.phases),
        _rule(choice, wish),
        *(_barrier(one, choice, request.space, wish) for one in choice.barriers),
        *_runner_up(choice, request.space, wish, row),
        *_ends(row, request.space, wish),
        f"Clock: {device.clock_mhz:g} MHz; {device.clock_source}.",
        *(f"Note: {note}." for note in _notes(row, choice, request, device)),
    )


def _performance(row: dict[str, Any], phase: str) -> str:
    joules = [row[f"{phase}_joules_per_token{end}"] for end in ("", "_low", "_high")]
    each, low, high = (quantity(value, "J") for value in joules)
    return (
        f"{phase.capitalize()}: {number(row[f'{phase}_tokens_per_second'])} tokens/s, {each} a token "
        f"({low} to {high}), {quantity(row[f'{phase}_watts'], 'W')}."
    )


def _area(row: dict[str, Any], device: TargetDevice) -> str:
    of = f" of {device.luts:,.0f}" if device.luts else ""
    ram = f" of {device.block_ram_bytes / 1024:,.0f}" if device.block_ram_bytes else ""
    outside = (
        "; it lies outside of the cores that the area model was fitted to" if row["area_extrapolated"] else ""
    )
    kind = "LUTs" if device.family == "ecp5" else "LUTs of ECP5"
    return (
        f"Area: {row['luts']:,} {kind}{of} ({row['luts_low']:,} to {row['luts_high']:,} at the model's worst error), "
        f"{row['block_ram_bytes'] / 1024:,.0f} KiB{ram} of block RAM{outside}."
    )


def _bound(row: dict[str, Any], phase: str, device: TargetDevice) -> str:
    bound = row[f"{phase}_bound"]
    asks = quantity(row[f"{phase}_bytes_per_second"], "B/s")
    gives = quantity(device.bytes_per_second, "B/s")
    if bound == MEMORY_BOUND:
        return f"{phase.capitalize()} waits for the memory: the array could take {asks}, {device.dram} gives {gives}."
    what = "its lanes are busy" if bound == "lanes" else f"its {bound} takes longest"
    return f"{phase.capitalize()} is bound by the array ({what}): it asks for {asks} of the memory's {gives}."


def _rule(choice: Choice, wish: Wish) -> str:
    first, *others = wish.order
    good = choice.rows.loc[choice.within, first.column]
    alike = int(
        (good >= good.max() * (1 - ALIKE)).sum() if first.more else (good <= good.min() * (1 + ALIKE)).sum()
    )
    then = ", then ".join(("the most " if one.more else "the least ") + one.title for one in others)
    return (
        f"{len(good):,} of {len(choice.rows):,} configurations are within all limits; {alike:,} of them "
        f"{'comes' if alike == 1 else 'come'} within {ALIKE:.0%} of the best {first.title}. Among these it is "
        f"chosen by {then}, {ALIKE:.0%} being alike."
    )


def _barrier(barrier: Barrier, choice: Choice, space: Space, wish: Wish) -> str:
    row = choice.row(barrier.point) if barrier.point is not None else {}
    return (
        f"What stands in the way of more is {TITLES[barrier.name]}: without it, {describe(row, space)} would have "
        f"{_figures(row, wish)}."
    )


def _figures(row: dict[str, Any], wish: Wish) -> str:
    phase = wish.phases[0]
    joules = quantity(row[f"{phase}_joules_per_token"], "J")
    return (
        f"{number(row[f'{phase}_tokens_per_second'])} tokens/s, {joules} a token, "
        f"{quantity(row[f'{phase}_watts'], 'W')} and {row['luts']:,} LUTs"
    )


def _runner_up(choice: Choice, space: Space, wish: Wish, row: dict[str, Any]) -> Iterator[str]:
    if choice.runner_up is None:
        return
    other = choice.row(choice.runner_up)
    named = [f"{name} {other[name]}" for name in space.named if other[name] != row[name]]
    # Adding 0 makes -0.0 what it is.
    ratios = {one: round(other[one.column] / row[one.column] - 1, 3) + 0 for one in wish.order}
    changes = [f"{ratio:+.1%} {one.title}" for one, ratio in ratios.items()]
    yield f"Runner-up, with {', '.join(named)}: {', '.join(changes)}."


def _ends(row: dict[str, Any], space: Space, wish: Wish) -> Iterator[str]:
    """Name what phases wait for and the sweep has no more of: ends of axes, and what is no axis."""
    found: dict[str, list[str]] = {}
    for phase in wish.phases:
        for name in _WIDENS.get(row[f"{phase}_bound"], ()):
            values = space.axes.get(name, ())
            if not values:
                found.setdefault(f"{name} is {getattr(space.base, name)} throughout", []).append(phase)
            elif row[name] == max(values):
                found.setdefault(f"{name} {row[name]} is the end of its axis", []).append(phase)
    for what, phases in found.items():
        yield f"{what}, and more of it might speed up {' and '.join(phases)}: widen the sweep."


def _notes(row: dict[str, Any], choice: Choice, request: Request, device: TargetDevice) -> Iterator[str]:
    """Yield what was assumed of the model, and what is odd about the device."""
    model = next(one for one in request.space.models if one.name == choice.model)
    config = config_of(row, request.space)
    yield from notes(model, replace(request.scenario, config=config, packing=config.packing))
    if config.sparse:
        yield "jobs are counted dense; what sparse ones leave out depends on the activations"
    if device.note:
        yield device.note


def _why_none(choice: Choice, request: Request, wish: Wish, device: TargetDevice) -> Iterator[str]:
    through = barriers(choice.rows, wish)
    yield f"No configuration of {len(choice.rows):,} is within all limits."
    alone = [one.name for one in choice.barriers if one.point is not None]
    for name in alone or [one.name for one in choice.barriers]:
        count = int(through[name].sum())
        nearest = _nearest(name, choice, request, wish, device)
        yield f"In the way is {TITLES[name]}: {nearest}; configurations that meet it: {count:,}."
    # What was assumed of the model is the same for every configuration.
    any_row = choice.row(int(choice.rows.index[0]))
    yield from (f"Note: {note}." for note in _notes(any_row, choice, request, device))


def _nearest(name: str, choice: Choice, request: Request, wish: Wish, device: TargetDevice) -> str:
    """Say how near a limit the nearest configuration comes."""
    rows = choice.rows
    if name in {"luts", "max_luts"}:
        limit = wish.max_luts if name == "max_luts" else device.luts or 0
        return f"the smallest takes {rows['luts'].min():,} LUTs of {limit:,.0f}"
    if name == "block_ram":
        least, limit = rows["block_ram_bytes"].min() / 1024, (device.block_ram_bytes or 0) / 1024
        return f"the smallest takes {least:,.0f} KiB of {limit:,.0f}"
    if name == "memory":
        least = quantity(rows["memory_bytes"].min(), "B")
        what = f"batch {request.scenario.batch} at context {request.scenario.context}"
        return f"{what} takes {least} at least of {quantity(device.memory_gb * 1e9, 'B')}"
    watts, tokens = worst(rows, wish)
    if name == "max_watts":
        return f"the least is {quantity(float(watts.min()), 'W')}, more than {quantity(wish.max_watts, 'W')}"
    return f"the most are {number(float(tokens.max()))}, {number(wish.min_tokens)} are asked for"


def area_error() -> str:
    """Say how well the area model fits."""
    model = area_model()
    return (
        f"LUTs are those of ECP5, by a model fitted to {model.cores} packed cores: worst error "
        f"{model.luts.worst_error:.1%}, each left out in turn; at {model.held_out} others, which differ in many "
        f"parameters at once, median {model.luts.held_out_median:.1%}, worst {model.luts.held_out_worst:.1%}"
    )
