"""Functions that run in the simulator's process beside an AXI top; cocotb's bench imports them by name."""

import logging
from collections.abc import Sequence
from typing import Any

from axi_device import Device
from axi_jobs import JobMaker, Session

from tritforge.accel.axi_config import AxiConfig
from tritforge.sim.bench_driver import RtlProduct

#: Cycles that the bench goes on for after the last job, to see that nothing more comes.
DRAIN = 200


async def open_session(hardware: RtlProduct, task: dict[str, Any]) -> Session:
    """Return a session on the top that the bench holds, or on one of several, after a reset."""
    # Each model writes a line for every transfer.
    logging.getLogger("cocotb.bench").setLevel(logging.WARNING)
    dut: Any = hardware._dut
    dut.chosen.value = task.get("top", 0)
    device = Device(dut, hardware.config, AxiConfig(**task["axi"]), task["seed"])
    await device.reset()
    return Session(device, JobMaker(device, task["seed"]))


async def close_session(session: Session) -> dict[str, Any]:
    """Wait whether anything more comes, and say how it went."""
    device = session.device
    reads = device.memory.beats_read
    device.pause({})
    await device.wait(DRAIN)
    late = [f"{device.memory.beats_read - reads} beats were read after the last job"]
    late = late if device.memory.beats_read != reads else []
    if device.sink is not None and not device.sink.empty():
        late.append("a packet came after the last job")
    return {
        "faults": session.faults[:20] + late + device.breaches(),
        "counts": dict(session.counts),
        "cycles": device.cycle,
        "read_waits": int(device.dut.read_waits.value),
        "transfers": device.transfers(),
    }


async def shapes(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run jobs of given shapes, each one alone and then all back to back, with and without pauses."""
    session = await open_session(hardware, task)
    for paused in (False, True):
        for together in (False, True):
            for shape in task["shapes"]:
                if paused:
                    session.device.pause_at_random()
                await session.submit(session.maker.job(tuple(shape)), set())
                while session.jobs and not together:
                    await session.settle()
            await session.drain()
    return await close_session(session)


async def paces(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Count the cycles of n equal jobs, from the first address of a read to the last word, with an ideal memory."""
    session = await open_session(hardware, task)
    device = session.device
    answer = []
    for count in task["counts"]:
        device.reads.latency = task["latency"]
        jobs = [session.maker.job(tuple(task["shape"])) for _ in range(count)]
        for job in jobs:
            device.feed(job)
        await device.write({"CONTROL": device.map["CONTROL"].encode(clear_counters=1)})
        begin = {name: await device.read(name) for name in ("CYCLES", "STALL_WEIGHTS")}
        for job in jobs:
            await device.start(job)
            session.started += 1
            session.jobs.append((job, set()))
        await session.drain()
        names = ("CYCLES", "STALL_WEIGHTS", "STALL_ACTIVATIONS", "STALL_OUTPUT")
        answer.append({"jobs": count} | {name.lower(): await device.read(name) for name in names})
        await session.expect("counters that were cleared", begin, {"CYCLES": 0, "STALL_WEIGHTS": 0})
    return await close_session(session) | {
        "runs": answer,
        "most_reads": int(device.dut.m_axi_weights_ar_most.value),
    }


async def interrupts(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Let each cause of an interrupt occur, and see which bits and whether the line rise."""
    session = await open_session(hardware, task)
    device, maker = session.device, session.maker
    every = sum(field.mask for field in device.map["IRQ_ENABLE"].fields)
    seen = {}

    async def look(name: str) -> None:
        await device.wait(4)
        bits = device.map["IRQ_STATUS"].set_names(await device.read("IRQ_STATUS"))
        await session.expect(
            f"irq after {name}", int(device.dut.irq.value), int(bool(bits) and name != "masked")
        )
        await device.write({"IRQ_STATUS": every})
        await device.wait(4)
        await session.expect(f"irq after {name} was cleared", int(device.dut.irq.value), 0)
        seen[name] = bits

    await device.write({"IRQ_ENABLE": every})
    await session.submit(maker.job(), set())
    await session.drain()
    await look("job")
    job = maker.job()
    await session.submit(job, maker.fail_reads(job, "weight_decerr"))
    await session.drain()
    await look("failing job")
    await session.refuse(maker.job(), "illegal_job", {"JOB_K": 0})
    await look("refused")
    await device.write({"IRQ_ENABLE": 0})
    await session.submit(maker.job(), set())
    await session.drain()
    await session.expect("irq while it is masked", int(device.dut.irq.value), 0)
    await look("masked")
    return await close_session(session) | {"seen": seen}


def refusals(session: Session) -> list[tuple[str, dict[str, int]]]:
    """Return what makes a start illegal: the cause, and the registers' values."""
    config, axi = session.device.config, session.device.axi
    beat_bytes = config.weight_port_bits // 8
    found = [
        ("illegal_job", {name: value})
        for name, high in (
            ("JOB_M", config.m_max),
            ("JOB_K", config.k_max),
            ("JOB_TOKENS", config.tokens_max),
        )
        for value in (0, high + 1, 1 << 31, 0xFFFF_FFFF)
    ]
    found += [
        ("illegal_job", {"JOB_FLAGS": flags})
        for flags in (2, 1 << 31, *(() if config.partial_sums else (1,)))
    ]
    found += [("misaligned", {"WEIGHTS_LO": offset}) for offset in {1, beat_bytes // 2, beat_bytes - 1}]
    if axi.write_master:
        result_bytes = config.result_port_bits // 8
        found += [
            ("misaligned", {name: offset})
            for name in ("RESULTS_LO", "RESULT_STRIDE")
            for offset in (1, result_bytes // 2, result_bytes + 1)
        ]
    if axi.address_bits == 32:
        found.append(("address_range", {"WEIGHTS_HI": 1}))
    return found


async def refused(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Start what cannot be, each time between two jobs that are right."""
    session = await open_session(hardware, task)
    for cause, values in refusals(session):
        await session.submit(session.maker.job(), set())
        await session.refuse(session.maker.job(), cause, values)
        await session.submit(session.maker.job(), set())
        await session.drain()
    return await close_session(session)


async def overfill(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Start jobs while the memory answers nothing until one is refused, then let all run."""
    session = await open_session(hardware, task)
    device = session.device
    device.reads.ar_channel.pause = True
    jobs = [session.maker.job() for _ in range(20)]
    taken = 0
    for job in jobs:
        await device.start(job)
        if await device.read("STARTED") == taken:
            break
        taken += 1
        device.feed(job)
        session.jobs.append((job, set()))
        session.started += 1
    status = device.map["STATUS"].decode(await device.read("STATUS"))
    errors = await session.errors()
    await session.clear(errors)
    device.reads.ar_channel.pause = False
    await session.drain()
    # The one that was refused runs when it is started again.
    await session.submit(jobs[taken], set())
    await session.drain()
    return await close_session(session) | {"taken": taken, "errors": sorted(errors), "status": status}


async def unmapped(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Read and write every word of the page; return which answer with an error."""
    session = await open_session(hardware, task)
    device = session.device
    wrong = []
    for offset in range(0, 4096, 4):
        known = offset in device.map.words
        answer = await device.control.read(offset, 4)
        if (int(answer.resp) == 0) != known or (not known and int.from_bytes(answer.data, "little")):
            wrong.append(offset)
        constant = device.map.words[offset][0].constant if known else None
        if constant is not None and int.from_bytes(answer.data, "little") != constant:
            wrong.append(offset)
        if not known and int((await device.control.write(offset, b"\xff" * 4)).resp) != 2:
            wrong.append(offset)
    await session.submit(session.maker.job(), set())
    await session.drain()
    return await close_session(session) | {"wrong": wrong, "words": len(device.map.words)}


async def interrupted(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Abort or reset at every so many cycles of the same jobs; the jobs after it are right."""
    session = await open_session(hardware, task)
    device = session.device
    for delay in task["delays"]:
        if task["paused"]:
            device.pause_at_random()
        for _ in range(3):
            await session.submit(session.maker.job(), set())
        await device.wait(delay)
        await (session.abort() if task["how"] == "abort" else session.reset())
        await session.submit(session.maker.job(), set())
        await session.drain()
    return await close_session(session)


async def random_jobs(hardware: RtlProduct, task: dict[str, Any]) -> dict[str, Any]:
    """Run random jobs, some of them failing, refused, aborted or reset, with random pauses on all channels."""
    session = await open_session(hardware, task)
    try:
        await run_random_jobs(session, task["jobs"])
    except AssertionError as error:
        session.faults.append(f"{error}; before that: {'; '.join(session.events)}")
    return await close_session(session)


async def run_random_jobs(session: Session, jobs: int) -> None:
    """Run random jobs until so many were taken or one is not right."""
    maker, device = session.maker, session.device
    most = 0
    while session.counts["jobs"] < jobs and not session.faults:
        if maker.chance(0.08):
            device.pause_at_random()
        if maker.chance(0.04):
            await device.wait(maker.between(0, 200))
            await (session.abort() if maker.chance(0.7) else session.reset())
        elif maker.chance(0.06):
            every = refusals(session)
            causes = sorted({cause for cause, _ in every})
            cause = causes[maker.between(0, len(causes) - 1)]
            choices = [values for each, values in every if each == cause]
            values = choices[maker.between(0, len(choices) - 1)]
            await session.refuse(maker.job(), cause, values)
        else:
            job = maker.job()
            await session.submit(job, plan(session, job))
        # For a while one job at a time, for a while as many as it takes.
        if maker.chance(0.1):
            most = maker.between(0, device.axi.queue_depth + 2)
            if maker.chance(0.3):
                # The host is faster than the memory: the queue fills.
                most = device.axi.queue_depth + 6
                device.pause({"weights_ar": 0.9, "weights_r": 0.9})
        while len(session.jobs) > most:
            await session.settle()
        if maker.chance(0.04):
            await session.drain()
    await session.drain()


def plan(session: Session, job: Any) -> set[str]:
    """Let a fifth of the jobs fail, some for two reasons; return the causes."""
    maker = session.maker
    causes: set[str] = set()
    if maker.chance(0.8):
        return causes
    kinds: Sequence[str] = ["illegal_trit", "weight_slverr", "weight_decerr"]
    if session.device.axi.write_master:
        kinds = [*kinds, "store_slverr", "store_decerr"]
    for _ in range(maker.between(1, 2)):
        kind = kinds[maker.between(0, len(kinds) - 1)]
        if kind == "illegal_trit" and not causes:
            causes |= maker.spoil_trit(job, last=maker.chance(0.5))
            return causes
        if kind.startswith("weight"):
            causes |= maker.fail_reads(job, kind)
        if kind.startswith("store"):
            causes |= maker.fail_writes(job, kind)
    # Of the answers to a job's writes the worst is reported.
    return causes - ({"store_slverr"} if "store_decerr" in causes else set())
