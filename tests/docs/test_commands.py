"""Every command of README, docs and `--help` is run, here or by a test that is named; what pages show is printed.

A command that is new on a page is run by `test_the_commands_of_a_page_run`, which has to stay fast. One that takes
longer than a few seconds belongs into `SLOW`, one that cannot run as it stands into `ELSEWHERE`.
"""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np
import pytest
from asap7 import asap7_files
from doc_commands import ROOT, Command, commands, help_commands, missing_lines, pages, python_blocks

from tritforge.cli.main import cli, main

#: Pages that tell what once was, and name commands without asking the reader to type them.
PAST = {"CHANGELOG.md"}
#: Kinds of cells that measurements at gates take.
LIBRARY = ("SIMPLE", "INVBUF", "SEQ", "AO", "OA")
WORKERS = "tests/cli/test_workers.py"
BENCH, HISTORY = "tests/cli/test_bench.py", "tests/rtl/test_fpga_history.py"
#: What pages leave to the reader, and what it is in the tests.
PLACEHOLDERS = {
    "PATH": "austen",
    "OUT": "out.safetensors",
    "OUTPUT": "out.safetensors",
    "FORMAT": "native",
    "NAME": "bitnet-b1.58-2B-4T",
    "GB/S": "20",
    "TOP/S": "1",
    "GB": "8",
    "PEERS": ".",
    "SHELL": "bash",
    "/dev/ttyUSB0": "simulation",
}
#: Commands that compile a simulator, synthesise, place or measure: `make test-slow` runs them.
SLOW = {
    "tritforge cosim --model austen --layer 0 --tokens 16",
    "tritforge cosim --shape bitnet-2b4t --tokens 1",
    "tritforge demo --output build/demo",
    "tritforge cosim --model PATH --layer 0",
    'tritforge generate --prompt "She was " --backend rtl',
    (
        'tritforge generate --model austen --prompt "It is a truth universally " --tokens 64 --backend rtl '
        "--temperature 0.7"
    ),
    "tritforge cosim --layer all --config tiny --set k_max=512 --set m_max=512 --tokens 4 --json result.json",
    "tritforge cosim --shape bitnet-2b4t --tokens 1 --jobs 2",
    "tritforge cosim --config ecp5 --gate-level",
    "tritforge explore --model bitnet-2b4t --device kv260 --max-power 5 --sweep lanes=64..512 --sweep rows=8,16",
    "tritforge explore --model TriLM_99M --device orangecrab-85f --config ecp5 --sweep tokens_max=1..16",
    "tritforge cosim --tokens 1 --seeds 0-3 --json result.json",
    "tritforge demo --layer 1 --config ecp5 --seed 7 --output build/demo-ecp5",
    "tritforge board --port simulation --config icebreaker --quick --json -",
    "tritforge bench fpga --design tiny --seeds 1",
    "tritforge bench array --datapath fused --seeds 1 --json array.json",
    "tritforge report --model austen -o report.html",
    "tritforge report --model bitnet-b1.58-2B-4T --context 2048 --dram HBM2 --bandwidth 400 -o report.html",
    "tritforge verilog --top axi",
    "tritforge verilog --top axi -o build/axi.v",
    "tritforge energy --model bitnet-b1.58-2B-4T --accounting hardware --format html -o energy.html",
    "tritforge verilog --top axi --config ecp5 --axi-set write_master=true --axi-set outstanding=8 -o build/axi.v",
    "tritforge bench fpga --design ecp5 --seeds 0 --docs .",
    "tritforge fpga --board ulx3s",
    "tritforge fpga --board ulx3s --set lanes=32 --freq 100 --seeds 8 -o build/small",
    "tritforge fpga --target ecp5-85k --config ecp5 --freq 200",
    "tritforge fpga --target ecp5-85k --config ecp5-3072 --freq 50 --seeds 1 -o build/ecp5-3072",
    "tritforge fpga --target xc7z020 --set datapath=fused --set target=xilinx --set negation=carry -o build/zynq",
    "tritforge bench array --quick",
    "python benchmarks/bench_area.py",
    "python benchmarks/bench_cosim.py",
    "python benchmarks/bench_sparse.py",
    "python benchmarks/bench_startup.py",
    "python benchmarks/bench_startup.py --docs .",
    "python benchmarks/bench_sparse_area.py --route 1",
}
#: Commands that take an hour, the network or another machine, and the test that runs their code on something smaller.
ELSEWHERE = {
    "python benchmarks/bench_checkpoints.py --folder build/large": (
        "tests/models/test_import_memory.py::test_an_import_of_8_billion_weights_stays_under_two_gigabytes"
    ),
    "python benchmarks/bench_models.py": (
        "tests/docs/test_peer_models.py::test_our_side_of_the_comparison_is_what_the_models_say_now"
    ),
    "python -m build": "tests/release/test_wheel.py::test_the_source_distribution_builds_the_same_wheel",
    "python docs/_figures": "tests/docs/test_site.py::test_every_figure_of_the_pages_is_that_of_its_script",
    "tritforge board --port /dev/ttyUSB0": "tests/cosim/test_link.py::test_the_command_line_simulates_a_board",
    "tritforge board --port /dev/ttyUSB0 --config ulx3s --model austen --layer 0 --tokens 16": (
        "tests/cosim/test_link.py::test_the_command_line_simulates_a_board"
    ),
    'tritforge generate --prompt "It is " --backend board --port /dev/ttyUSB0': (
        "tests/cli/test_board.py::test_text_is_written_on_a_board"
    ),
    "tritforge bench array": f"{BENCH}::test_it_prints_tables_and_the_bounds_that_hold",
    "tritforge bench array --sweep --docs .": f"{BENCH}::test_a_whole_run_is_kept_in_the_checkout",
    "tritforge cosim --tokens 4 --seeds 0-99 --scheduler 10.0.0.1:8786": (
        f"{WORKERS}::test_a_regression_is_the_same_on_a_cluster_whose_worker_dies"
    ),
    "tritforge cosim --shape bitnet-2b4t --tokens 1 --scheduler 10.0.0.1:8786": (
        f"{WORKERS}::test_a_layers_matrices_are_spread_over_a_cluster"
    ),
    (
        "tritforge explore --model bitnet-2b4t --sweep lanes=16..256 --sweep rows=1..64:1 "
        "--scheduler 10.0.0.1:8786"
    ): f"{WORKERS}::test_a_sweep_has_the_same_table_on_a_cluster_whose_worker_dies",
    "tritforge bench array --sweep --scheduler 10.0.0.1:8786": (
        f"{WORKERS}::test_synthesis_is_the_same_on_a_cluster_whose_worker_dies"
    ),
    "tritforge fpga --board ulx3s --seeds 16 --scheduler 10.0.0.1:8786": (
        f"{WORKERS}::test_synthesis_is_the_same_on_a_cluster_whose_worker_dies"
    ),
    "tritforge bench fpga --seeds 5 --scheduler 10.0.0.1:8786": (
        f"{WORKERS}::test_a_preset_is_counted_and_routed_alike_on_a_cluster"
    ),
    "tritforge gates --liberty asap7sc7p5t_*_RVT_TT_nldm_*.lib.gz --scheduler 10.0.0.1:8786": (
        f"{WORKERS}::test_gates_are_measured_alike_on_a_cluster_whose_worker_dies"
    ),
    "tritforge bench fpga --docs .": f"{HISTORY}::test_measuring_routes_every_seed_and_says_what_it_does",
}
#: What a command takes from elsewhere, and the command that makes it here.
MADE = {
    "ggml-model-i2_s.gguf": (
        "tritforge model convert austen ggml-model-i2_s.gguf --to gguf-i2_s --i2s-layout x86 --round-scales"
    )
}
#: What pages with Python leave to the reader.
GIVEN = {"README.md": {"codes": np.eye(8, 16, dtype=np.int8), "activations": np.ones((2, 16), dtype=np.int8)}}
#: Pages whose Python compiles a simulator.
SLOW_PYTHON = {"README.md"}
#: Modules whose runs take hours and a corpus that is not in the repository, and the tests that run them on less.
TRAINING = {
    "tritforge.models.train": "tests/models/test_train.py::test_an_interrupted_run_ends_with_the_same_weights",
    "tritforge.sim.export": "tests/sim/test_export.py::test_the_folder_holds_what_was_measured",
}
#: Lines with which a command that ran well ends with status 1: no placement reached the clock, or the machine is
#: slower than a benchmark's bound on time.
MISSED = re.compile(
    r"^tritforge: timing fails on |^not met: (layer|rate|overhead)(, (rate|overhead))*$", re.MULTILINE
)
TEXTS = [path for path in pages() if path.name not in PAST]
ALL = [*(command for path in TEXTS for command in commands(path)), *help_commands()]


def is_name(command: Command) -> bool:
    """Whether a sentence names a command rather than showing what to type."""
    return command.inline and all(re.fullmatch(r"[a-z]+", word) for word in command.words[1:])


def filled(command: Command, library: Sequence[Path] = (ROOT / "Makefile",)) -> list[str]:
    """Return the words of a command with something in the place of its placeholders and of a cell library."""
    words: list[str] = []
    for word in command.words:
        words += map(str, library) if names_library(word) else [PLACEHOLDERS.get(word, word)]
    return words


def once(found: Iterable[Command]) -> list[Command]:
    """Return commands without those that an earlier page has, unless a page shows what they print."""
    seen: dict[str, Command] = {}
    kept = []
    for command in found:
        if command.text not in seen or command.output:
            kept.append(command)
        seen.setdefault(command.text, command)
    return kept


def is_training(command: Command) -> bool:
    return command.words[:2] == ["python", "-m"] and command.words[2] in TRAINING


def is_install(command: Command) -> bool:
    return command.words[0] in {"pip", "apt-get"} or command.words[:3] == ["python", "-m", "venv"]


TO_RUN = once(
    one for one in ALL if one.words[0] != "make" and not (is_install(one) or is_training(one) or is_name(one))
)


def names_library(word: str) -> bool:
    """Whether a word names files of a cell library, which the project does not hold."""
    return ".lib" in word or word == "FILES"


def is_slow(command: Command) -> bool:
    """Whether only `make test-slow` runs a command; what takes a cell library measures for minutes."""
    return command.text in SLOW or any(map(names_library, command.words))


QUICK = [one for one in TO_RUN if not is_slow(one) and one.text not in ELSEWHERE]


def where(command: Command) -> str:
    return f"{command.page}:{command.line}"


@pytest.fixture
def workplace(tmp_path: Path, simulators: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a checkout: pages and benchmarks that commands may write to, simulators that all tests share."""
    for folder in ("docs", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "build").mkdir()
    simulators.mkdir(exist_ok=True)
    (tmp_path / "build" / "simulators").symlink_to(simulators)
    (tmp_path / "energy").symlink_to(ROOT / "energy")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


def call(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run `tritforge` in this process; return its exit status and what it printed."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    streams = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, streams.out + streams.err


def run(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    """Run a command and compare what it prints with what the page shows."""
    cells = any(map(names_library, command.words))
    program, *arguments = filled(command, asap7_files(*LIBRARY) if cells else ())
    for name in MADE.keys() & set(arguments):
        assert call(shlex.split(MADE[name])[1:], capsys)[0] == 0
    if program == "tritforge":
        status, printed = call(arguments, capsys)
    else:
        path = sys.executable if program == "python" else shutil.which(program)
        if path is None:
            pytest.skip(f"{program} is missing; the commands before it ran")
        done = subprocess.run([path, *arguments], capture_output=True, text=True, check=False)
        status, printed = done.returncode, done.stdout + done.stderr
    missed = status == 1 and MISSED.search(printed)
    assert status == 0 or missed, (
        f"{where(command)}: `{command.text}` ends with exit status {status}:\n{printed}"
    )
    missing = missing_lines(command.output, printed)
    assert not missing, f"{where(command)} shows what `{command.text}` does not print: {missing}\n{printed}"


@pytest.mark.parametrize("page", sorted({one.page for one in QUICK}))
def test_the_commands_of_a_page_run(page: str, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In the order of the page and in one folder, since a command may need the files of those before it."""
    for command in QUICK:
        if command.page == page:
            run(command, capsys)


def is_routed(command: Command) -> bool:
    """Whether a command synthesises what is large, or places and routes."""
    return command.words[1] in {"fpga", "bench"} or "bench_sparse_area" in command.text


SLOW_RUNS = [
    pytest.param(one, id=one.text, marks=[pytest.mark.fpga] if is_routed(one) else [])
    for one in TO_RUN
    if is_slow(one)
]


@pytest.mark.slow
@pytest.mark.parametrize("command", SLOW_RUNS)
def test_a_slow_command_runs(command: Command, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(command, capsys)


def test_every_command_has_options_that_exist() -> None:
    """Those that only `make test-slow` runs, too: a renamed option is told at once."""
    checked = 0
    for one in ALL:
        if one.words[0] != "tritforge" or {"-h", "--help", "--version"} & set(one.words):
            continue
        command: click.Command = cli
        words = filled(one)[1:]
        while isinstance(command, click.Group) and words:
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, f"{where(one)}: there is no command `{one.text}`"
            command = found
        if not is_name(one):
            try:
                command.make_context(one.text, words).close()
            except click.ClickException as error:
                pytest.fail(f"{where(one)}: `{one.text}`: {error.format_message()}")
        checked += 1
    assert checked >= 30


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [one for one in ALL if one.words[0] == "make"]
    assert {one.words[1] for one in named} >= {"demo", "test", "docs"}
    for one in named:
        assert one.words[1] in targets, f"{where(one)}: the Makefile has no target {one.words[1]}"


def test_every_extra_that_pip_installs_exists() -> None:
    extras = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = [one for one in ALL if one.words[0] == "pip"]
    assert named
    for one in named:
        for extra in re.findall(r"\[(\w+)\]", one.text):
            assert extra in extras, f"{where(one)}: pyproject.toml has no extra {extra}"


def test_commands_that_are_run_elsewhere_or_slowly_stand_on_a_page() -> None:
    """And the tests that stand for them exist."""
    texts = {one.text for one in ALL}
    assert set(ELSEWHERE) - texts == set()
    assert SLOW - texts == set()
    for name in (*ELSEWHERE.values(), *TRAINING.values()):
        path, _, function = name.partition("::")
        assert f"def {function}(" in (ROOT / path).read_text(), name


PROGRAMS = [
    pytest.param(path, id=page, marks=[pytest.mark.slow] if page in SLOW_PYTHON else [])
    for path in TEXTS
    for page in [path.relative_to(ROOT).as_posix()]
    if python_blocks(path)
]


@pytest.mark.parametrize("path", PROGRAMS)
def test_the_python_of_a_page_runs(path: Path, workplace: Path) -> None:
    """All blocks of a page are one program."""
    page = path.relative_to(ROOT).as_posix()
    space: dict[str, object] = dict(GIVEN.get(page, {}))
    for line, text in python_blocks(path):
        # Lines are counted as on the page, for the traceback.
        exec(compile("\n" * (line - 1) + text, page, "exec"), space)  # noqa: S102 - what the page tells to type
    assert len(space) > len(GIVEN.get(page, {})) + 1
