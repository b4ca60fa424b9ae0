"""Measures a design as a piece of work: library and operands travel to where it runs, netlists and logs come back."""

import gzip
import shutil
import warnings
import weakref
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

from amaranth.hdl import UnusedElaboratable

from tritforge.accel.errors import SimulationError
from tritforge.accel.files import user_cache, write_atomically
from tritforge.rtl.gates.designs import choose
from tritforge.rtl.gates.liberty import load_library
from tritforge.rtl.gates.measure import Conditions, Measurement, measure_design
from tritforge.rtl.gates.operands import ProductOperands


@dataclass(frozen=True, kw_only=True)
class Parcel:
    """What all pieces of a run take.

    Attributes
    ----------
    liberty
        Contents of the library's files, compressed by gzip.
    operands
        Of a model.
    conditions
        Of the run.
    """

    liberty: tuple[bytes, ...]
    operands: tuple[ProductOperands, ...]
    conditions: Conditions

    @classmethod
    def pack(
        cls, liberty: Sequence[Path], operands: Sequence[ProductOperands], conditions: Conditions
    ) -> "Parcel":
        """Read a library's files, which were loaded before."""
        contents = [path.read_bytes() for path in liberty]
        return cls(
            liberty=tuple(
                one if one[:2] == b"\x1f\x8b" else gzip.compress(one, compresslevel=6) for one in contents
            ),
            operands=tuple(operands),
            conditions=conditions,
        )


@dataclass(frozen=True, kw_only=True)
class GatePiece:
    """What a piece gives.

    Attributes
    ----------
    name
        Of the design.
    measurement
        None where a tool failed.
    failure
        What a tool that failed said, and the name of its log.
    files
        Netlists and logs by their place in the design's folder, compressed by zlib.
    """

    name: str
    measurement: Measurement | None
    failure: str
    files: Mapping[str, bytes]

    def unpack(self, folder: Path) -> Measurement:
        """Write the files into the design's folder within a run's, and return the measurement.

        Raises
        ------
        SimulationError
            A tool failed.
        """
        for place, data in self.files.items():
            write_atomically(folder / self.name / place, zlib.decompress(data))
        if self.measurement is None:
            raise SimulationError(self.failure.format(folder=folder))
        return self.measurement


class _Shelf:
    """A library in a folder that is removed with this, or when the process ends."""

    def __init__(self, liberty: Sequence[bytes]) -> None:
        self.folder = Path(mkdtemp(prefix="tritforge-"))
        weakref.finalize(self, shutil.rmtree, self.folder, ignore_errors=True)
        paths = [self.folder / f"{place}.lib.gz" for place in range(len(liberty))]
        for path, content in zip(paths, liberty, strict=True):
            path.write_bytes(content)
        self.library = load_library(paths, cache=user_cache("liberty"))


@lru_cache(maxsize=1)
def _shelf(liberty: tuple[bytes, ...]) -> _Shelf:
    """Return a library's shelf, which this process keeps from one design to the next."""
    return _Shelf(liberty)


def measure_piece(name: str, parcel: Parcel) -> GatePiece:
    """Measure a design in a folder of this process.

    Parameters
    ----------
    name
        Of the design; what builds it cannot travel.
    parcel
        What it is measured with.

    Raises
    ------
    InputError, VerificationError, MissingToolError
        As `tritforge.rtl.gates.measure.measure_design`.
    """
    shelf = _shelf(parcel.liberty)
    folder = shelf.folder
    (design,) = choose([name])
    measurement, failure = None, ""
    try:
        with warnings.catch_warnings():
            # Units are asked for their models where nothing is built.
            warnings.simplefilter("ignore", UnusedElaboratable)
            measurement = measure_design(
                design,
                library=shelf.library,
                operands=parcel.operands,
                conditions=parcel.conditions,
                folder=folder,
            )
    except SimulationError as error:
        text = str(error).replace("{", "{{").replace("}", "}}")
        failure = text.replace(str(folder), "{folder}")
    finally:
        files = _packed(folder / name)
        shutil.rmtree(folder / name, ignore_errors=True)
    return GatePiece(name=name, measurement=measurement, failure=failure, files=files)


def _packed(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): zlib.compress(path.read_bytes())
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
