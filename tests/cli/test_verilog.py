"""`tritforge verilog`: files, reproducibility, bad input, and the test bench in a simulator."""

import json
import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tritforge.cli.main import main
from tritforge.rtl.tools import verilator_environment

SMALL = ["--config", "tiny", "--set", "rows=2"]


def run(*arguments: str) -> int:
    """Run the command line and return its exit status."""
    with pytest.raises(SystemExit) as end:
        main(["verilog", *arguments])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small core with all that comes beside it."""
    path = tmp_path_factory.mktemp("verilog") / "small.v"
    assert run(*SMALL, "--name", "small_core", "-o", str(path)) == 0
    return path


def test_it_writes_verilog_sidecar_template_and_bench(written: Path) -> None:
    names = sorted(path.name for path in written.parent.iterdir())
    assert names == ["small.json", "small.v", "small_tb.v", "small_template.v"]


def test_a_script_is_told_the_files_and_what_the_side_car_says(
    written: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*SMALL, "--name", "small_core", "-o", str(tmp_path / "small.v"), "--json", "-") == 0
    document = json.loads(capsys.readouterr().out)
    assert {Path(file) for file in document.pop("files")} == set(tmp_path.iterdir())
    assert document == json.loads(written.with_suffix(".json").read_text())


def test_the_sidecar_hash_is_that_of_the_file(written: Path) -> None:
    sidecar = json.loads(written.with_suffix(".json").read_text())
    assert sidecar["sha256"] == sha256(written.read_bytes()).hexdigest()
    assert sidecar["config"]["rows"] == 2


def test_a_second_run_writes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    assert run(*SMALL, "--name", "small_core", "-o", str(tmp_path / "small.v")) == 0
    for path in written.parent.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_no_file_holds_an_absolute_path(written: Path) -> None:
    for path in written.parent.iterdir():
        assert str(Path.cwd()) not in path.read_text(), path.name
        assert "/site-packages/" not in path.read_text(), path.name


def simulate_bench(folder: Path) -> str:
    """Compile the small core's bench with Verilator, as its header says, run it, and return what it prints."""
    environment = os.environ | verilator_environment()
    build = ["verilator", "--binary", "--timing", "-CFLAGS", "-std=gnu++20 -fcoroutines -O0"]
    sources = [folder / f"small{suffix}.v" for suffix in ("_tb", "", "_cells")]
    command = [*build, *(path.name for path in sources if path.exists())]
    assert " ".join(command[5:]) in (folder / "small_tb.v").read_text()
    subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    done = subprocess.run(
        [folder / "obj_dir" / "Vsmall_tb"], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout


def test_the_bench_passes_in_a_simulator_and_fails_on_a_wrong_word(written: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bench"
    shutil.copytree(written.parent, folder)
    assert simulate_bench(folder).startswith("PASS: 6 words equal after ")

    bench = folder / "small_tb.v"
    lines = bench.read_text().splitlines()
    first = next(index for index, line in enumerate(lines) if "expected[0] = " in line)
    lines[first] = "        expected[0] = 32'h0badbeef;"
    bench.write_text("\n".join(lines) + "\n")
    output = simulate_bench(folder)
    assert "word 0: expected 0badbeef, got " in output
    assert "FAIL: 1 of 6 words differ" in output


@pytest.mark.parametrize(
    "settings",
    [
        ["datapath=fused", "target=ecp5", "negation=carry", "chain_length=2"],
        ["datapath=fused", "target=xilinx", "negation=carry", "packing=s8"],
        ["sparse=true", "partial_sums=true", "packing=s5"],
    ],
    ids=lambda settings: settings[0] + settings[1],
)
def test_the_bench_brings_the_cells_and_ties_what_a_plain_job_does_not_use(
    settings: list[str], tmp_path: Path
) -> None:
    arguments = [argument for setting in settings for argument in ("--set", setting)]
    assert run(*SMALL, *arguments, "--name", "small_core", "-o", str(tmp_path / "small.v")) == 0
    assert (tmp_path / "small_cells.v").exists() == ("datapath=fused" in settings)
    assert simulate_bench(tmp_path).startswith("PASS: 6 words equal after ")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--config", "huge"],
            "no preset and no readable file 'huge'; the presets are default, tiny, decode, wide, ecp5",
        ),
        (["--set", "lanes=0"], "lanes is 0; it must lie in 2 to 1024"),
        (["--set", "lane=8"], "unknown parameter 'lane'; the parameters are lanes, rows, tokens_max, "),
        (["--set", "lanes"], "setting is 'lanes'; NAME=VALUE is needed"),
        (["--name", "2core"], "name is '2core'; a Verilog identifier (letters, digits, _) is needed"),
        (
            ["--name", "module"],
            "name is 'module', a reserved word of Verilog or SystemVerilog; choose another name",
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*arguments, "-o", str(tmp_path / "core.v")) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"tritforge: {line}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_an_output_that_cannot_be_written_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert run(*SMALL, "-o", str(tmp_path / "file" / "core.v")) == 2
    assert capsys.readouterr().err.startswith(f"tritforge: cannot write {tmp_path / 'file' / 'core.v'}: ")


def test_the_axi_top_comes_with_what_its_registers_need(tmp_path: Path) -> None:
    """The side-car says what was built; the header is that of the generated registers; the page explains them."""
    path = tmp_path / "axi.v"
    assert run(*SMALL, "--top", "axi", "--axi-set", "write_master=true", "-o", str(path)) == 0
    names = {"axi.v", "axi.json", "axi_template.v", "tritforge_regs.h", "tritforge_example.c", "registers.md"}
    assert {file.name for file in tmp_path.iterdir()} == names
    sidecar = json.loads((tmp_path / "axi.json").read_text())
    assert sidecar["sha256"] == sha256(path.read_bytes()).hexdigest()
    assert (sidecar["config"]["rows"], sidecar["axi"]["write_master"]) == (2, True)
    header = (tmp_path / "tritforge_regs.h").read_text()
    assert "#define TRITFORGE_RESULT_STRIDE_OFFSET" in header
    assert (tmp_path / "registers.md").read_text().startswith("# Registers\n")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (
            ["--axi-set", "outstanding=2"],
            "--axi-set outstanding=2 has no effect on the core with its streams; add --top axi",
        ),
        (
            ["--top", "axi", "--axi-set", "burst=2"],
            "unknown AXI parameter 'burst'; the parameters are address_bits, ",
        ),
        (
            ["--top", "axi", "--axi-set", "burst_beats=3"],
            "burst_beats is 3; a power of two up to 256 is needed",
        ),
        (
            ["--top", "axi", "--set", "sparse=true"],
            "sparse is true; the AXI top runs dense jobs: use the stream core",
        ),
    ],
)
def test_bad_input_of_the_axi_side_is_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*SMALL, *arguments, "-o", str(tmp_path / "axi.v")) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"tritforge: {line}")
    assert captured.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
