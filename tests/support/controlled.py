"""Jobs for a controlled core in Amaranth's simulator: operands in their places, starts, right words."""

from dataclasses import replace
from typing import Any

import numpy as np
from control_host import BusHost, Surroundings, image_beats, operand_beats, results_of
from driving import Product

from tritforge.accel.control_config import ControlConfig
from tritforge.accel.controlled_core import ControlledCore
from tritforge.accel.presets import PRESETS

TINY = PRESETS["tiny"]
MEMORY = ControlConfig(results="memory")
#: Bytes between the images of two jobs.
PITCH = 0x1000


def make(control: ControlConfig = MEMORY, **changes: Any) -> ControlledCore:
    return ControlledCore(replace(TINY, **changes), control)


def products(count: int, seed: int, **limits: int) -> list[Product]:
    generator = np.random.default_rng(seed)
    m, k, tokens = (limits.get(name, high) for name, high in (("m", 20), ("k", 60), ("tokens", 4)))
    return [
        Product.random(
            generator,
            int(generator.integers(1, m + 1)),
            int(generator.integers(1, k + 1)),
            int(generator.integers(1, tokens + 1)),
        )
        for _ in range(count)
    ]


def place(dut: ControlledCore, around: Surroundings, jobs: list[Product]) -> None:
    """Put images into memory and operands into their stream."""
    for index, product in enumerate(jobs):
        around.images[PITCH * index] = image_beats(dut, product)
        around.operands.extend(operand_beats(dut, product))


async def start_when_free(host: BusHost, product: Product, address: int, **others: int) -> None:
    full = host.registers["STATUS"]["full"].mask
    await host.wait_for("STATUS", lambda word: not word & full)
    await host.start(*product.shape, WEIGHTS_LO=address, **others)


async def start_all(host: BusHost, jobs: list[Product]) -> None:
    for index, product in enumerate(jobs):
        await start_when_free(host, product, PITCH * index)


def assert_packets(dut: ControlledCore, around: Surroundings, jobs: list[Product]) -> None:
    assert len(around.packets) == len(jobs)
    for (words, null), product in zip(around.packets, jobs, strict=True):
        assert not null
        np.testing.assert_array_equal(results_of(dut, words, product), product.expected)
