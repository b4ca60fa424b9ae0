"""Verilator through cocotb's runner: how the bench's build and its runs are started and stopped."""

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import Event, Lock
from typing import IO

from cocotb_tools.runner import Verilator

#: Objects of Verilator's own sources in a build's folder.
LIBRARY = "verilated*.[od]"
#: Verilator's makefile optimises for size unless told; for speed, a simulation runs 1.3 to 1.5 times as fast.
MAKE_OPTIONS = ("OPT_FAST=-O2",)
#: For a simulation that is shorter than the compilation of a large design.
QUICK_COMPILE = ("OPT_FAST=-O0",)

#: Begins the log of a program that did not start.
NOT_STARTED = "cannot start"


class BenchRunner(Verilator):
    """cocotb's Verilator runner, but for a few things.

    Only signals that the bench marks are public: with every signal public, Verilator may optimise none of them away,
    and the simulation runs several times slower. Objects of Verilator's own sources that lie in the folder are up to
    date, although the makefile that it writes is younger: most of a small bench's compile time. What it runs can be
    stopped, and gets an environment of its own, so that several run side by side in one process.

    Parameters
    ----------
    environment
        Environment variables that what it runs gets besides those of this process.
    inherited
        Open files that what it runs keeps.
    make_options
        Variables of Verilator's makefile.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        inherited: Sequence[int] = (),
        make_options: Sequence[str] = MAKE_OPTIONS,
    ) -> None:
        super().__init__()
        self._environment = environment
        self._inherited = inherited
        self._make_options = make_options
        self._lock = Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._stopped = False
        #: Set when the program runs, or when it is clear that it will not.
        self.started = Event()

    def stop(self) -> None:
        """End what runs, and let nothing start any more."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()

    def _set_env_common(self) -> None:
        super()._set_env_common()
        # The runner has added a folder of libraries to this process's path.
        libraries = self.env["PATH"].rpartition(os.pathsep)[2]
        self.env.update(self._environment)
        self.env["PATH"] += os.pathsep + libraries

    def _simulator_in_path_build_only(self) -> None:
        self.executable = "verilator"

    def _build_command(self) -> list[list[str]]:
        *translate, compile_all = super()._build_command()
        objects = [str(path) for path in Path(self.build_dir).glob(LIBRARY)]
        return [
            *([argument for argument in command if argument != "--public-flat-rw"] for command in translate),
            *([["touch", *objects]] if objects else []),
            [*compile_all, *self._make_options],
        ]

    def _execute_cmds(
        self,
        cmds: Sequence[Sequence[str]],
        cwd: str | os.PathLike[str],
        stdout: IO[str] | None = None,
    ) -> None:
        for command in cmds:
            with self._lock:
                if self._stopped:
                    raise RuntimeError("it was stopped")
                # Found here: without a shell, the program is looked for on this process's path.
                program = shutil.which(command[0], path=self.env["PATH"]) or command[0]
                try:
                    self._process = subprocess.Popen(
                        [program, *command[1:]],
                        cwd=cwd,
                        env=self.env,
                        stdin=subprocess.DEVNULL,
                        stdout=stdout,
                        stderr=subprocess.STDOUT,
                        pass_fds=self._inherited,
                    )
                except OSError as error:
                    message = f"{NOT_STARTED} {program}: {error.strerror}"
                    if stdout is not None:
                        stdout.write(message + "\n")
                    raise RuntimeError(message) from error
            self.started.set()
            try:
                status = self._process.wait()
            except BaseException:
                self.stop()
                raise
            if status:
                raise RuntimeError(f"{command[0]} ended with status {status}")


def log_end(log: Path, lines: int = 25) -> str:
    """Return the end of a log, for an error's message."""
    found = log.read_text(errors="replace").splitlines()[-lines:] if log.exists() else []
    return "the end of its log:\n" + "\n".join(found) if found else "it wrote no log"
