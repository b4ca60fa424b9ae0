"""The part of the `rtl` back end inside the simulator's process: answers requests until none can come any more."""

from multiprocessing.connection import Connection
from typing import Any

from tritforge.sim.bench_driver import RtlProduct
from tritforge.sim.rtl_protocol import receive, send


async def serve(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Load matrices and run products as they are asked for; called by `tritforge.sim.bench_driver.serve`.

    The simulation stands still while the next request is waited for, so a product's cycles do not depend on when it
    is asked for. When the other end closes its socket, or its process ends in whatever way, so does this one.

    Parameters
    ----------
    hardware
        The simulated core.
    task
        ``socket``: number of the open file that is this end of the pair.

    Returns
    -------
    dict
        Number of products that ran.
    """
    products = 0
    with Connection(task["socket"]) as connection:
        while True:
            try:
                request, array = receive(connection)
            except EOFError:
                return {"products": products}
            name = request.get("name", "")
            if request["do"] == "multiply":
                run = await hardware.multiply(name, request["m"], array)
                products += 1
                answer = {
                    "words_received": run.words_received,
                    "cycles": run.cycles,
                    "timed_out": run.timed_out,
                    "error": run.error,
                }
                send(connection, answer, run.words)
                continue
            if request["do"] == "load":
                hardware.load(name, array)
            elif request["do"] == "unload":
                hardware.unload(name)
            send(connection, {})
