"""The whole top through its serial pins: a product bit exact, and what a host meets on the way."""

from typing import Any

import link_host as host
import numpy as np
from amaranth.sim import Simulator
from driving import Product
from link_host import ACTIVATIONS, OK, READ, REGISTERS, RESULTS, WEIGHTS, WRITE, Answer, Answers, request

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.link_top import LinkTop
from tritforge.accel.register_map import ID
from tritforge.accel.uart import CHARACTER_BITS
from tritforge.models.image import pack_image
from tritforge.models.operands import pack_activations, unpack_results

#: Small enough for a simulator in Python.
SMALL = AcceleratorConfig(
    lanes=4,
    rows=2,
    tokens_max=2,
    k_max=16,
    m_max=16,
    weight_port_bits=32,
    act_port_bits=32,
    result_port_bits=64,
    weight_store="bram",
    weight_store_bytes=1024,
)
DIVISOR = 4


class Serial:
    """The host's end of the line."""

    def __init__(self, top: LinkTop) -> None:
        self.top = top
        self.answers = Answers()

    async def listen(self, ctx: Any) -> None:
        """Sample each bit in its middle."""
        bit_time = DIVISOR * host.PERIOD
        while True:
            await ctx.negedge(self.top.tx)
            await ctx.delay(bit_time / 2)
            byte = 0
            for bit in range(8):
                await ctx.delay(bit_time)
                byte |= ctx.get(self.top.tx) << bit
            await ctx.delay(bit_time)
            assert ctx.get(self.top.tx) == 1, "no stop bit"
            self.answers.take(byte)

    async def ask(self, ctx: Any, data: bytes) -> Answer:
        for byte in data:
            for level in (0, *(byte >> bit & 1 for bit in range(8)), 1):
                ctx.set(self.top.rx, level)
                await ctx.tick().repeat(DIVISOR)
        for _ in range(300):
            if self.answers.found:
                return self.answers.found.pop()
            await ctx.tick().repeat(CHARACTER_BITS * DIVISOR)
        raise AssertionError("no answer came")

    async def write(self, ctx: Any, tag: int, address: int, payload: bytes) -> None:
        assert await self.ask(ctx, request(WRITE, tag, address, payload=payload)) == Answer(OK, tag)

    async def read(self, ctx: Any, tag: int, address: int, words: int) -> tuple[int, ...]:
        answer = await self.ask(ctx, request(READ, tag, address, words))
        assert (answer.status, answer.tag) == (OK, tag)
        return answer.words


def run(top: LinkTop, script: Any, *, limit: int) -> None:
    serial = Serial(top)
    simulator = Simulator(top)
    simulator.add_clock(host.PERIOD)
    simulator.add_testbench(serial.listen, background=True)

    async def bench(ctx: Any) -> None:
        await script(serial, ctx)

    simulator.add_testbench(bench)
    simulator.add_testbench(host.watchdog(limit), background=True)
    simulator.run()
    assert not serial.answers.found


def test_a_product_comes_back_bit_exact() -> None:
    """Twice from different places of the stores, the second time with the activations that are there."""
    generator = np.random.default_rng(1)
    product = Product.random(generator, 5, 11, 2)
    top = LinkTop(SMALL, DIVISOR)
    registers = {name: REGISTERS + register.offset for name, register in top.core.map.items()}

    async def script(serial: Serial, ctx: Any) -> None:
        assert await serial.read(ctx, 1, registers["ID"], 1) == (ID,)
        await serial.write(ctx, 2, ACTIVATIONS, pack_activations(SMALL, product.x))
        for job, (weights, results) in enumerate(((0, 0), (256, 64))):
            tag = 10 * (job + 1)
            await serial.write(ctx, tag, WEIGHTS + weights, pack_image(SMALL, product.w))
            parameters = [*product.shape, 0, weights, 0, results, 0]
            await serial.write(ctx, tag + 1, registers["JOB_M"], host.bytes_of(parameters))
            await serial.write(ctx, tag + 2, registers["CONTROL"], host.bytes_of([1]))
            while await serial.read(ctx, tag + 3, registers["COMPLETED"], 2) != (job + 1, 0):
                assert ctx.get(top.busy)
            words = await serial.read(ctx, tag + 4, RESULTS + results, 10)
            got = unpack_results(SMALL, np.array(words, dtype=np.uint32).view(np.int32), 5, 2)
            np.testing.assert_array_equal(got, product.expected)

    run(top, script, limit=60_000)
