"""Which pieces of matrices lie where in a weight store: those used last stay, those used least recently go."""

from collections import OrderedDict
from collections.abc import Hashable

from tritforge.accel.errors import InputError


class StoreMap:
    """Places in a store, given to keys; the least recently used make room.

    Parameters
    ----------
    size
        Of the store, in bytes.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        # By key, the first byte and the length; the most recently used last.
        self._places: OrderedDict[Hashable, tuple[int, int]] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._places

    def find(self, key: Hashable) -> int | None:
        """Return where a key's bytes begin, and count it as used; None when they are not there."""
        if key not in self._places:
            return None
        self._places.move_to_end(key)
        return self._places[key][0]

    def place(self, key: Hashable, length: int) -> int:
        """Give a new key the first gap that is long enough, after as many others have gone as it takes.

        Raises
        ------
        InputError
            More bytes than the store has, or a key that is there.
        """
        if key in self._places:
            raise InputError(f"{key!r} is in the store; find its place")
        if length > self.size:
            raise InputError(f"{length} bytes do not fit a store of {self.size}; cut them into pieces")
        while (start := self._gap(length)) is None:
            self._places.popitem(last=False)
        self._places[key] = start, length
        return start

    def drop(self, key: Hashable) -> None:
        """Give a key's place back, if it has one."""
        self._places.pop(key, None)

    def clear(self) -> None:
        """Give all places back."""
        self._places.clear()

    def _gap(self, length: int) -> int | None:
        """Return the start of the first gap that is long enough."""
        start = 0
        for begin, taken in sorted(self._places.values()):
            if begin - start >= length:
                return start
            start = begin + taken
        return start if self.size - start >= length else None
