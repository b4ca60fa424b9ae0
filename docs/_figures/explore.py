"""Exploring: what is recommended for two models on every device, and how exact the cycles for arrays are."""

import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.parallel import SerialExecutor
from tritforge.energy.scenario import Scenario
from tritforge.explore.choice import Choice, Wish, choose
from tritforge.explore.cycles import job_work
from tritforge.explore.devices import all_target_devices
from tritforge.explore.objectives import Request
from tritforge.explore.reasons import TITLES, number, quantity
from tritforge.explore.run import sweep
from tritforge.explore.space import Space
from tritforge.models.shapes import find_shape
from tritforge.rtl.area_shape import Shapes
from tritforge.rtl.array_report import markdown_table
from tritforge.sim.cycles import job_cycles

PAGE = "howto/explore.md"
MODELS = ("TriLM_99M", "bitnet-2b4t")
AXES = {
    "lanes": (32, 64, 128, 256),
    "rows": (4, 8, 16, 32),
    "tokens_max": (16, 64),
    "packing": ("i2", "s8"),
    "weight_port_bits": (256, 1024),
    "act_port_bits": (256,),
    "result_port_bits": (256,),
    "datapath": ("tree", "fused"),
}
#: Jobs of each kind that the cycles are compared on.
JOBS = 1500


def choices() -> list[Choice]:
    """Return what is recommended for each model on each device."""
    space = Space(
        models=tuple(find_shape(name) for name in MODELS),
        devices=tuple(all_target_devices().values()),
        axes=AXES,
    )
    with TemporaryDirectory() as folder:
        found = sweep(Request(space=space, scenario=Scenario()), Path(folder), SerialExecutor())
    return list(choose(found.frame, Wish()))


def choice_row(choice: Choice) -> list[str]:
    """Return the line of a choice."""
    model = choice.model.rpartition("/")[2]
    if choice.point is None:
        # Alone in the way, or all that are.
        alone = [one for one in choice.barriers if one.point is not None] or choice.barriers
        return [model, choice.device, f"none: {', '.join(TITLES[one.name] for one in alone)}", *[""] * 5]
    row = choice.row(choice.point)
    return [
        model,
        choice.device,
        f"{row['lanes']} x {row['rows']}, {row['tokens_max']} tokens, {row['packing']}, {row['datapath']}",
        f"{row['luts'] / 1000:.0f}",
        number(row["decode_tokens_per_second"]),
        row["decode_bound"],
        number(row["prefill_tokens_per_second"]),
        quantity(row["decode_joules_per_token"], "J"),
    ]


def jobs(kind: str) -> Iterator[tuple[AcceleratorConfig, int, int, int]]:
    """Yield configurations and jobs: with the axes of a model, or with at most two tiles along K."""
    draw = random.Random(1)  # noqa: S311
    while True:
        try:
            config = AcceleratorConfig(
                lanes=draw.choice([16, 64, 256, 512, 1024]),
                rows=draw.randint(1, 64) if kind == "model" else draw.randint(1, 6),
                tokens_max=draw.choice([1, 2, 3, 4, 8, 16, 33]),
                weight_port_bits=1 << draw.randint(8, 12),
                act_port_bits=1 << draw.randint(5, 10),
                result_port_bits=1 << draw.randint(5, 9),
                packing=draw.choice(["i2", "s5", "s8"]),
                negation=draw.choice(["bias", "carry"]),
            )
        except InputError:
            continue
        most = 2560 if kind == "model" else 2 * config.lanes
        least = 768 if kind == "model" else 1
        yield config, draw.randint(1, 600), draw.randint(least, most), draw.randint(1, config.tokens_max)


def cycles_row(kind: str, title: str) -> list[str]:
    """Return the line of a kind of jobs."""
    drawn = jobs(kind)
    found = [next(drawn) for _ in range(JOBS)]
    shapes = Shapes(
        {name: np.array([getattr(one[0], name) for one in found]) for name in found[0][0].to_dict()}
    )
    m, k, tokens = (np.array([one[place] for one in found]) for place in (1, 2, 3))
    exact = np.array([job_cycles(*one).total for one in found])
    short = 1 - job_work(shapes, m, k, tokens).cycles / exact
    return [title, f"{JOBS:,}", f"{(short == 0).sum():,}", f"{short.max():.1%}"]


def tables() -> dict[str, str]:
    """Return the tables of the page."""
    return {
        "recommended": markdown_table(
            (
                "model",
                "device",
                "configuration",
                "1,000 LUTs",
                "decode, tokens/s",
                "bound by",
                "prefill, tokens/s",
                "a decoded token",
            ),
            [choice_row(choice) for choice in choices()],
            text=3,
        ),
        "cycles": markdown_table(
            ("jobs", "drawn", "equal to the cycle model", "most too few"),
            [
                cycles_row("model", "inputs of 768 to 2,560"),
                cycles_row("short", "one tile or two along the inputs, 1 to 6 rows"),
            ],
        ),
    }
