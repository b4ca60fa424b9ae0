"""The part of a simulated board inside the simulator's process: bytes to and from the UART's pins."""

import logging
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
from cocotb.triggers import ClockCycles, Timer
from cocotb.utils import get_sim_time
from cocotbext.uart import UartSink, UartSource

from tritforge.sim.bench_driver import RtlProduct
from tritforge.sim.rtl_protocol import receive, send

#: Cycles of a reset.
_RESET_CYCLES = 4


async def serve(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Move bytes as they are asked for; called by `tritforge.sim.bench_driver.serve`.

    The simulation stands still while the next request is waited for. When the other end closes its socket, or its
    process ends in whatever way, so does this one.

    Parameters
    ----------
    hardware
        The simulated bench.
    task
        ``socket``: number of the open file that is this end of the pair; ``bit_ns``: length of a bit.

    Returns
    -------
    dict
        Bytes that went down to the board and up from it.
    """
    bench = hardware.bench
    # They say every byte otherwise.
    for pin in (bench.rx, bench.tx):
        logging.getLogger(f"cocotb.{pin._path}").setLevel(logging.WARNING)  # noqa: SLF001
    # A little less, since they round a bit's time down to whole nanoseconds.
    baud = 1e9 / (task["bit_ns"] + 1e-3)
    source, sink = UartSource(bench.rx, baud=baud), UartSink(bench.tx, baud=baud)
    await _reset(bench)
    moved = [0, 0]
    with Connection(task["socket"]) as connection:
        while True:
            try:
                request, array = receive(connection)
            except EOFError:
                return {"down": moved[0], "up": moved[1]}
            answer = None
            if request["do"] == "write":
                source.write_nowait(array.tobytes())
                moved[0] += array.size
            elif request["do"] == "read":
                data = await _read(sink, request["count"], request["nanoseconds"])
                moved[1] += len(data)
                answer = np.frombuffer(bytes(data), dtype=np.uint8)
            elif request["do"] == "reset":
                await _reset(bench)
            elif request["do"] == "hold":
                await source.wait()
                bench.rx.value = 0
                await Timer(request["nanoseconds"], "ns")
                bench.rx.value = 1
                await Timer(task["bit_ns"], "ns")
            send(connection, {"nanoseconds": round(get_sim_time("ns"))}, answer)


async def _reset(bench: Any) -> None:
    bench.reset_request.value = 1
    await ClockCycles(bench.aclk, _RESET_CYCLES)
    bench.reset_request.value = 0
    await ClockCycles(bench.aclk, _RESET_CYCLES)


async def _read(sink: Any, count: int, nanoseconds: int) -> bytearray:
    """Return bytes as soon as there are `count`, or those that came when the time is over."""
    end = get_sim_time("ns") + nanoseconds
    data = bytearray()
    while True:
        data += sink.read_nowait(min(sink.count(), count - len(data)))
        left = round(end - get_sim_time("ns"))
        if len(data) == count or left <= 0:
            return data
        await sink.wait(left, "ns")
