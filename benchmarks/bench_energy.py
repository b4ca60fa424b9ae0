"""Time of the energy model: all shapes, four contexts, both phases, under every accounting.

Run as ``python benchmarks/bench_energy.py``; imports are not counted. Exit status 1 where it takes a second or more.
"""

import sys
from time import perf_counter, process_time

from tritforge.energy.accounting import paper_energy
from tritforge.energy.baselines import ARITHMETICS
from tritforge.energy.counts import COUNTS
from tritforge.energy.hardware import hardware_energy
from tritforge.energy.scenario import PHASES, Scenario
from tritforge.models.shapes import all_shapes

CONTEXTS = (512, 2048, 8192, 32768)
BOUND_S = 1.0


def sweep() -> tuple[int, float]:
    """Compute every total with its bounds; return how many there are, and their sum in joules."""
    results, joules = 0, 0.0
    for shape in all_shapes().values():
        for context in CONTEXTS:
            for phase in PHASES:
                scenario = Scenario(phase=phase, context=context)
                for arithmetic in ARITHMETICS:
                    joules += hardware_energy(shape, scenario, arithmetic=arithmetic).energy.value
                    results += 1
            # The paper accounting has no decoding.
            for arithmetic in COUNTS:
                joules += paper_energy(shape, context, arithmetic=arithmetic).energy.value
                results += 1
    return results, joules


def main() -> int:
    """Print the figure."""
    start, used = perf_counter(), process_time()
    results, joules = sweep()
    elapsed, used = perf_counter() - start, process_time() - used
    print(
        f"{len(all_shapes())} shapes x {len(CONTEXTS)} contexts x {len(PHASES)} phases: {results} totals "
        f"in {elapsed:.3f} s ({used:.3f} s of processor), {1e6 * elapsed / results:.0f} us each; sum {joules:.6g} J"
    )
    return 0 if elapsed < BOUND_S else 1


if __name__ == "__main__":
    sys.exit(main())
