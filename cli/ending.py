"""How a command ends that does not end well: one line on standard error, and the exit status."""

import os
import sys
from errno import EDQUOT, ENOSPC, EPIPE
from signal import SIGINT, Signals

import click

from tritforge.accel.errors import (
    BoardError,
    InputError,
    MissingToolError,
    SimulationError,
    VerificationError,
    WorkerError,
)
from tritforge.cli.signals import PIPE_CLOSED, SIGNALLED, Terminated

#: Errors whose message is for the user as it is, with their status.
_STATUSES: dict[type[BaseException], int] = {
    InputError: 2,
    MissingToolError: 3,
    BoardError: 1,
    SimulationError: 1,
    VerificationError: 1,
    WorkerError: 1,
}
#: What `explain` knows; anything else is a fault of this program, and has a traceback.
ENDINGS: tuple[type[BaseException], ...] = (
    *_STATUSES,
    click.exceptions.Exit,
    click.ClickException,
    click.Abort,
    OSError,
    KeyboardInterrupt,
    Terminated,
)


def explain(error: BaseException) -> int:
    """Say in a line why a command ended, and return its exit status.

    Parameters
    ----------
    error
        One of `ENDINGS`.
    """
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.ClickException):
        return _explain_usage(error)
    if isinstance(error, OSError):
        return _explain_system(error)
    if isinstance(error, Terminated):
        _say(f"terminated by {Signals(error.number).name}")
        return SIGNALLED + error.number
    if isinstance(error, KeyboardInterrupt | click.Abort):
        # A terminal shows the keys that interrupt where the line begins.
        _say("interrupted", before="\n" if sys.stderr.isatty() else "")
        return SIGNALLED + SIGINT
    _say(str(error))
    return next(status for kind, status in _STATUSES.items() if isinstance(error, kind))


def _say(message: str, *, before: str = "") -> None:
    click.echo(f"{before}tritforge: {message}", err=True)


def _explain_usage(error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "tritforge"
    # A missing choice is explained in several lines.
    _say(f"{' '.join(error.format_message().split())} See {command} --help.")
    return error.exit_code


def _explain_system(error: OSError) -> int:
    """Commands name what is wrong with their own files; this is a disk without room, or a path that has no answer."""
    if error.errno == EPIPE:
        _leave_unwritten()
        return PIPE_CLOSED
    where = f": {error.filename}" if error.filename else ""
    cure = "make room" if error.errno in {ENOSPC, EDQUOT} else "choose another path"
    _say(f"{error.strerror or error}{where}; {cure}")
    _leave_unwritten()
    return 2


def _leave_unwritten() -> None:
    """Let go of output that cannot be written, which Python would try again to write when it ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
