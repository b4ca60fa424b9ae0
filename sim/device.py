"""Driver of an accelerator by its registers: what it is, jobs, their errors by cause, counters.

It needs reads and writes of words alone (`tritforge.sim.link_protocol.WordBus`): those of the host link, or of a
memory-mapped page of registers.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, fields
from random import SystemRandom
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.control_config import ControlConfig
from tritforge.accel.errors import BoardError, InputError
from tritforge.accel.register_map import ID, JOB_CAUSES, JOB_REGISTERS, REFUSALS, VERSION, registers
from tritforge.accel.registers import WORD_BYTES, Register
from tritforge.sim.link_protocol import WordBus

#: Where the parts of the link's address space begin; the registers lie at 0.
WEIGHTS_BASE, ACTIVATIONS_BASE, RESULTS_BASE = 0x1000_0000, 0x2000_0000, 0x3000_0000
#: Reads of the status after which an abort that does not end is given up.
_ABORT_POLLS = 1000
#: Reads of the counters, without a cycle counted between them, after which a job is given up.
_IDLE_POLLS = 20
_WRAP = 1 << 32


@dataclass(frozen=True, kw_only=True)
class JobAddresses:
    """What a job is told.

    Attributes
    ----------
    m, k, tokens, flags
        As of `tritforge.sim.jobs.Job`.
    weights, results
        Byte addresses: on the link, in their stores.
    """

    m: int
    k: int
    tokens: int
    flags: int = 0
    weights: int = 0
    results: int = 0


@dataclass(frozen=True, kw_only=True)
class Counters:
    """The counters, modulo 2**32, in the order of their registers.

    Attributes
    ----------
    started, completed, failed
        Jobs since reset.
    cycles
        In which the accelerator was busy.
    stall_weights, stall_activations, stall_output
        In which it waited for weights, for activations, or with a result.
    """

    started: int
    completed: int
    failed: int
    cycles: int
    stall_weights: int
    stall_activations: int
    stall_output: int

    def __sub__(self, before: "Counters") -> "Counters":
        """Return what was counted since."""
        return Counters(
            **{
                each.name: (getattr(self, each.name) - getattr(before, each.name)) % _WRAP
                for each in fields(self)
            }
        )


class Device:
    """An accelerator's registers, by name.

    Parameters
    ----------
    bus
        Its words; the registers begin at address 0.
    name
        What it is called in messages.

    Attributes
    ----------
    config
        The accelerator as its registers describe it; parameters that change neither results nor layouts are the
        defaults.
    control
        Its queue, its stores and where its results go.
    version
        Of its register map.

    Raises
    ------
    BoardError
        Something else answers, or an accelerator with another register map.
    """

    def __init__(self, bus: WordBus, *, name: str = "the board") -> None:
        self.bus, self.name = bus, name
        described = {
            register.name: register
            for register in registers(AcceleratorConfig(), ControlConfig()).values()
            if register.constant is not None
        }
        words = self._words(0, len(described))
        values = dict(zip(described, words, strict=True))
        if values["ID"] != ID:
            raise BoardError(f"{name} has ID 0x{values['ID']:08x}; an accelerator has 0x{ID:08x}")
        found = described["VERSION"].decode(values["VERSION"])
        self.version = found["major"], found["minor"]
        if self.version[0] != VERSION[0]:
            raise BoardError(
                f"{name} has version {self.version[0]}.{self.version[1]} of the register map, and this program "
                f"{VERSION[0]}.{VERSION[1]}; build its bitstream again"
            )
        self.config, self.control = _describe(described, values, name)
        self.registers = registers(self.config, self.control)
        self._nonce = 0
        self._latest = self.counters()
        self.prepare()

    def prepare(self) -> None:
        """Bring it to rest, whatever was under way, and mark it so that a reset shows.

        Raises
        ------
        BoardError
            It does not come to rest.
        """
        if self.fields("STATUS")["busy"]:
            self.abort()
        self.write("ERRORS", self.registers["ERRORS"].mask)
        # Another number each time, and never that of a reset.
        self._nonce = SystemRandom().randrange(1, _WRAP)
        self.write("SCRATCH", self._nonce)
        self._latest = self.counters()

    def read(self, name: str, index: int = 0) -> int:
        """Return a register's word."""
        return self._words(self._register(name).offset + index * WORD_BYTES, 1)[0]

    def write(self, name: str, word: int) -> None:
        """Write a register's word."""
        self.bus.write(self._register(name).offset, struct.pack("<I", word))

    def fields(self, name: str, index: int = 0) -> dict[str, int]:
        """Return a register's fields by name."""
        return self._register(name).decode(self.read(name, index))

    def counters(self) -> Counters:
        """Return the counters, of one moment or nearly so."""
        names = [each.name for each in fields(Counters)]
        return Counters(
            **dict(zip(names, self._words(self._register("STARTED").offset, len(names)), strict=True))
        )

    def check_same(self) -> None:
        """Refuse a device that was reset since `prepare`: what its stores held is lost.

        Raises
        ------
        BoardError
            It was.
        """
        if self.read("SCRATCH") != self._nonce:
            raise BoardError(
                f"{self.name} was reset: its weights are lost; the next product loads them again"
            )

    def start(self, job: JobAddresses) -> int:
        """Start a job; return its number.

        Raises
        ------
        BoardError
            It was refused; the message says why.
        """
        number = self._latest.started
        values = {
            "JOB_M": job.m,
            "JOB_K": job.k,
            "JOB_TOKENS": job.tokens,
            "JOB_FLAGS": job.flags,
            "WEIGHTS_LO": job.weights % _WRAP,
            "WEIGHTS_HI": job.weights // _WRAP,
            "RESULTS_LO": job.results % _WRAP,
            "RESULTS_HI": job.results // _WRAP,
        }
        there = [name for name in JOB_REGISTERS if name in values and name in self.registers]
        self.bus.write(
            self._register("JOB_M").offset, struct.pack(f"<{len(there)}I", *(values[name] for name in there))
        )
        self.write("CONTROL", self._register("CONTROL").encode(start=1))
        self._latest = self.counters()
        if self._latest.started != (number + 1) % _WRAP:
            raise self._refusal(job)
        return number

    def wait(self, number: int, *, limit: int) -> Counters:
        """Wait for a job's end; return the counters behind it.

        Parameters
        ----------
        number
            Of `start`.
        limit
            Cycles after which it is given up.

        Raises
        ------
        BoardError
            It failed, or did not end.
        """
        first, idle = self._latest, 0
        while not _is_behind(number, self._latest.completed):
            spent = (self._latest - first).cycles
            if spent > limit or idle > _IDLE_POLLS:
                self.check_same()
                raise BoardError(
                    f"job {number} of {self.name} did not end within {spent:,} cycles; it is aborted when the next "
                    "one runs"
                )
            before, self._latest = self._latest, self.counters()
            idle = idle + 1 if self._latest.cycles == before.cycles else 0
        status = self.fields("JOB_STATUS", number % self._register("JOB_STATUS").count)
        causes = [text for name, text in JOB_CAUSES.values() if status[name]]
        if causes or not status["done"]:
            self.check_same()
            self.write("ERRORS", self.registers["ERRORS"].mask)
            raise BoardError(f"job {number} of {self.name} failed: {'; '.join(causes) or 'it is not done'}")
        return self._latest

    def run(self, job: JobAddresses, *, limit: int) -> Counters:
        """Run a job to its end; return what was counted meanwhile.

        Raises
        ------
        BoardError
            As of `start` and `wait`.
        """
        before = self._latest
        return self.wait(self.start(job), limit=limit) - before

    def abort(self) -> None:
        """Throw away all jobs under way, and wait until it is at rest.

        Raises
        ------
        BoardError
            It does not come to rest.
        """
        self.write("CONTROL", self._register("CONTROL").encode(abort=1))
        for _ in range(_ABORT_POLLS):
            status = self.fields("STATUS")
            if not status["aborting"] and not status["busy"]:
                return
        raise BoardError(f"{self.name} does not come to rest after an abort; reset it")

    def _refusal(self, job: JobAddresses) -> BoardError:
        """Return the error that says why a job was not started, and forget the cause."""
        self.check_same()
        errors = self.fields("ERRORS")
        self.write("ERRORS", self.registers["ERRORS"].mask)
        causes = [text for name, text in REFUSALS.values() if errors[name]]
        return BoardError(
            f"{self.name} did not start a job of M {job.m}, K {job.k}, tokens {job.tokens}: "
            f"{'; '.join(causes) or 'it reports no error'}"
        )

    def _register(self, name: str) -> Register:
        if name not in self.registers:
            raise InputError(
                f"{self.name} has no register {name!r}; its registers are {', '.join(self.registers)}"
            )
        return self.registers[name]

    def _words(self, address: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.bus.read(address, count * WORD_BYTES))


def _is_behind(number: int, count: int) -> bool:
    """Whether a count, modulo 2**32, has passed a number."""
    return 0 < (count - number) % _WRAP < _WRAP // 2


def _describe(
    described: Mapping[str, Register], values: Mapping[str, int], name: str
) -> tuple[AcceleratorConfig, ControlConfig]:
    """Rebuild the configurations from the words of the registers that describe them."""
    found: dict[str, Any] = {}
    for register in described.values():
        for field, number in register.decode(values[register.name]).items():
            names = register[field].names
            if names and number >= len(names):
                raise BoardError(
                    f"{name} has {field} {number}, which this program does not know; build its bitstream again"
                )
            found[f"{register.name}.{field}"] = names[number] if names else number
    parameters = {field.name for field in fields(AcceleratorConfig)}
    config = {key.partition(".")[2]: value for key, value in found.items()}
    config = {key: value for key, value in config.items() if key in parameters}
    config["partial_sums"] = bool(config["partial_sums"])
    if found["WEIGHT_STORE.bytes"]:
        config["weight_store_bytes"] = found["WEIGHT_STORE.bytes"]
    try:
        return AcceleratorConfig.from_dict(config), ControlConfig(
            address_bits=found["OUTPUT_PORT.address_bits"],
            queue_depth=found["QUEUE.depth"],
            in_flight=found["QUEUE.in_flight"],
            results=found["FEATURES.results"],
            activation_store_bytes=found["ACTIVATION_STORE.bytes"],
            result_store_bytes=found["RESULT_STORE.bytes"],
        )
    except InputError as error:
        raise BoardError(f"{name} describes itself by what no accelerator has: {error}") from error


def differences(found: AcceleratorConfig, expected: AcceleratorConfig) -> list[str]:
    """Say in which parameters that its registers tell an accelerator differs from what is expected of it."""
    told = {
        field.name
        for register in registers(found, ControlConfig()).values()
        if register.constant is not None
        for field in register.fields
    }
    told |= {"weight_store_bytes"} if found.weight_store == expected.weight_store == "bram" else set()
    # Without chains, their length means nothing.
    if (found.datapath, expected.datapath) == ("tree", "tree"):
        told.discard("chain_length")
    wanted = expected.to_dict()
    return [
        f"{name} {value} (expected {wanted[name]})"
        for name, value in found.to_dict().items()
        if name in told and value != wanted[name]
    ]


def check_config(found: AcceleratorConfig, expected: AcceleratorConfig, name: str) -> None:
    """Refuse an accelerator that is not the expected one.

    Raises
    ------
    InputError
        A parameter differs; the message names all that do.
    """
    wrong = differences(found, expected)
    if wrong:
        raise InputError(
            f"{name} has {', '.join(wrong)}; give the configuration that its bitstream was built from, or none"
        )
