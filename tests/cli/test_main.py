"""The command's help, version and exit statuses."""

import os
import subprocess
import sys
from errno import ENAMETOOLONG
from importlib.metadata import version
from pathlib import Path

import click
import pytest

from tritforge.accel.errors import InputError, MissingToolError, SimulationError, WorkerError
from tritforge.cli import main as module


def leave(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> int:
    """Return the exit status when a command raises."""

    @click.command("raising")
    def raising() -> None:
        raise error

    monkeypatch.setattr(module.cli, "get_command", lambda *_: raising)
    with pytest.raises(SystemExit) as end:
        module.main(["raising"])
    assert isinstance(end.value.code, int)
    return end.value.code


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (
            InputError("lanes is 0; it must lie in 2 to 1024"),
            2,
            "tritforge: lanes is 0; it must lie in 2 to 1024\n",
        ),
        (MissingToolError("no compiler"), 3, "tritforge: no compiler\n"),
        (SimulationError("the log ends here"), 1, "tritforge: the log ends here\n"),
        (WorkerError("a worker ended"), 1, "tritforge: a worker ended\n"),
        (KeyboardInterrupt(), 130, "tritforge: interrupted\n"),
        (
            OSError(ENAMETOOLONG, "File name too long", "model.gguf"),
            2,
            "tritforge: File name too long: model.gguf; choose another path\n",
        ),
    ],
)
def test_an_error_ends_in_its_status_and_one_line_on_standard_error(
    error: BaseException,
    status: int,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert leave(monkeypatch, error) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.lstrip("\n") == line


def test_an_unknown_command_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        module.main(["frobnicate"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "tritforge: No such command 'frobnicate'. See tritforge --help.\n"


def test_an_unknown_option_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        module.main(["verilog", "--frobnicate"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("tritforge: No such option")
    assert error.endswith(" See tritforge verilog --help.\n")
    assert error.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is always full")
@pytest.mark.parametrize("arguments", [["models"], ["models", "austen", "--json", "-"]])
def test_output_that_cannot_be_written_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        end = subprocess.run(
            [sys.executable, "-c", "from tritforge.cli.main import main; main()", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert end.returncode == 2
    assert end.stderr == "tritforge: No space left on device; make room\n"


def test_a_reader_that_leaves_ends_the_output_silently() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", "from tritforge.cli.main import main; main()", "models", "--json", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as command:
        assert command.stdout is not None
        assert command.stderr is not None
        command.stdout.close()
        assert command.stderr.read() == b""
        assert command.wait() == 141


def test_signs_that_the_output_does_not_have_are_shown_by_their_numbers() -> None:
    end = subprocess.run(
        [sys.executable, "-c", "from tritforge.cli.main import main; main()", "energy", "--model", "austen"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        text=True,
        check=False,
    )
    assert (end.returncode, end.stderr) == (0, "")
    assert r"\xb5J" in end.stdout


def test_a_missing_choice_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        module.main(["model", "convert", "austen", "output"])
    assert end.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("tritforge: Missing option '--to'. Choose from: native, hf-packed,")
    assert error.count("\n") == 1


def test_no_command_shows_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        module.main([])
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("Usage: tritforge [OPTIONS] COMMAND")


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        module.main(["--version"])
    assert end.value.code == 0
    assert version("tritforge") in capsys.readouterr().out


@pytest.mark.parametrize("name", list(module.COMMANDS))
def test_every_command_exists_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        module.main([name, "--help"])
    assert end.value.code == 0
    assert f"tritforge {name}" in capsys.readouterr().out


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from tritforge.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "except SystemExit:\n    pass\n"
        "heavy = {'numpy', 'pandas', 'matplotlib', 'amaranth', 'cocotb'} & set(sys.modules)\n"
        "print('heavy:', sorted(heavy))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
