"""Pieces of work: when arguments are made, and what ends with an interrupted process."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tritforge.accel.parallel import SerialExecutor, as_done

#: A pool whose processes have a program each at work, and pieces that have not begun. A program tells its number.
POOL = """
import signal, subprocess
from tritforge.accel.parallel import as_done, local_pool

# Where the tests were started to ignore it, as in a shell's background.
signal.signal(signal.SIGINT, signal.default_int_handler)
program = ["sh", "-c", "echo > $$; exec sleep 600"]
with local_pool(2) as pool:
    list(as_done(pool, subprocess.check_call, [(program,)] * 6))
"""


def test_results_come_before_the_next_arguments_are_made() -> None:
    asked: list[int] = []

    def numbers() -> Iterator[tuple[int]]:
        for number in range(3):
            asked.append(number)
            yield (number,)

    for place, found in as_done(SerialExecutor(), abs, numbers()):
        assert asked == list(range(place + 1))
        assert found == place


def alive(number: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def waited_for(holds: object, seconds: float = 60) -> bool:
    """Wait until something holds, for so long at most."""
    assert callable(holds)
    end = time.monotonic() + seconds
    while not holds() and time.monotonic() < end:
        time.sleep(0.1)
    return bool(holds())


def test_an_interruption_ends_the_processes_and_the_programs_that_they_run(tmp_path: Path) -> None:
    def programs() -> list[int]:
        return [int(path.name) for path in tmp_path.iterdir()]

    with subprocess.Popen([sys.executable, "-c", POOL], cwd=tmp_path, stderr=subprocess.PIPE) as process:
        try:
            assert waited_for(lambda: len(programs()) == 2)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)
            assert waited_for(lambda: not any(map(alive, programs())))
            assert len(programs()) == 2
        finally:
            process.kill()
            for number in filter(alive, programs()):
                os.kill(number, signal.SIGKILL)
