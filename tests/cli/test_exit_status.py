"""The exit statuses that `docs/cli.md` promises, of real processes, and what they leave behind."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tritforge.cli.signals import signals_raised

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
START = [sys.executable, "-c", "from tritforge.cli.main import main; main()"]
#: Arguments, variables of the environment and the beginning of the line, by exit status.
ENDS: dict[int, tuple[list[str], dict[str, str], str]] = {
    0: (["models", "trilm"], {}, ""),
    1: (["board", "--port", "loop://", "--baud", "115200"], {}, "no answer on loop://"),
    2: (["models", "--device", "nothing", "austen"], {}, "no device is called 'nothing'"),
    3: (["fpga", "--target", "ecp5-85k"], {"YOSYS": "nowhere"}, "nowhere is not installed; run: pip install"),
}
#: A command that has a temporary folder and a program at work, prints the folder, and waits.
WAITING = """
import signal, subprocess, sys, tempfile, click
from tritforge.cli import main as module

# Whatever the tests were started to ignore, as behind nohup.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

@click.command("wait")
def wait():
    with tempfile.TemporaryDirectory() as folder, subprocess.Popen(["sleep", "60"]) as program:
        try:
            print(folder, flush=True)
            program.wait()
        finally:
            program.kill()

module.cli.get_command = lambda *_: wait
module.main(["wait"])
"""


@pytest.mark.parametrize("status", ENDS)
def test_a_process_ends_with_its_status_and_one_line(status: int, tmp_path: Path) -> None:
    arguments, variables, line = ENDS[status]
    end = subprocess.run(
        [*START, *arguments],
        cwd=tmp_path,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert end.returncode == status, end.stderr
    said = end.stderr.splitlines()
    assert [text.startswith(f"tritforge: {line}") for text in said if text.startswith("tritforge:")] == (
        [True] if line else []
    )
    assert "Traceback" not in end.stderr
    assert bool(end.stdout) == (status == 0)


@pytest.mark.parametrize(
    ("number", "line"),
    [
        (signal.SIGINT, "interrupted"),
        (signal.SIGTERM, "terminated by SIGTERM"),
        (signal.SIGHUP, "terminated by SIGHUP"),
    ],
)
def test_a_signal_ends_a_command_and_leaves_nothing(number: signal.Signals, line: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WAITING], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        there = folder.is_dir()
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert there
    assert not folder.exists()
    assert process.returncode == 128 + number
    assert said == f"tritforge: {line}\n"


def test_a_signal_that_was_to_be_ignored_stays_so() -> None:
    """As of a command behind `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raised():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


def test_another_thread_handles_no_signals() -> None:
    found: list[object] = []

    def block() -> None:
        with signals_raised():
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=block)
    thread.start()
    thread.join()
    assert found == [signal.SIG_DFL]


def test_the_page_has_every_status() -> None:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    told = {int(cell) for line in lines if (cell := line.split("|")[1].strip()).isdigit()}
    assert told == {*ENDS, 130, 141, 143}
