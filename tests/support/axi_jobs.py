"""Random jobs for an AXI top, right ones and failing ones, and a session that checks what becomes of each."""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from axi_device import Device, HostJob
from cocotbext.axi import AxiResp

from tritforge.accel.beats import beat_words
from tritforge.accel.codes import TRITS, WORDS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.models.image import pack_image, unpack_image

#: Causes of failing jobs by what the memory answers.
RESPONSES = {
    "weight_slverr": int(AxiResp.SLVERR),
    "weight_decerr": int(AxiResp.DECERR),
    "store_slverr": int(AxiResp.SLVERR),
    "store_decerr": int(AxiResp.DECERR),
}
#: Causes that leave the words themselves right.
STORE_CAUSES = {"store_slverr", "store_decerr"}
#: Cycles that a beat or a token may take at most, pauses on all channels included.
PATIENCE = 100


@dataclass(frozen=True, kw_only=True)
class Extent:
    """Bytes that are in use."""

    start: int
    stop: int

    def meets(self, other: "Extent") -> bool:
        """Return whether two extents share a byte."""
        return self.start < other.stop and other.start < self.stop


class JobMaker:
    """Draws jobs and places for them.

    Parameters
    ----------
    device
        Where they will run.
    seed
        Of all that is drawn.
    """

    def __init__(self, device: Device, seed: int) -> None:
        self.device = device
        self.config = device.config
        self.generator = np.random.default_rng(seed)
        self._used: dict[int, list[Extent]] = {}

    def between(self, low: int, high: int) -> int:
        """Draw a whole number, both bounds included."""
        return int(self.generator.integers(low, high + 1))

    def chance(self, share: float) -> bool:
        """Return true in a share of the calls."""
        return bool(self.generator.random() < share)

    def job(self, shape: tuple[int, int, int] | None = None) -> HostJob:
        """Draw a job and place it."""
        config = self.config
        m, k, tokens = shape or (
            self.between(1, min(config.m_max, 4 * config.rows)),
            self.between(1, min(config.k_max, 3 * config.lanes)),
            self.between(1, config.tokens_max),
        )
        limit = 1 << (config.act_bits - 1)
        x = self.generator.integers(-limit, limit, (tokens, k))
        if self.chance(0.1):
            x[:] = -limit
        w = self.generator.integers(-1, 2, (m, k)).astype(np.int8)
        partials = None
        if config.partial_sums and self.chance(0.5):
            partials = self.generator.integers(-(1 << 31), 1 << 31, (tokens, m)).astype(np.int32)
        job = HostJob(x=x, w=w, partials=partials, image=pack_image(config, w))
        job.weights_at = self._place(job, len(job.image), config.weight_port_bits // 8)
        if self.device.axi.write_master:
            beat_bytes = config.result_port_bits // 8
            job.stride = beat_bytes * (-(-4 * m // beat_bytes) + self.between(0, 3))
            job.results_at = self._place(job, job.stride * tokens, beat_bytes)
        self.device.place(job)
        return job

    def forget(self, job: HostJob) -> None:
        """Free a job's places."""
        self.device.remove(job)
        del self._used[id(job)]

    def _place(self, job: HostJob, size: int, beat_bytes: int) -> int:
        """Draw an address; half of them lie shortly before the end of 4 KiB."""
        used = self._used.setdefault(id(job), [])
        while True:
            page = self.between(0, (1 << self.device.axi.address_bits - 12) - 2 - (size >> 12))
            beats = self.between(0, 4096 // beat_bytes - 1)
            if self.chance(0.5):
                beats = 4096 // beat_bytes - 1 - self.between(0, min(size, 4095) // beat_bytes)
            extent = Extent(
                start=(page << 12) + beats * beat_bytes, stop=(page << 12) + beats * beat_bytes + size
            )
            if not any(extent.meets(other) for others in self._used.values() for other in others):
                used.append(extent)
                return extent.start

    # Faults; each returns the causes that the job's status must name.

    def fail_reads(self, job: HostJob, cause: str) -> set[str]:
        """Let memory answer some beats of the image with an error."""
        beat_bytes = self.config.weight_port_bits // 8
        beats = len(job.image) // beat_bytes
        bad = {job.weights_at + self.between(0, beats - 1) * beat_bytes for _ in range(self.between(1, 3))}
        # What fails already for another reason goes on to do so.
        bad -= self.device.memory.responses.keys()
        self.device.memory.responses |= dict.fromkeys(bad, RESPONSES[cause])
        return {cause, *self._illegal(job)} if bad else set()

    def fail_writes(self, job: HostJob, cause: str) -> set[str]:
        """Let memory answer the write of some results with an error."""
        m, _, tokens = job.shape
        beat_bytes = self.config.result_port_bits // 8
        row = job.results_at + job.stride * self.between(0, tokens - 1)
        place = row + self.between(0, -(-4 * m // beat_bytes) - 1) * beat_bytes
        if place in self.device.memory.responses:
            return set()
        self.device.memory.responses[place] = RESPONSES[cause]
        return {cause}

    def spoil_trit(self, job: HostJob, *, last: bool = False) -> set[str]:
        """Put an illegal word into the image, by request into its last beat."""
        config = self.config
        m, k, _ = job.shape
        bits = WORDS[config.packing][1]
        word = next(word for word in range(1 << bits) if word not in TRITS[config.packing])
        row_tile = self.between(0, config.row_tiles(m) - 1)
        tile = self.between(0, config.k_tiles(k) - 1)
        beat = self.between(0, config.tile_beats - 1)
        if last:
            row_tile, tile, beat = config.row_tiles(m) - 1, config.k_tiles(k) - 1, config.tile_beats - 1
        index = row_tile * (config.bias_beats + config.k_tiles(k) * config.tile_beats)
        index += config.bias_beats + tile * config.tile_beats + beat
        place = self.between(0, len(beat_words(config, beat).whole) - 1)
        beat_bytes = config.weight_port_bits // 8
        content = int.from_bytes(job.image[index * beat_bytes :][:beat_bytes], "little")
        content &= ~(((1 << bits) - 1) << place * bits)
        content |= word << place * bits
        image = bytearray(job.image)
        image[index * beat_bytes : (index + 1) * beat_bytes] = content.to_bytes(beat_bytes, "little")
        job.image = bytes(image)
        self.device.place(job)
        return {"illegal_trit"}

    def _illegal(self, job: HostJob) -> set[str]:
        """Return whether zeros in place of failing beats leave an illegal word: one that is spread over beats."""
        beat_bytes = self.config.weight_port_bits // 8
        image = bytearray(job.image)
        for start in range(0, len(image), beat_bytes):
            if job.weights_at + start in self.device.memory.responses:
                image[start : start + beat_bytes] = bytes(beat_bytes)
        return {"illegal_trit"} if holds_illegal_word(self.config, bytes(image), job) else set()


def holds_illegal_word(config: AcceleratorConfig, image: bytes, job: HostJob) -> bool:
    """Return whether an image holds a word that is none of the packing's."""
    m, k, _ = job.shape
    try:
        unpack_image(config, image, m, k)
    except InputError as error:
        return "illegal" in str(error)
    return False


class Session:
    """Jobs one after the other on a device, each checked when it has ended.

    Attributes
    ----------
    counts
        What happened how often.
    faults
        What was not as it should be, a line each.
    """

    def __init__(self, device: Device, maker: JobMaker) -> None:
        self.device, self.maker = device, maker
        self.counts: Counter[str] = Counter()
        self.faults: list[str] = []
        self.started = self.failed = 0
        #: Jobs under way, and the causes for which they are to fail.
        self.jobs: deque[tuple[HostJob, set[str]]] = deque()
        self._errors: set[str] = set()
        #: What was done last.
        self.events: deque[str] = deque(maxlen=12)

    def note(self, event: str) -> None:
        """Keep an event for the case that something goes wrong."""
        self.events.append(f"cycle {self.device.cycle}: {event}")

    async def expect(self, what: str, found: object, wanted: object) -> None:
        """Note a fault unless two things are equal."""
        self.counts["checks"] += 1
        if found != wanted:
            self.faults.append(f"cycle {self.device.cycle}: {what} is {found}; {wanted} is right")

    async def submit(self, job: HostJob, causes: set[str]) -> None:
        """Start a job that is legal, as soon as there is a place for it."""
        device = self.device
        while True:
            await device.start(job)
            started = await device.read("STARTED")
            if started != self.started:
                break
            # Only a full queue is a reason to refuse it.
            errors = await self.errors()
            await self.expect("a start's refusal", errors - self._known(), {"queue_full"})
            if len(self.jobs) < device.axi.queue_depth or "queue_full" not in errors:
                self.faults.append(f"a job was refused with {len(self.jobs)} under way")
                return
            self.counts["queue_full"] += 1
            await self.clear({"queue_full"})
            await self.settle()
        await self.expect("STARTED", started, self.started + 1)
        self.note(
            f"job {self.started}, {job.shape}, image at {job.weights_at:#x}, results at {job.results_at:#x}, {causes}"
        )
        self.started += 1
        device.feed(job)
        self.jobs.append((job, causes))
        self.counts["jobs"] += 1
        for cause in causes:
            self.counts[cause] += 1

    async def refuse(self, job: HostJob, cause: str, overrides: dict[str, int]) -> None:
        """Start a job that is to be refused."""
        device = self.device
        self.note(f"refuse {overrides}")
        job.overrides = overrides
        await device.start(job)
        await self.expect(f"STARTED after {overrides}", await device.read("STARTED"), self.started)
        errors = await self.errors()
        if errors >= {"queue_full"}:
            # A full queue may be told before or beside what is wrong with the job.
            self.counts["queue_full"] += 1
            await self.clear({"queue_full"})
        else:
            await self.expect(f"{overrides} reports {cause}", cause in errors, True)
        await self.expect(f"ERRORS after {overrides}", errors - self._known() - {cause, "queue_full"}, set())
        await self.clear({cause})
        self.counts[cause] += 1
        self.maker.forget(job)

    async def settle(self) -> None:
        """Wait for the end of the oldest job and check its words and its status."""
        device = self.device
        job, causes = self.jobs[0]
        m, k, tokens = job.shape
        number = self.started - len(self.jobs)
        beats = len(job.image) * 8 // device.config.weight_port_bits + tokens * (m + k)
        limit = PATIENCE * (beats + 100)
        words = None if device.sink is None else await device.packet(limit)
        await device.poll("COMPLETED", lambda word: word > number, limit)
        await self._check_whole(job, causes, number, words)
        self.jobs.popleft()
        self.maker.forget(job)

    async def check_status(self, number: int, causes: set[str]) -> None:
        """Check how a job has ended."""
        status = await self.device.read("JOB_STATUS", number % 16)
        names = set(self.device.map["JOB_STATUS"].set_names(status))
        await self.expect(f"JOB_STATUS of job {number}", names, {"done", *causes})
        self._errors |= causes
        self.failed += bool(causes)

    def check_words(self, job: HostJob, causes: set[str], words: npt.NDArray[np.int32]) -> None:
        """Compare a job's words with integer arithmetic; those of a failing job are only counted."""
        wanted = self.device.ordered(job)
        self.counts["words"] += words.size
        if words.size != wanted.size:
            self.faults.append(f"cycle {self.device.cycle}: {words.size} words came of {wanted.size}")
        elif not causes - STORE_CAUSES and (words != wanted).any():
            self.faults.append(
                f"cycle {self.device.cycle}: {int((words != wanted).sum())} of {wanted.size} words are wrong"
            )

    async def drain(self) -> None:
        """Wait for all jobs and check the errors that were reported since the last time."""
        while self.jobs:
            await self.settle()
        device = self.device
        await self.expect("COMPLETED", await device.read("COMPLETED"), self.started)
        await self.expect("FAILED", await device.read("FAILED"), self.failed)
        status = device.map["STATUS"].decode(await device.read("STATUS"))
        await self.expect("STATUS.busy", status["busy"], 0)
        await self.expect("ERRORS", await self.errors(), self._errors)
        await self.clear(self._errors)
        self._errors = set()
        await self.expect("ERRORS after they were cleared", await self.errors(), set())

    async def abort(self) -> None:
        """Abort whatever is under way and check what is left of it."""
        device = self.device
        self.note(f"abort of {len(self.jobs)} jobs")
        for source in (device.activations, device.partials):
            if source is not None:
                source.clear()
        await device.write({"CONTROL": device.map["CONTROL"].encode(abort=1)})
        mask = device.map["STATUS"]["aborting"].mask
        await device.poll("STATUS", lambda word: not word & mask)
        await self.expect("COMPLETED after an abort", await device.read("COMPLETED"), self.started)
        self.counts["aborts"] += 1
        cut = False
        while self.jobs:
            job, causes = self.jobs.popleft()
            number = self.started - len(self.jobs) - 1
            names = set(device.map["JOB_STATUS"].set_names(await device.read("JOB_STATUS", number % 16)))
            if "aborted" not in names:
                await self.expect(f"job {number}, behind an aborted one", cut, False)
                words = None if device.sink is None else await device.packet(PATIENCE)
                await self._check_whole(job, causes, number, words)
            else:
                await self.expect(f"causes of job {number}", names - causes, {"done", "aborted"})
                self._errors |= names - {"done"}
                self.failed += 1
                self.counts["aborted"] += 1
                await self._check_cut(job, causes, first=not cut)
                cut = True
            self.maker.forget(job)
        if device.sink is not None:
            await device.wait(20)
            await self.expect("packets after an abort", device.sink.count(), 0)

    async def _check_whole(
        self, job: HostJob, causes: set[str], number: int, words: npt.NDArray[np.int32] | None
    ) -> None:
        """Check a job that has ended: its words, in the order of the stream or those in memory, and its status."""
        device = self.device
        found = device.written(job) if words is None else words
        if found is None:
            self.faults.append(f"cycle {device.cycle}: job {number} ended before all its words were written")
        else:
            self.check_words(job, causes, found)
        await self.check_status(number, causes)

    async def _check_cut(self, job: HostJob, causes: set[str], *, first: bool) -> None:
        """Check the words of an aborted job: its first ones, as many as came."""
        device = self.device
        wanted = device.ordered(job)
        if device.sink is None:
            wrong = device.wrong_words(job)
        elif first and not device.sink.empty():
            words = await device.packet(PATIENCE)
            self.counts["cut packets"] += 1
            if words.size > wanted.size:
                self.faults.append(
                    f"cycle {device.cycle}: {words.size} words of an aborted job of {wanted.size}"
                )
                return
            wrong = int((words != wanted[: words.size]).sum())
        else:
            return
        if not causes:
            await self.expect("the number of wrong words of an aborted job", wrong, 0)

    async def reset(self) -> None:
        """Reset in the middle of whatever is under way."""
        self.note(f"reset with {len(self.jobs)} jobs")
        await self.device.reset(self.maker.between(1, 5))
        while self.jobs:
            self.maker.forget(self.jobs.popleft()[0])
        self.started, self.failed, self._errors = 0, 0, set()
        self.counts["resets"] += 1
        for name in ("STARTED", "COMPLETED", "FAILED", "ERRORS", "STATUS", "IRQ_STATUS", "CYCLES"):
            await self.expect(f"{name} after a reset", await self.device.read(name), 0)

    async def errors(self) -> set[str]:
        """Return the names of the bits that are set in ERRORS."""
        return set(self.device.map["ERRORS"].set_names(await self.device.read("ERRORS")))

    async def clear(self, names: Iterable[str]) -> None:
        """Clear bits of ERRORS."""
        await self.device.write({"ERRORS": self.device.map["ERRORS"].encode(**dict.fromkeys(names, 1))})

    def _known(self) -> set[str]:
        """Return the causes that ended jobs have reported, and those that jobs under way may at any time."""
        return self._errors.union(*(causes for _, causes in self.jobs))
