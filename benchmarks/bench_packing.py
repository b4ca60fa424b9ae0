"""Rate of packing and unpacking weight images: MB/s of packed bytes, on one processor.

Run as ``python benchmarks/bench_packing.py``. The matrix is the largest of BitNet b1.58 2B-4T; the rate is that of
the fastest of several runs, once by the time of the processor and once by the clock.
"""

from collections.abc import Callable
from functools import partial
from time import perf_counter, process_time
from typing import Any

import numpy as np

from tritforge.accel.codes import WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.models.image import pack_image, unpack_image

SHAPE = (6912, 2560)
RUNS = 5
ORDERS: dict[str, dict[str, Any]] = {
    "row by row, bias": {},
    "row by row": {"negation": "carry"},
    "8 positions": {"datapath": "fused", "target": "ecp5", "negation": "carry"},
}


def fastest(work: Callable[[], Any]) -> tuple[float, float]:
    """Return the least seconds of processor and of the clock."""
    times = []
    for _ in range(RUNS):
        clock, used = perf_counter(), process_time()
        work()
        times.append((process_time() - used, perf_counter() - clock))
    return min(used for used, _ in times), min(clock for _, clock in times)


def main() -> None:
    """Print a line for each packing, port and order."""
    codes = np.random.default_rng(0).integers(-1, 2, SHAPE).astype(np.int8)
    print(
        f"{SHAPE[0]} x {SHAPE[1]}, 64 lanes x 8 rows; MB/s of packed bytes by processor time (by the clock)"
    )
    print(f"{'packing':8}{'port':>5}  {'order':17}{'pack':>12}{'unpack':>14}")
    for packing in WORDS:
        for port in (64, 128, 512):
            for order, values in ORDERS.items():
                config = AcceleratorConfig(packing=packing, weight_port_bits=port, **values)
                image = pack_image(config, codes)
                assert np.array_equal(unpack_image(config, image, *SHAPE), codes)
                size = len(image) / 1e6
                pack = [size / time for time in fastest(partial(pack_image, config, codes))]
                unpack = [size / time for time in fastest(partial(unpack_image, config, image, *SHAPE))]
                print(
                    f"{packing:8}{port:5}  {order:17}"
                    f"{pack[0]:6.0f} ({pack[1]:4.0f}){unpack[0]:7.0f} ({unpack[1]:4.0f})"
                )


if __name__ == "__main__":
    main()
