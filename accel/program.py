"""Which program this is: a hash of the sources and tables that decide results, for what must not mix two of them."""

from functools import cache
from hashlib import sha256
from pathlib import Path

#: Folders whose contents decide results; `cli` and `report` but show them.
FOLDERS = ("accel", "models", "sim", "energy", "rtl", "explore")
#: Ends of files that decide them.
_SUFFIXES = {".py", ".csv", ".json"}


@cache
def program_hash() -> str:
    """Return 16 hexadecimal digits that change with any source or table of `FOLDERS`.

    They are taken once in a process: what is on the disk later is not what the process has loaded.
    """
    # Where an installed package has its folders beside this one, so has a checkout.
    root = Path(__file__).resolve().parents[1]
    found = sha256()
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in _SUFFIXES:
                found.update(path.relative_to(root).as_posix().encode() + b"\n")
                found.update(sha256(path.read_bytes()).digest())
    return found.hexdigest()[:16]
