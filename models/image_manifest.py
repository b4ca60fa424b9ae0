"""What an image bundle says of itself: configuration, decoder, and place and checksum of everything it holds.

`tritforge.models.image_manifest_reader` reads it back.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from math import prod
from typing import Any

from tritforge.accel.config import AcceleratorConfig
from tritforge.models.config import DecoderConfig

#: What the manifest's first field says, and the version of the others.
FORMAT = "tritforge image bundle"
FORMAT_VERSION = 1
_FLOAT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One weight image: the inputs `k_start` to `k_stop` of a matrix.

    Attributes
    ----------
    file
        Its name, in the folder of the manifest.
    k_start, k_stop
        Columns of the matrix that it holds.
    bytes
        Length of its beats: what the accelerator reads. The file's header comes before them.
    sha256
        Of the beats, row biases included.
    """

    file: str
    k_start: int
    k_stop: int
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class StoredTensor:
    """Float32 numbers, little-endian, in the bundle's file of tensors.

    Attributes
    ----------
    shape
        Of the tensor.
    offset
        Of its first byte in the file.
    sha256
        Of its bytes.
    """

    shape: tuple[int, ...]
    offset: int
    sha256: str

    @property
    def bytes(self) -> int:
        """Length in the file."""
        return prod(self.shape) * _FLOAT_BYTES


@dataclass(frozen=True, kw_only=True)
class StoredMatrix:
    """A ternary matrix.

    Attributes
    ----------
    m, k
        Outputs and inputs.
    scale
        The one scale, or the place of a grid of them.
    scale_kind
        As of `tritforge.models.ternary.TernaryMatrix`.
    images
        One for each slice of K that a job runs, in order.
    """

    m: int
    k: int
    scale: float | StoredTensor
    scale_kind: str
    images: tuple[StoredImage, ...]


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """All that a bundle holds, by name.

    Attributes
    ----------
    accelerator
        What the images are packed for.
    decoder
        The model's shapes.
    matrices, tensors
        In the order of `matrix_shapes` and `tensor_shapes`.
    """

    accelerator: AcceleratorConfig
    decoder: DecoderConfig
    matrices: Mapping[str, StoredMatrix]
    tensors: Mapping[str, StoredTensor]

    @property
    def stored_tensors(self) -> list[StoredTensor]:
        """What the file of tensors holds, in its order: grids of scales, and the tensors."""
        grids = [matrix.scale for matrix in self.matrices.values() if isinstance(matrix.scale, StoredTensor)]
        return [*grids, *self.tensors.values()]

    @property
    def tensor_bytes(self) -> int:
        """Length of the file of tensors."""
        return sum(tensor.bytes for tensor in self.stored_tensors)

    def to_bytes(self) -> bytes:
        """Content of the file; equal bundles give equal bytes."""
        matrices = []
        for name, matrix in self.matrices.items():
            grid = isinstance(matrix.scale, StoredTensor)
            head = {"name": name, "m": matrix.m, "k": matrix.k, "packing": self.accelerator.packing}
            scale = asdict(matrix.scale) if isinstance(matrix.scale, StoredTensor) else matrix.scale
            images = [asdict(image) for image in matrix.images]
            matrices.append(
                head
                | {"scale_kind": matrix.scale_kind, ("scales" if grid else "scale"): scale, "images": images}
            )
        document = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "accelerator": self.accelerator.to_dict(),
            "decoder": self.decoder.to_dict(),
            "matrices": matrices,
            "tensors": [{"name": name, **asdict(tensor)} for name, tensor in self.tensors.items()],
        }
        return (json.dumps(document | {"sha256": checksum(document)}, indent=1) + "\n").encode()


def checksum(document: Mapping[str, Any]) -> str:
    """Return the SHA-256 of a manifest's other fields, sorted by name."""
    return sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
