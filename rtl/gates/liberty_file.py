"""Liberty files as plain data: read by a maintained parser once, and kept beside its hash after that."""

import gzip
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from tritforge.accel.errors import InputError
from tritforge.accel.files import write_atomically
from tritforge.rtl.gates.liberty_parse import Tables, describe

#: Part of the name of a kept file; another one with every change of what is kept.
_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class LibertyFile:
    """One file.

    Attributes
    ----------
    path, sha256
        Where it was, and the hash of its uncompressed content.
    description
        ``name``, ``voltage`` (V), ``temperature`` (degrees Celsius), ``thresholds`` of slews (fractions of the
        supply) and ``cells``; these name tables by their place in `tables`.
    tables
        Delays, transition times, constraints and energies.
    """

    path: Path
    sha256: str
    description: Mapping[str, Any]
    tables: Tables


def read_file(
    path: Path, *, cache: Path | None = None, on_parse: Callable[[str], None] = lambda _: None
) -> LibertyFile:
    """Read a Liberty file, compressed by gzip or not.

    Parameters
    ----------
    path
        The file.
    cache
        Folder that keeps what was parsed, by the content's hash; None: nothing is kept.
    on_parse
        Called with the file's name before it is parsed, which takes half a second a megabyte.

    Raises
    ------
    InputError
        It cannot be read, or is no Liberty library.
    MissingToolError
        The parser is not installed.
    """
    content = _content(path)
    digest = sha256(content).hexdigest()
    kept = None if cache is None else cache / f"{digest[:32]}-{_FORMAT}.npz"
    loaded = None if kept is None or not kept.is_file() else _load(kept)
    if loaded is None:
        on_parse(path.name)
        described = describe(path, content.decode(errors="replace"))
        loaded = described.description, described.tables()
        if kept is not None:
            _keep(kept, *loaded)
    return LibertyFile(path=path, sha256=digest, description=loaded[0], tables=loaded[1])


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}; name a Liberty file (.lib or .lib.gz)") from error


def _keep(path: Path, description: Mapping[str, Any], tables: Tables) -> None:
    file = BytesIO()
    plain = np.frombuffer(json.dumps(description).encode(), np.uint8)
    np.savez(file, description=plain, numbers=tables.numbers, shapes=tables.shapes)
    write_atomically(path, file.getvalue())


def _load(path: Path) -> tuple[Mapping[str, Any], Tables] | None:
    """Return what was kept, or None where the file is not whole."""
    try:
        # From memory: a path to a file that is not whole would stay open.
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as kept:
            description = json.loads(kept["description"].tobytes())
            return description, Tables.gathered(kept["numbers"], kept["shapes"])
    except (OSError, EOFError, KeyError, ValueError, BadZipFile):
        return None
