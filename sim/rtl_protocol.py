"""What a program and the simulator's process say to each other: requests and answers over a pair of sockets.

A message is a line of JSON and, where it has an array, the array's bytes after it. Both ends are this package's, and
the sockets have no name that another process could find them by.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt

#: Where the simulator's process finds what answers requests.
SERVER = "tritforge.sim.rtl_server:serve"


@dataclass(frozen=True, kw_only=True)
class ProductRun:
    """One product on the hardware.

    Attributes
    ----------
    words : ndarray of int32, or None
        ``Y[T, M]``; None when the watchdog ended the run or words were missing.
    words_received
        Result words that came.
    cycles
        From the first job taken to the last result beat, both counted; K over the bound takes several such spans.
    timed_out
        The watchdog ended the run.
    error
        The core's `error` output, 0 when it reported nothing.
    """

    words: npt.NDArray[np.int32] | None
    words_received: int
    cycles: int
    timed_out: bool
    error: int


def send(connection: Connection, head: Mapping[str, Any], array: npt.NDArray[Any] | None = None) -> None:
    """Send a message.

    Parameters
    ----------
    connection
        One end of the pair.
    head
        What is said, fit for JSON.
    array
        What goes with it.

    Raises
    ------
    OSError
        The other end is gone.
    """
    form = None if array is None else {"dtype": array.dtype.str, "shape": array.shape}
    connection.send_bytes(json.dumps({**head, "array": form}).encode())
    if array is not None and array.size:
        connection.send_bytes(np.ascontiguousarray(array).data.cast("B"))


def receive(connection: Connection) -> tuple[dict[str, Any], Any]:
    """Wait for a message; return what is said and the array that goes with it, or None.

    Raises
    ------
    EOFError, OSError
        The other end is gone.
    """
    head = json.loads(connection.recv_bytes())
    form = head.pop("array")
    if form is None:
        return head, None
    shape, dtype = tuple(form["shape"]), np.dtype(form["dtype"])
    data = connection.recv_bytes() if 0 not in shape else b""
    # A copy, for an array that can be written to.
    return head, np.frombuffer(bytearray(data), dtype=dtype).reshape(shape)
