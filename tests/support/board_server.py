"""A board's end of the link on a socket: what pyserial opens as ``socket://``."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from fake_link import FakeLink


@contextmanager
def serving(link: FakeLink) -> Iterator[str]:
    """Serve one connection after the other, each until it is closed; give the port's name."""
    server = socket.create_server(("127.0.0.1", 0))
    over = threading.Event()

    def serve() -> None:
        while True:
            connection, _ = server.accept()
            with connection:
                if over.is_set():
                    return
                while data := connection.recv(1 << 12):
                    connection.sendall(b"".join(link.take(byte) for byte in data))

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"socket://127.0.0.1:{server.getsockname()[1]}"
    finally:
        over.set()
        # It waits for the next connection.
        socket.create_connection(server.getsockname()).close()
        thread.join(10)
        server.close()
