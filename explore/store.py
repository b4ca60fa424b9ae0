"""A sweep's folder: chunks as pieces of Parquet, each there whole or not at all, and the request that they are of."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from hashlib import sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from tritforge.accel.errors import InputError
from tritforge.accel.files import check_writable, write_atomically
from tritforge.accel.program import program_hash
from tritforge.explore.objectives import Request
from tritforge.explore.space import CHUNK_POINTS

REQUEST_FILE = "request.json"
#: Files that a sweep always leaves beside its pieces.
TABLE, TABLE_CSV, FRONT_CSV, SUMMARY = RESULTS = ("table.parquet", "table.csv", "front.csv", "summary.md")
_KEY, _SKIPPED = b"tritforge.request", b"tritforge.skipped"


def describe_request(request: Request) -> dict[str, Any]:
    """Return a request with plain values; equal requests of one program are equal here."""
    space = request.space
    description = {
        "tritforge": version("tritforge"),
        "sources": program_hash(),
        "chunk_points": CHUNK_POINTS,
        "points": len(space),
        "models": [asdict(model) for model in space.models],
        "devices": [asdict(device) for device in space.devices],
        "axes": {name: list(values) for name, values in space.axes.items()},
        "base": space.base.to_dict(),
        "following": list(space.following),
        "scenario": {
            "context": request.scenario.context,
            "batch": request.scenario.batch,
            **{
                name: value
                for name, value in request.scenario.to_dict().items()
                if name not in {"config", "packing", "dram"}
            },
        },
        "node": request.node,
        "technology": None if request.technology is None else [asdict(row) for row in request.technology],
    }
    # As it is read again, with lists for tuples.
    plain: dict[str, Any] = json.loads(json.dumps(description))
    return plain


def request_key(description: dict[str, Any]) -> str:
    """Return what tells one request from all others."""
    return sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]


def pack_piece(rows: pd.DataFrame, skipped: dict[str, int], key: str) -> bytes:
    """Return a chunk's rows as a file of Parquet, with its request's key and the reasons of what was left out."""
    table = pa.Table.from_pandas(rows, preserve_index=False).replace_schema_metadata(
        {_KEY: key.encode(), _SKIPPED: json.dumps(skipped).encode()}
    )
    buffer = BytesIO()
    pq.write_table(table, buffer, compression="zstd", write_page_checksum=True)
    return buffer.getvalue()


class Store:
    """The folder of one sweep.

    Parameters
    ----------
    folder
        Is made where it is missing.
    request
        What is computed.

    Raises
    ------
    InputError
        The folder cannot be written, holds the sweep of another request, or files of somebody else by the names of a
        sweep's.
    """

    def __init__(self, folder: Path, request: Request) -> None:
        self.folder = folder
        self.chunks = request.space.chunks
        description = describe_request(request)
        self.key = request_key(description)
        if folder.exists() and not folder.is_dir():
            raise InputError(f"cannot write {folder}: it is no folder; choose another path")
        kept = folder / REQUEST_FILE
        check_writable(kept)
        if kept.exists():
            self._compare(kept, description)
        elif foreign := [name for name in RESULTS if (folder / name).exists()]:
            raise InputError(f"{folder} holds {foreign[0]}, which is of no sweep; choose another folder")
        write_atomically(kept, json.dumps({"key": self.key, **description}, indent=1) + "\n")

    def _compare(self, path: Path, description: dict[str, Any]) -> None:
        """Refuse a folder of another request, and say what differs."""
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{path} cannot be read ({error}); remove the folder, or choose another"
            ) from error
        if not isinstance(known, dict):
            raise InputError(f"{path} is no request of a sweep; choose another folder")
        if known.get("key") != self.key:
            names = [name for name, value in description.items() if known.get(name) != value]
            raise InputError(
                f"{self.folder} holds a sweep of another request (other {', '.join(names) or 'key'}); "
                "choose another folder, or remove it"
            )

    def _path(self, index: int) -> Path:
        return self.folder / "pieces" / f"{index:05d}.parquet"

    def missing(self) -> list[int]:
        """Return the chunks that have no piece yet."""
        return [index for index in range(self.chunks) if not self._is_whole(index)]

    def _is_whole(self, index: int) -> bool:
        """Whether a chunk's piece is there, and of this request.

        Raises
        ------
        InputError
            It is of another request.
        """
        path = self._path(index)
        try:
            found = pq.read_table(path, page_checksum_verification=True).schema.metadata or {}
        except (OSError, pa.ArrowInvalid):
            return False
        if found.get(_KEY) != self.key.encode():
            raise InputError(f"{path} is a piece of another request; choose another folder, or remove it")
        return True

    def put(self, index: int, piece: bytes) -> None:
        """Store a chunk's piece."""
        write_atomically(self._path(index), piece)

    def pieces(self) -> Iterator[tuple[pa.Table, dict[str, int]]]:
        """Yield rows of each chunk, and what was left out of it by reason, in order."""
        for index in range(self.chunks):
            table = pq.read_table(self._path(index))
            yield table, json.loads(table.schema.metadata[_SKIPPED])
