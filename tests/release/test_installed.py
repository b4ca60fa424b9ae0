"""The wheel in a clean environment: every command at work outside the repository, and its types for a type checker.

``make release-check`` runs these; pip fetches what the wheel needs.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from tiny_liberty import tiny_liberty
from wheels import build, copy_sources

pytestmark = pytest.mark.slow

#: The cheapest real run of every command that is not a group. `{liberty}` is a library of cells.
FORMS = {
    "demo": "--output demo",
    "cosim": "--layer 0 --tokens 2",
    "generate": '--prompt "She was " --tokens 2 --backend rtl',
    "verilog": "--config tiny -o core.v",
    "gates": "--liberty {liberty} --designs add-int8 --clock 100 -o gates",
    "fpga": "--board icebreaker --seeds 1 --allow-slow -o icebreaker",
    "board": "--port simulation --config icebreaker --quick",
    "reproduce": "--paper b1.58",
    "energy": "--model bitnet-b1.58-2B-4T --accounting hardware",
    "report": "--model austen --config tiny --set k_max=512 --set m_max=512 --no-verify -o report.html",
    "explore": "--model TriLM_99M --device orangecrab-85f --config ecp5 --sweep tokens_max=1..4 -o sweep",
    "bench array": "--quick --datapath tree --packing i2 --targets ice40 --folder array",
    "bench fpga": "--design tiny --seeds 0 --folder history",
    "model inspect": "austen",
    "model convert": "austen austen.gguf --to gguf-tq1_0 --round-scales",
    "models": "bitnet-b1.58-2B-4T",
    "completion": "bash",
}
#: Forms of which some verdict depends on the machine or the seed: exit status 1 is no fault of the wheel.
MAY_MISS = {"fpga"}
#: Prints the commands of the installed program that are no groups.
LIST = """
import click
from tritforge.cli.main import cli
def leaves(command, path):
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            leaves(command.get_command(context, name), [*path, name])
    else:
        print(" ".join(path))
leaves(cli, [])
"""
#: A program of a user that checks types strictly; of the lines with a remark, each is wrong in that way alone.
TYPED = """
from pathlib import Path

import numpy as np

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.presets import load_config
from tritforge.energy.report import ModelReport, report_model
from tritforge.models.shapes import find_shape
from tritforge.rtl.gates.designs import choose
from tritforge.rtl.verilog import generate, write
from tritforge.sim.accelerator import open_accelerator
from tritforge.sim.cycles import total_cycles

config: AcceleratorConfig = load_config("tiny", {"lanes": 16})
files: list[Path] = write(generate(config, name="core"), Path("core.v"))
cycles: int = total_cycles(config, 8, 16, 2)
with open_accelerator("golden", config) as accelerator:
    weights = accelerator.load(np.eye(8, 16, dtype=np.int8))
    words = accelerator.matmul(weights, np.ones((2, 16), dtype=np.int8)).words
report: ModelReport = report_model(find_shape("bitnet-2b4t"), 512)
names: list[str] = [design.name for design in choose([])]
print(files, cycles, words.shape, report.shape.name, names)
lanes: str = config.lanes  # [assignment]
load_config(1)  # [arg-type]
generate(config, nam="core")  # [call-arg]
report.contexts  # [attr-defined]
"""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel, made as in a release, and all extras that commands need."""
    sources = copy_sources(tmp_path_factory.mktemp("sources"))
    wheel = build("wheel", sources, tmp_path_factory.mktemp("wheels"))
    folder = tmp_path_factory.mktemp("clean") / "venv"
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    done = subprocess.run([*pip, f"{wheel}[all]", "mypy"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that is not the repository, and has nothing of it; commands share their simulators."""
    return tmp_path_factory.mktemp("elsewhere")


def environment(clean: Path) -> Mapping[str, str]:
    """Return this process's variables without those that lead to the sources or to the tests' own environment."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL"))}
    return kept | {"PATH": os.pathsep.join((str(clean / "bin"), os.defpath)), "COLUMNS": "100"}


def run(clean: Path, folder: Path, *words: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        words, cwd=folder, env=environment(clean), capture_output=True, text=True, check=False
    )


def test_nothing_comes_from_the_repository(clean: Path, elsewhere: Path) -> None:
    program = "import tritforge.cli.main as m, tritforge.accel as a; print(m.__file__, a.__file__)"
    done = run(clean, elsewhere, clean / "bin" / "python", "-c", program)
    assert done.returncode == 0, done.stderr
    assert all(Path(path).is_relative_to(clean) for path in done.stdout.split())


def test_every_command_has_a_form(clean: Path, elsewhere: Path) -> None:
    done = run(clean, elsewhere, clean / "bin" / "python", "-c", LIST)
    assert done.returncode == 0, done.stderr
    assert set(done.stdout.splitlines()) == set(FORMS)


@pytest.mark.parametrize("command", FORMS)
def test_a_command_runs(command: str, clean: Path, elsewhere: Path) -> None:
    liberty = tiny_liberty(elsewhere)
    words = shlex.split(f"tritforge {command} {FORMS[command]}".format(liberty=liberty))
    done = run(clean, elsewhere, *words)
    said = f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0 or (command in MAY_MISS and done.returncode == 1), said
    assert "Traceback" not in done.stderr, said
    assert done.stdout, said


def test_it_says_which_tools_it_found(clean: Path, elsewhere: Path) -> None:
    done = run(clean, elsewhere, "tritforge", "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert {"nextpnr-ecp5", "cocotb", "Verilator", "NumPy"} <= set(done.stdout.split())


def test_a_user_s_program_checks_its_types(clean: Path, elsewhere: Path) -> None:
    (elsewhere / "typed.py").write_text(TYPED)
    done = run(clean, elsewhere, clean / "bin" / "mypy", "--strict", "--output", "json", "typed.py")
    found = {(error["line"], error["code"]) for error in map(json.loads, done.stdout.splitlines())}
    wrong = {
        (number, line.partition("# [")[2].rstrip("]"))
        for number, line in enumerate(TYPED.splitlines(), start=1)
        if "# [" in line
    }
    assert len(wrong) == 4
    assert found == wrong, done.stdout + done.stderr
