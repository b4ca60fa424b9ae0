"""A simulator's process from its start to its end, whoever's end comes first."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tritforge.accel.errors import SimulationError
from tritforge.accel.presets import PRESETS
from tritforge.sim.rtl_accelerator import compile_core
from tritforge.sim.rtl_protocol import SERVER
from tritforge.sim.served_simulation import CompiledDesign, ServedSimulation


@pytest.fixture(scope="module")
def compiled(simulators: Path) -> CompiledDesign:
    """The `tiny` preset's simulator."""
    return compile_core(PRESETS["tiny"], simulators)


def until(condition: Callable[[], bool]) -> bool:
    """Wait for a condition for some seconds; return whether it came true."""
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_requests_are_answered_until_it_is_closed(compiled: CompiledDesign) -> None:
    with ServedSimulation(compiled, SERVER) as simulation:
        assert simulation.greeting == {}
        assert simulation.ask({"do": "greet"}) == ({}, None)
        simulation.close()
        assert not simulation.files.exists()
        with pytest.raises(SimulationError, match=r"^the simulation failed; "):
            simulation.ask({"do": "greet"})


def test_the_process_ends_when_its_user_is_killed(compiled: CompiledDesign, tmp_path: Path) -> None:
    """Without a chance to close: the simulator's socket ends, and so does it."""
    program = tmp_path / "user.py"
    program.write_text(
        "import sys, time\n"
        "from pathlib import Path\n"
        "from tritforge.accel.presets import PRESETS\n"
        "from tritforge.sim.rtl_protocol import SERVER\n"
        "from tritforge.sim.served_simulation import CompiledDesign, ServedSimulation\n"
        "compiled = CompiledDesign(config=PRESETS['tiny'], folder=Path(sys.argv[1]), verilog_sha256='')\n"
        "simulation = ServedSimulation(compiled, SERVER)\n"
        "print(simulation.files, flush=True)\n"
        "time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, str(program), str(compiled.folder)], stdout=subprocess.PIPE, text=True
    ) as user:
        assert user.stdout is not None
        files = user.stdout.readline().strip()
        assert files
        assert simulators_of(files)
        user.kill()
    assert until(lambda: not simulators_of(files))


def simulators_of(files: str) -> list[str]:
    """Processes whose command names a folder."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.splitlines() if f"+dir={files}" in line]


def test_a_simulator_that_does_not_start_is_one_error(compiled: CompiledDesign, tmp_path: Path) -> None:
    nothing = CompiledDesign(config=compiled.config, folder=tmp_path, verilog_sha256="")
    message = f"the end of its log:\ncannot start {tmp_path}/bench: No such file or directory"
    with pytest.raises(SimulationError) as caught:
        ServedSimulation(nothing, SERVER)
    cure = f"if the compiled simulator is damaged, remove {tmp_path}: it is compiled again"
    assert str(caught.value) == f"the simulation failed; {message}\n{cure}"


def test_a_simulator_that_ends_without_a_word_is_told_to_be_damaged(
    compiled: CompiledDesign, tmp_path: Path
) -> None:
    (tmp_path / "bench").write_text("#!/bin/sh\n")
    (tmp_path / "bench").chmod(0o755)
    silent = CompiledDesign(config=compiled.config, folder=tmp_path, verilog_sha256="")
    cure = f"if the compiled simulator is damaged, remove {tmp_path}: it is compiled again"
    with pytest.raises(SimulationError) as caught:
        ServedSimulation(silent, SERVER)
    assert str(caught.value) == f"the simulation failed; it wrote no log\n{cure}"
