"""A piece of work that ends its process; where other processes find it by its name."""

import os


def die(*_: object) -> None:
    """End this process as the system does when memory is out."""
    os._exit(3)
