"""What shells complete, and the scripts that let them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tritforge.accel.presets import PRESETS
from tritforge.cli.completion import SHELLS
from tritforge.cli.main import COMMANDS, COMPLETE_VARIABLE, main
from tritforge.models.shapes import find_shape

#: Command and options of each shell that reads a script without running it.
CHECKS = {"bash": ["-n"], "zsh": ["-n"], "fish": ["--no-execute"]}


def offered(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[list[str]]:
    """Return kind and value of what bash is offered at the end of a line."""
    words = line.split(" ")
    monkeypatch.setenv(COMPLETE_VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit) as end:
        main([])
    assert end.value.code == 0
    return [text.split(",", 1) for text in capsys.readouterr().out.splitlines() if text]


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("tritforge ", list(COMMANDS)),
        ("tritforge model in", ["inspect"]),
        ("tritforge verilog --to", ["--top"]),
        ("tritforge verilog --config ", list(PRESETS)),
        ("tritforge fpga --board ", ["ulx3s", "icebreaker"]),
        ("tritforge cosim --model a", ["austen"]),
        ("tritforge energy --model bitnet-2b", ["bitnet-2b4t"]),
        ("tritforge models microsoft/", ["microsoft/bitnet-b1.58-2B-4T"]),
        ("tritforge models trilm_9", ["TriLM_99M"]),
        ("tritforge models --device a100-80gb-", ["a100-80gb-int8"]),
        ("tritforge completion ", list(SHELLS)),
    ],
)
def test_names_are_offered(
    line: str, names: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offered(line, monkeypatch, capsys) == [["plain", name] for name in names]


def test_every_shape_that_is_offered_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [name for _, name in offered("tritforge cosim --shape ", monkeypatch, capsys)]
    assert len(names) >= 80
    for name in set(names) - {"austen"}:
        assert " " not in name
        assert find_shape(name).name.endswith(name) or name == "bitnet-2b4t"


@pytest.mark.parametrize("line", ["tritforge cosim --model ./", "tritforge verilog --config my"])
def test_files_are_offered_where_no_name_fits(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offered(line, monkeypatch, capsys) == [["file", line.rsplit(maxsplit=1)[-1]]]


def script(shell: str, capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as end:
        main(["completion", shell])
    assert end.value.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_reads_its_script(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = script(shell, capsys)
    assert f"{COMPLETE_VARIABLE}={shell}_complete" in text
    assert "tritforge" in text
    program = shutil.which(shell)
    if program is None:
        pytest.skip(f"{shell} is not installed; what it would read was looked at")
    path = tmp_path / "script"
    path.write_text(text)
    subprocess.run([program, *CHECKS[shell], path], check=True)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_a_preset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The function of the script, called as bash calls it when Tab is pressed."""
    program = tmp_path / "tritforge"
    program.write_text(f"#!{sys.executable}\nfrom tritforge.cli.main import main\nmain()\n")
    program.chmod(0o755)
    lines = script("bash", capsys) + (
        "COMP_WORDS=(tritforge verilog --config ulx)\nCOMP_CWORD=3\n"
        '_tritforge_completion tritforge ulx --config\necho "${COMPREPLY[@]}"\n'
    )
    path = os.pathsep.join((str(tmp_path), os.environ["PATH"]))
    done = subprocess.run(
        ["bash", "-c", lines], env=os.environ | {"PATH": path}, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("ulx3s\n", "")
