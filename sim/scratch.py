"""Temporary folders of simulations: removed at their end, or by the next one where their process was killed."""

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from time import time

PREFIX = "tritforge-sim-"
#: Seconds for which a folder may be there without its lock: its process is about to take it.
GRACE_SECONDS = 60


class Scratch:
    """A temporary folder that is locked as long as its process lives.

    Attributes
    ----------
    path
        The folder.
    """

    def __init__(self) -> None:
        remove_abandoned()
        self._folder = TemporaryDirectory(prefix=PREFIX)
        self.path = Path(self._folder.name)
        # Closed with the process however that ends; what the process starts does not inherit it.
        self._lock = os.open(self.path, os.O_RDONLY)
        with suppress(OSError):  # on a file system without locks nothing is ever taken for abandoned
            fcntl.flock(self._lock, fcntl.LOCK_EX)

    def cleanup(self) -> None:
        """Remove the folder; once is enough."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1
        self._folder.cleanup()


def remove_abandoned() -> None:
    """Remove folders whose processes were killed before they could."""
    for path in Path(gettempdir()).glob(f"{PREFIX}*"):
        try:
            folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError:
            continue  # it has gone, or is another user's
        try:
            if time() - os.fstat(folder).st_mtime > GRACE_SECONDS:
                fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
        except OSError:
            continue  # in use
        finally:
            os.close(folder)
