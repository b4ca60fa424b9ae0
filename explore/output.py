"""Files of a sweep: the table, the fronts, configurations for ``--config``, and a summary in Markdown and JSON."""

import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.files import write_atomically
from tritforge.energy.hardware import LEFT_OUT
from tritforge.explore.choice import Choice, Wish
from tritforge.explore.objectives import Request
from tritforge.explore.reasons import area_error, config_of, describe, number, reasons
from tritforge.explore.run import Sweep
from tritforge.explore.store import FRONT_CSV, SUMMARY, TABLE, TABLE_CSV
from tritforge.rtl.array_report import markdown_table

#: What no figure of a sweep knows of.
ASSUMED = (
    "every configuration reaches the device's clock; a large one may not be routed at it",
    "the host's part of a layer takes no time, and neither do gaps between products",
    "memory gives its full bandwidth, while the array computes",
    "joules are those of gates at the technology node, to compare configurations with: an FPGA takes more",
)
HEADINGS = ("model", "device", "configuration", "tokens/s", "J/token", "W", "LUTs")


def with_front(sweep: Sweep, choices: Sequence[Choice]) -> pa.Table:
    """Return a sweep's table with a column that says which points are within all limits, and which on a front."""
    flags = pd.concat(
        pd.DataFrame({"within": choice.within, "front": choice.front}, index=choice.rows.index)
        for choice in choices
    ).sort_index()
    table = sweep.table
    for name in ("within", "front"):
        table = table.append_column(name, pa.array(flags[name].to_numpy()))
    return table


def table_bytes(table: pa.Table) -> tuple[bytes, bytes]:
    """Return a table as Parquet and as CSV."""
    files = BytesIO(), BytesIO()
    pq.write_table(table, files[0], compression="zstd")
    pyarrow.csv.write_csv(table, files[1])
    return files[0].getvalue(), files[1].getvalue()


def config_toml(config: AcceleratorConfig, comments: Sequence[str]) -> str:
    """Return a configuration as TOML for ``--config``, with comments above it."""
    lines = [f"# {line}" for line in comments]
    lines += [f"{name} = {json.dumps(value)}" for name, value in config.to_dict().items()]
    return "\n".join(lines) + "\n"


def file_stem(model: str, device: str) -> str:
    """Return what files of a model on a device are called."""
    return re.sub(r"[^\w.-]+", "-", f"{model.rpartition('/')[2]}_{device}")


def summary(sweep: Sweep, choices: Sequence[Choice], wish: Wish) -> dict[str, Any]:
    """Return what a sweep found, with plain values."""
    request = sweep.request
    limits = {name: value for name, value in asdict(wish).items() if name not in {"phase", "goal"}}
    return {
        "ok": any(choice.point is not None for choice in choices),
        "points": len(request.space),
        "accelerators": sweep.table.num_rows,
        "skipped": sweep.skipped,
        "phase": wish.phase,
        "goal": wish.goal,
        "limits": {name: value for name, value in limits.items() if isfinite(value)},
        "context": request.scenario.context,
        "batch": request.scenario.batch,
        "node": request.node,
        "axes": {name: list(values) for name, values in request.space.axes.items()},
        "area": area_error(),
        "choices": [_choice(choice, request, wish) for choice in choices],
    }


def _choice(choice: Choice, request: Request, wish: Wish) -> dict[str, Any]:
    row = None if choice.point is None else choice.row(choice.point)
    return {
        "model": choice.model,
        "device": choice.device,
        "points": len(choice.rows),
        "within": int(choice.within.sum()),
        "front": int(choice.front.sum()),
        "config": None if row is None else config_of(row, request.space).to_dict(),
        "recommended": row,
        "runner_up": None if choice.runner_up is None else choice.row(choice.runner_up),
        "barriers": [one.name for one in choice.barriers],
        "why": list(reasons(choice, request, wish)),
    }


def overview(choices: Sequence[Choice], request: Request, wish: Wish) -> list[list[str]]:
    """Return a line for each choice, under `HEADINGS`; figures are those of the first phase that matters."""
    phase = wish.phases[0]
    lines = []
    for choice in choices:
        if choice.point is None:
            lines.append([choice.model, choice.device, "none is within all limits", "", "", "", ""])
            continue
        row = choice.row(choice.point)
        figures = [
            number(row[f"{phase}_{end}"]) for end in ("tokens_per_second", "joules_per_token", "watts")
        ]
        lines.append(
            [choice.model, choice.device, describe(row, request.space), *figures, f"{row['luts']:,}"]
        )
    return lines


def markdown(
    sweep: Sweep, choices: Sequence[Choice], wish: Wish, plots: Sequence[tuple[str, str]] = ()
) -> str:
    """Return the summary to read.

    Parameters
    ----------
    sweep, choices, wish
        What was found.
    plots
        File and alternative text of each choice's plot, in the order of the choices; none without plots.
    """
    request = sweep.request
    skipped = [f"- {count:,}: {reason}" for reason, count in sweep.skipped.items()]
    parts = [
        f"# Which accelerator: {len(request.space):,} combinations",
        f"Phase {wish.phase}, goal {wish.goal}, context {request.scenario.context}, batch {request.scenario.batch}, "
        f"{request.node}. {sweep.table.num_rows:,} combinations are accelerators"
        + (f"; {sum(sweep.skipped.values()):,} are not:" if skipped else "."),
        "\n".join(skipped),
        markdown_table(HEADINGS, overview(choices, request, wish), text=3),
    ]
    for place, choice in enumerate(choices):
        parts.append(f"## {choice.model} on {choice.device}")
        if plots:
            path, text = plots[place]
            parts.append(f"![{text}]({path})")
        parts.append("\n".join(f"- {line}" for line in reasons(choice, request, wish)))
    parts += [
        "## What is taken as given",
        "\n".join(f"- {line}" for line in (area_error(), *ASSUMED)),
        "The energy leaves out:",
        "\n".join(f"- {line}" for line in LEFT_OUT),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def write_results(
    folder: Path, sweep: Sweep, choices: Sequence[Choice], wish: Wish, plots: Sequence[tuple[str, bytes, str]]
) -> list[Path]:
    """Write all files of a sweep, each at once, and return their paths.

    Parameters
    ----------
    folder
        Of the sweep.
    sweep, choices, wish
        What was found.
    plots
        Name, content and alternative text of each choice's plot, or none.

    Raises
    ------
    InputError
        A file cannot be written.
    """
    table = with_front(sweep, choices)
    whole = table_bytes(table)
    fronted = table.filter(table.column("front"))
    files: dict[str, str | bytes] = {
        TABLE: whole[0],
        TABLE_CSV: whole[1],
        FRONT_CSV: table_bytes(fronted)[1],
        SUMMARY: markdown(sweep, choices, wish, [(name, text) for name, _, text in plots]),
    }
    chosen = [choice for choice in choices if choice.point is not None]
    for choice in chosen:
        stem = "recommended" if len(choices) == 1 else f"recommended_{file_stem(choice.model, choice.device)}"
        comments = (
            f"{choice.model} on {choice.device}, by tritforge explore {version('tritforge')}",
            *reasons(choice, sweep.request, wish),
        )
        assert choice.point is not None  # noqa: S101
        files[f"{stem}.toml"] = config_toml(
            config_of(choice.row(choice.point), sweep.request.space), comments
        )
    files |= {name: content for name, content, _ in plots}
    for name, content in files.items():
        write_atomically(folder / name, content)
    return [folder / name for name in files]
