"""Time of `tritforge explore` as a whole, from the shell: over 100,000 points on two cores, all files included.

Run as ``python benchmarks/bench_explore.py``. Exit status 1 where the command takes more than ten seconds. With
``--profile`` it says instead where the time of a chunk goes, stage by stage, and what the models take that are not
for arrays: a point at a time, which is what there was before.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter, process_time
from typing import TypeVar

import pandas as pd

from tritforge.energy.hardware import hardware_energy
from tritforge.energy.hardware_matrices import layer_matrices
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.explore.devices import find_target_device
from tritforge.explore.energy import step_energy
from tritforge.explore.legality import legal
from tritforge.explore.objectives import Request, evaluate, step_work
from tritforge.explore.reasons import config_of
from tritforge.explore.space import CHUNK_POINTS, Space
from tritforge.explore.store import pack_piece
from tritforge.models.shapes import find_shape
from tritforge.rtl.area import estimate
from tritforge.rtl.area_shape import Shapes
from tritforge.sim.cycles import job_cycles

BOUND_S = 10.0
MODEL, DEVICE = "bitnet-2b4t", "asic-lpddr5"
#: Every configuration is another one, so that nothing is known of a point from one before it.
AXES = {
    "lanes": tuple(range(16, 513, 16)),
    "rows": tuple(range(2, 65, 2)),
    "tokens_max": (1, 4, 16, 64),
    "packing": ("i2", "s5", "s8"),
    "weight_port_bits": (128, 256, 512),
    "result_port_bits": (64, 128, 256),
}
#: Points that the models for one configuration are timed on.
SAMPLE = 40

T = TypeVar("T")


def command(folder: Path) -> list[str]:
    """Return the command that is timed."""
    sweeps = [f"--sweep={name}={','.join(map(str, values))}" for name, values in AXES.items()]
    program = Path(sys.executable).with_name("tritforge")
    return [
        str(program),
        "explore",
        "--model",
        MODEL,
        "--device",
        DEVICE,
        "--jobs",
        "2",
        "-o",
        str(folder),
        *sweeps,
    ]


def timed(what: str, make: Callable[[], T]) -> T:
    """Run a stage and print its time."""
    start = process_time()
    found = make()
    print(f"  {what:40s} {1e3 * (process_time() - start):8.1f} ms")
    return found


def space() -> Space:
    """Return the points that are timed."""
    return Space(models=(find_shape(MODEL),), devices=(find_target_device(DEVICE),), axes=AXES)


def profile() -> None:
    """Print where the time of a chunk goes."""
    request = Request(space=space(), scenario=Scenario())
    model = request.space.models[0]
    evaluate(legal(request.space.points(legal(request.space.chunk(0)).points.numbers[:64])).points, request)
    print(f"a chunk of {CHUNK_POINTS:,} points, in ms of processor:")
    chosen = request.space.chunks // 2
    points = timed("points", lambda: request.space.chunk(chosen))
    points = timed("legality", lambda: legal(points)).points
    timed("area", lambda: estimate(pd.DataFrame(points.columns)))
    for phase in PHASES:
        scenario = replace(request.scenario, phase=phase)
        timed(f"cycles, {phase}", lambda scenario=scenario: step_work(model, scenario, points.columns))  # type: ignore[misc]
        timed(
            f"energy, {phase}", lambda scenario=scenario: step_energy(model, scenario, Shapes(points.columns))
        )  # type: ignore[misc]
    rows = timed("all of these, as a table", lambda: evaluate(points, request))
    timed("piece of Parquet", lambda: pack_piece(rows, {}, "key"))
    start = process_time()
    evaluate(points, request)
    whole = (process_time() - start) / len(points)
    single = _one_at_a_time(request, rows.iloc[:: max(1, len(rows) // SAMPLE)].to_dict("records"))
    print(
        f"a point: {1e6 * whole:.0f} us in a chunk, {1e3 * single:.0f} ms one at a time ({single / whole:,.0f} times)"
    )


def _one_at_a_time(request: Request, rows: list[dict[str, object]]) -> float:
    """Return the seconds of a point by the models of one configuration, and check their results."""
    model = request.space.models[0]
    start = process_time()
    for row in rows:
        config = config_of(row, request.space)
        for phase in PHASES:
            scenario = replace(
                request.scenario, config=config, packing=config.packing, phase=phase, dram="LPDDR5"
            )
            joules = hardware_energy(model, scenario).per_token.value
            cycles = sum(
                run.copies * times * job_cycles(config, run.outputs, run.inputs, tokens).total
                for run in layer_matrices(model, scenario)
                for tokens, times in run.groups(config.tokens_max).items()
            )
            assert abs(joules / float(row[f"{phase}_joules_per_token"]) - 1) < 1e-12  # type: ignore[arg-type]
            assert cycles == row[f"{phase}_cycles"]
    return (process_time() - start) / len(rows)


def main() -> int:
    """Print the figure."""
    parser = argparse.ArgumentParser(description="Time tritforge explore.")
    parser.add_argument("--profile", action="store_true", help="say where the time of a chunk goes")
    if parser.parse_args().profile:
        profile()
        return 0
    with tempfile.TemporaryDirectory() as folder:
        before, start = os.times(), perf_counter()
        subprocess.run(command(Path(folder) / "sweep"), check=True, stdout=subprocess.DEVNULL)
        elapsed, after = perf_counter() - start, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    load = os.getloadavg()[0]
    print(
        f"{len(space()):,} points in {elapsed:.2f} s ({used:.2f} s of processor on two processes, "
        f"{1e6 * used / len(space()):.0f} us a point; load of the machine {load:.1f}), bound {BOUND_S:g} s"
    )
    return 0 if elapsed <= BOUND_S else 1


if __name__ == "__main__":
    sys.exit(main())
