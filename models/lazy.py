"""A mapping whose values are made when they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class LazyMapping(Mapping[str, T]):
    """Values by name, each made when it is first asked for, and kept.

    Parameters
    ----------
    names
        All names.
    read
        Makes the value of a name.
    """

    def __init__(self, names: Iterable[str], read: Callable[[str], T]) -> None:
        self._names = tuple(names)
        self._read = read
        self._values: dict[str, T] = {}

    def __getitem__(self, name: str) -> T:
        if name not in self._values:
            if name not in self._names:
                raise KeyError(name)
            self._values[name] = self._read(name)
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)
