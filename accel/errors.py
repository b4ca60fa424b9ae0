"""Errors that the command line turns into one line and an exit status."""


class InputError(ValueError):
    """Input that cannot be used; the message names the value, the bound and what to do. Exit status 2."""


class MissingToolError(RuntimeError):
    """A program that is not installed; the message says what to install. Exit status 3."""


class SimulationError(RuntimeError):
    """A simulation that did not get to its end; the message holds the end of its log. Exit status 1."""


class VerificationError(RuntimeError):
    """A result that is not what it must be; the message names the first difference. Exit status 1."""


class BoardError(RuntimeError):
    """A board that does not answer, or reports an error; the message says what was tried. Exit status 1."""


class WorkerError(RuntimeError):
    """Workers that ended before their work did; the message says what to look at. Exit status 1."""
