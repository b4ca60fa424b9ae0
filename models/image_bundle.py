"""The image that an accelerator is signed off with: a checkpoint packed for one configuration.

A folder: ``manifest.json`` (`tritforge.models.image_manifest`), a weight image for each matrix and slice of K that a
job runs (`tritforge.models.image`), and ``tensors.f32``, the float32 tensors one behind the other. The SHA-256 of the
manifest covers, through the checksums in it, every number of the model: it is the sign-off.
"""

from collections.abc import Callable
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError
from tritforge.accel.files import staged
from tritforge.models.checkpoint import matrix_shapes
from tritforge.models.fit import check_fits
from tritforge.models.image import HEADER_BYTES, WeightImage, image_bytes
from tritforge.models.image_manifest import Manifest, StoredImage, StoredMatrix, StoredTensor
from tritforge.models.image_manifest_reader import read_manifest
from tritforge.models.reader import CHUNK, CheckpointReader, ScaleForm, counting
from tritforge.models.ternary import TernaryMatrix

MANIFEST = "manifest.json"
TENSORS = "tensors.f32"
SUFFIX = ".tritimg"
#: Longest manifest that is read: 12 times that of the largest published model.
_MANIFEST_BYTES = 1 << 24


def sign_off(folder: Path) -> str:
    """Return the SHA-256 of a bundle's manifest.

    Raises
    ------
    InputError
        There is no manifest.
    """
    return sha256(_manifest_bytes(folder)).hexdigest()


def write_images(
    reader: CheckpointReader,
    folder: Path,
    accelerator: AcceleratorConfig,
    *,
    on_progress: Callable[[int, int], None] | None = None,
) -> None:
    """Pack a checkpoint for an accelerator, matrix by matrix.

    Parameters
    ----------
    reader
        The checkpoint.
    folder
        Where the bundle is to lie; there is nothing yet.
    accelerator
        What it is packed for.
    on_progress
        Called with numbers done and numbers in all.

    Raises
    ------
    InputError
        The accelerator cannot run a matrix, the checkpoint is damaged, or the folder cannot be written.
    """
    check_fits(accelerator, reader.matrices)
    with staged(folder) as stage:
        stage.mkdir()
        advance = counting(reader.weights + reader.float_numbers, on_progress)
        advance(0)
        with (stage / TENSORS).open("wb") as file:
            matrices = {}
            for name in reader.matrices:
                matrix = reader.matrix(name)
                matrices[name] = _store_matrix(stage, file, name, matrix, accelerator)
                advance(matrix.codes.size)
            tensors = {}
            for name, shape in reader.tensors.items():
                offset, digest = file.tell(), sha256()
                for chunk in reader.chunks(name):
                    data = chunk.astype("<f4", copy=False).tobytes()
                    digest.update(data)
                    file.write(data)
                    advance(chunk.size)
                tensors[name] = StoredTensor(shape=shape, offset=offset, sha256=digest.hexdigest())
        manifest = Manifest(
            accelerator=accelerator, decoder=reader.config, matrices=matrices, tensors=tensors
        )
        (stage / MANIFEST).write_bytes(manifest.to_bytes())


def _store_matrix(
    folder: Path, tensors: BinaryIO, name: str, matrix: TernaryMatrix, accelerator: AcceleratorConfig
) -> StoredMatrix:
    """Write a matrix's images, and its scales where they are a grid."""
    slices = accelerator.k_slices(matrix.k)
    images = []
    for index, part in enumerate(slices):
        image = WeightImage.pack(accelerator, matrix.codes[:, part])
        file = f"{name}{f'.{index}' if len(slices) > 1 else ''}{SUFFIX}"
        (folder / file).write_bytes(image.to_bytes())
        images.append(
            StoredImage(
                file=file,
                k_start=part.start,
                k_stop=part.stop,
                bytes=len(image.beats),
                sha256=sha256(image.beats).hexdigest(),
            )
        )
    scale: float | StoredTensor
    if isinstance(matrix.scale, np.ndarray):
        data = matrix.scale.astype("<f4", copy=False).tobytes()
        scale = StoredTensor(shape=matrix.scale.shape, offset=tensors.tell(), sha256=sha256(data).hexdigest())
        tensors.write(data)
    else:
        scale = float(matrix.scale)
    return StoredMatrix(
        m=matrix.m, k=matrix.k, scale=scale, scale_kind=matrix.scale_kind, images=tuple(images)
    )


class ImageReader(CheckpointReader):
    """Read a bundle back: images are unpacked and their checksums, row biases and padding checked as they are read.

    Attributes
    ----------
    accelerator
        What the images are packed for.

    Raises
    ------
    InputError
        No bundle, another version, a file that is missing or of another size than the manifest says.
    """

    def __init__(self, folder: str | Path) -> None:
        self.path = Path(folder)
        try:
            self._manifest = read_manifest(_manifest_bytes(self.path))
            check_fits(self._manifest.accelerator, matrix_shapes(self._manifest.decoder))
        except InputError as error:
            raise InputError(f"{self.path}: {error}") from error
        self.config = self._manifest.decoder
        self.accelerator = self._manifest.accelerator
        self.format = f"accelerator image bundle, packing {self.accelerator.packing}"
        self._verified: set[str] = set()
        self._check_size(TENSORS, self._manifest.tensor_bytes)
        for name, matrix in self._manifest.matrices.items():
            for image in matrix.images:
                wanted = image_bytes(self.accelerator, matrix.m, image.k_stop - image.k_start)
                if image.bytes != wanted:
                    raise InputError(
                        f"{self.path}: {name}: {image.file} has {image.bytes} bytes of beats; "
                        f"its shape takes {wanted}"
                    )
                self._check_size(image.file, HEADER_BYTES + image.bytes)

    def scale_form(self, name: str) -> ScaleForm:
        """Return what a matrix's scale is, without reading the matrix."""
        stored = self._manifest.matrices[name]
        return stored.scale_kind, stored.scale.shape if isinstance(stored.scale, StoredTensor) else None

    def _check_size(self, name: str, wanted: int) -> None:
        path = self.path / name
        if not path.is_file():
            raise InputError(f"{self.path}: the file {name} is missing")
        if path.stat().st_size != wanted:
            raise InputError(
                f"{self.path}: {name} has {path.stat().st_size} bytes; the manifest says {wanted}"
            )

    def _matrix(self, name: str) -> TernaryMatrix:
        stored = self._manifest.matrices[name]
        codes = np.empty((stored.m, stored.k), dtype=np.int8)
        for image in stored.images:
            codes[:, image.k_start : image.k_stop] = self._unpack(stored, image)
        scale: np.float32 | npt.NDArray[np.float32]
        if isinstance(stored.scale, StoredTensor):
            self._verify(f"{name}: scales", stored.scale)
            scale = self._numbers(stored.scale.offset, stored.scale.shape)
        else:
            scale = np.float32(stored.scale)
        return TernaryMatrix(codes=codes, scale=scale, scale_kind=stored.scale_kind)

    def _unpack(self, stored: StoredMatrix, image: StoredImage) -> npt.NDArray[np.int8]:
        read = WeightImage.from_bytes(self._bytes(image.file, 0, HEADER_BYTES + image.bytes))
        found = sha256(read.beats).hexdigest()
        if found != image.sha256:
            raise InputError(
                f"the SHA-256 of {image.file} is {found}, not {image.sha256} as the manifest says"
            )
        k = image.k_stop - image.k_start
        if (read.m, read.k) != (stored.m, k):
            raise InputError(f"{image.file} holds {read.m} x {read.k}; the manifest says {stored.m} x {k}")
        return read.unpack(self.accelerator)

    def _rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        stored = self._manifest.tensors[name]
        self._verify(name, stored)
        row = stored.bytes // stored.shape[0]
        return self._numbers(stored.offset + start * row, (stop - start, *stored.shape[1:]))

    def _verify(self, name: str, stored: StoredTensor) -> None:
        """Check a tensor's checksum once, some of its bytes at a time."""
        if name in self._verified:
            return
        digest = sha256()
        for start in range(0, stored.bytes, CHUNK):
            digest.update(self._bytes(TENSORS, stored.offset + start, min(CHUNK, stored.bytes - start)))
        if digest.hexdigest() != stored.sha256:
            raise InputError(f"the SHA-256 is {digest.hexdigest()}, not {stored.sha256} as the manifest says")
        self._verified.add(name)

    def _numbers(self, offset: int, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        data = self._bytes(TENSORS, offset, prod(shape) * 4)
        return np.frombuffer(data, dtype="<f4").reshape(shape).astype(np.float32, copy=False)

    def _bytes(self, name: str, offset: int, count: int) -> bytes:
        try:
            with (self.path / name).open("rb") as file:
                file.seek(offset)
                data = file.read(count)
        except OSError as error:
            raise InputError(f"cannot read {name}: {error.strerror or error}") from error
        if len(data) != count:
            raise InputError(f"{name} ends at byte {offset + len(data)}; {offset + count} are needed")
        return data


def _manifest_bytes(folder: Path) -> bytes:
    try:
        with (folder / MANIFEST).open("rb") as file:
            data = file.read(_MANIFEST_BYTES + 1)
    except OSError as error:
        raise InputError(f"cannot read {folder / MANIFEST}: {error.strerror or error}") from error
    if len(data) > _MANIFEST_BYTES:
        raise InputError(f"the manifest is longer than {_MANIFEST_BYTES} bytes")
    return data
