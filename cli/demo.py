"""`tritforge demo`: the whole job in one go."""

from pathlib import Path
from typing import Any

import click

from tritforge.accel.files import check_writable
from tritforge.accel.presets import load_config
from tritforge.cli.common import (
    config_option,
    examples,
    json_option,
    write_json,
)
from tritforge.cli.completers import complete_model

TOKENS = 16


@click.command(
    name="demo",
    epilog=examples(
        "tritforge demo --output build/demo",
        "tritforge demo --layer 1 --config ecp5 --seed 7 --output build/demo-ecp5",
    ),
)
@click.option(
    "--model",
    default="austen",
    show_default=True,
    shell_complete=complete_model,
    help="A shipped model or a checkpoint's path.",
)
@click.option("--layer", type=int, default=0, show_default=True, help="The layer that runs on the RTL.")
@config_option
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses the place in the text.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build/demo"),
    show_default=True,
    help="Folder of all results.",
)
@json_option
def command(model: str, layer: int, config_name: str, seed: int, output: Path, json_path: Path | None) -> int:
    """Run the whole job: Verilog, co-simulation, energy, a plot and a summary.

    A trained decoder layer runs on generated hardware with real activations of held-out text, every word
    compared with the golden model; the Verilog, the cycles and the energy land beside each other. Exit status
    1 when anything differs.
    """
    from rich.console import Console

    from tritforge.cli.cosim import TOOLS, parse_layers, run_with_progress, verdict
    from tritforge.models.library import load_model
    from tritforge.sim.cosim import CosimTask

    config = load_config(config_name)
    checkpoint = load_model(model)
    layers = parse_layers(str(layer), checkpoint.config.num_hidden_layers)
    task = CosimTask(model=model, layers=layers, tokens=TOKENS, seed=seed)
    if json_path is not None and str(json_path) != "-":
        check_writable(json_path)
    console = Console(stderr=True)

    console.print(f"[1/4] Verilog of a {config.lanes}-lane, {config.rows}-row accelerator")
    core = _write_verilog(config, output, seed)
    console.print(f"[2/4] layer {layer} of {model} on the simulated Verilog, {TOKENS} tokens")
    result = run_with_progress(task, config, output.parent / "simulators")
    _write_cycles(result, output)
    console.print("[3/4] energy at 7 nm beside the published figures")
    energy = _write_energy(model, output)
    console.print("[4/4] summary")

    ok = result["ok"] and energy["ok"]
    summary = {"ok": ok, "cosim": result, "energy": energy, "verilog_sha256": core.sha256}
    write_json(output / "summary.json", summary, tools=TOOLS)
    if json_path is not None:
        write_json(json_path, summary, tools=TOOLS)
    if str(json_path) != "-":
        for line in _summary(core, result, energy, output):
            click.echo(line)
        click.echo(f"{'OK' if ok else 'FAILED'}: {verdict(result)}")
    return 0 if ok else 1


def _write_verilog(config: Any, output: Path, seed: int) -> Any:
    from tritforge.cli.verilog import write_core

    core, _ = write_core(config, output / "core.v", name="tritforge_core", seed=seed)
    return core


def _write_cycles(result: dict[str, Any], output: Path) -> None:
    import pandas as pd

    from tritforge.accel.files import write_atomically

    write_atomically(output / "cycles.csv", pd.DataFrame(result["matrices"]).to_csv(index=False))


def _write_energy(model: str, output: Path) -> dict[str, Any]:
    from tritforge.accel.files import write_atomically
    from tritforge.energy.frames import components_frame, figures_frame
    from tritforge.energy.plot import plot_energy
    from tritforge.energy.published import compare, figure_3
    from tritforge.energy.report import report_model
    from tritforge.models.shapes import resolve_shape

    shape = resolve_shape(model)
    report = report_model(shape, 512)
    comparisons = compare(figure_3())
    write_atomically(
        output / "energy.csv", components_frame([report.ternary, report.fp16]).to_csv(index=False)
    )
    write_atomically(output / "figure3.csv", figures_frame(comparisons).to_csv(index=False))
    plot_energy(output / "energy.png", extra=shape)
    return {
        "ok": all(comparison.verdict != "fails" for comparison in comparisons),
        **report.to_dict(),
        "figures": [comparison.to_dict() for comparison in comparisons],
    }


def _summary(core: Any, result: dict[str, Any], energy: dict[str, Any], output: Path) -> list[str]:
    config = core.config
    cycles = sum(matrix["cycles"] for matrix in result["matrices"])
    predicted = sum(matrix["predicted_cycles"] for matrix in result["matrices"])
    operations = sum(matrix["m"] * matrix["k"] * matrix["tokens"] for matrix in result["matrices"])
    met = sum(figure["verdict"] != "fails" for figure in energy["figures"])
    joules, baseline = energy["energy_j"], energy["baseline"]["energy_j"]
    used = operations / (cycles * config.lanes * config.rows) if cycles else 0.0
    lines = [
        (
            "Verilog",
            f"{output / 'core.v'}, {config.lanes} lanes x {config.rows} rows, sha256 {core.sha256[:12]}",
        ),
        ("Layer", f"{result['layer']} of {result['model']}, {operations:,} ternary operations on the RTL"),
        ("Cycles", f"{cycles:,}, predicted {predicted:,}; the lanes worked {used:.1%} of the time"),
        (
            f"Energy ({energy['accounting']} accounting, {energy['context']} tokens)",
            f"{joules * 1e6:.1f} uJ, FP16 takes {baseline / joules:.2f} times as much",
        ),
        (
            "Published figures of arXiv 2402.17764",
            f"{met} of {len(energy['figures'])} met; plot in {output / 'energy.png'}",
        ),
    ]
    return [f"{name}: {text}" for name, text in lines]
