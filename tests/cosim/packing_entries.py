"""What the tests of packings run in the simulator's process beside the core."""

from typing import Any

import numpy as np
from bench_entries import activations, compare, cover, weights

from tritforge.sim.bench_driver import RtlProduct


def words(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run the crossed coverage, then a job with an illegal word in each place given, then one that is right."""
    answer = cover(hardware, task)
    config = hardware.config
    generator = np.random.default_rng(task["seed"])
    w, x = (
        weights("random", generator, config.rows, config.lanes),
        activations("random", generator, 2, config.lanes),
    )
    errors = []
    for bits in task["illegal"]:
        hardware.load("damaged", np.zeros_like(w))
        image = hardware.image("damaged")
        data = bytearray(image.read_bytes())
        for bit in bits:
            data[bit // 8] |= 1 << bit % 8
        image.write_bytes(data)
        ran = hardware.product("damaged", len(w), x)
        errors.append([ran.error, ran.timed_out, ran.words_received])
    # The error stands until the next job is taken, so it is the job after that one that must show none.
    right = [compare(hardware, "right", w, x) for _ in range(2)]
    return {**answer, "errors": errors, "right": right}
