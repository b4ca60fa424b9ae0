"""Ternary checkpoints in the form of Hugging Face: a folder of ``config.json`` and safetensors files.

What each ``linear_class`` stores, and which of two inverse conventions its scale follows, is in
`tritforge.models.hf_decoder.Storage`. Source: ``transformers.integrations.bitnet``.
"""

import re
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import matrix_shapes, tensor_shapes
from tritforge.models.hf_config import CONFIG
from tritforge.models.hf_decoder import Storage, read_decoder
from tritforge.models.hf_shards import Shards, within
from tritforge.models.hf_weights import codes_of_units, packed_rows, ternary_from_floats, unpack_quarters
from tritforge.models.reader import CheckpointReader, ScaleForm
from tritforge.models.safetensors_file import FLOATS, TensorPlace
from tritforge.models.strict_json import shown
from tritforge.models.ternary import TernaryMatrix, quantise_weights

#: Tensors that old versions of transformers saved, and that follow from the configuration.
_DERIVED = re.compile(r"model\.(layers\.\d+\.self_attn\.)?rotary_emb\.inv_freq")
_EMBEDDING, _HEAD = "model.embed_tokens.weight", "lm_head.weight"


class HuggingFaceReader(CheckpointReader):
    """A checkpoint as ``save_pretrained`` of transformers writes it.

    Parameters
    ----------
    folder
        With ``config.json`` and ``model.safetensors``, or an index and shards.
    quantise
        Quantise a model of float weights that are not ternary, by absmean. It is another model then.

    Raises
    ------
    InputError
        A file is missing or damaged, the model is of a kind that cannot be run, a tensor is missing, unknown or of
        another type or shape than it must be, or the weights are not ternary and `quantise` is not set.
    """

    def __init__(self, folder: Path, *, quantise: bool = False) -> None:
        self.path = folder
        if not folder.is_dir():
            raise InputError(f"cannot read {folder}: it is not a folder; give the one that holds {CONFIG}")
        within(folder, CONFIG)
        stored = read_decoder(folder)
        self.config = stored.config
        self._storage = stored.storage
        self._renamed = stored.renamed
        self._made_ternary = False
        self._shards = Shards(folder)
        try:
            self._check_tensors()
            self._recognise(quantise=quantise)
            self.notes = (*stored.notes, *self._storage_notes(), *self._tensor_notes())
        except BaseException:
            self.close()
            raise
        files = "one file" if self._shards.count == 1 else f"{self._shards.count} files"
        self.format = f"Hugging Face safetensors in {files}: {self._storage.value}"

    def close(self) -> None:
        """Close the files."""
        self._shards.close()

    def scale_form(self, name: str) -> ScaleForm:
        """Return what a matrix's scale is; only a grid must be looked for in the weights."""
        if self._storage is Storage.FLOATS:
            return super().scale_form(name)
        return "multiplier" if self._storage is Storage.MULTIPLIER else "divisor", None

    def stored_name(self, name: str) -> str:
        """Return what the files call a tensor."""
        for ours, theirs in self._renamed.items():
            name = name.replace(f".{ours}.", f".{theirs}.")
        return name

    def _matrix(self, name: str) -> TernaryMatrix:
        weight = f"{name}.weight"
        if self._storage in (Storage.PACKED_DIVISOR, Storage.MULTIPLIER):
            if self._shards.tensors[weight].dtype == "U8":
                codes = unpack_quarters(self._shards.read(weight), self.matrices[name][0])
            else:
                codes = codes_of_units(self._weights(weight))
            scale = self._shards.rows(f"{name}.weight_scale").reshape(-1)[0]
            return TernaryMatrix(codes=codes, scale=np.float32(scale), scale_kind=self.scale_form(name)[0])
        values = self._weights(weight)
        if self._storage is Storage.MASTERS:
            return quantise_weights(values)
        matrix = ternary_from_floats(values)
        if matrix is None:
            raise InputError(
                "the weights are not ternary, though those of the first matrix are; it is damaged"
            )
        return matrix

    def _weights(self, name: str) -> npt.NDArray[np.float32]:
        """Read a matrix of floats, and refuse what is no number before anything is computed with it."""
        values = self._shards.rows(name)
        finite = np.isfinite(values)
        if not finite.all():
            row, column = map(int, np.argwhere(~finite)[0])
            raise InputError(
                f"the weight at row {row}, column {column} is {values[row, column]}; a finite one is needed"
            )
        return values

    def _rows(self, name: str, start: int, stop: int) -> npt.NDArray[np.float32]:
        return self._shards.rows(self.stored_name(name), start, stop)

    def _check_tensors(self) -> None:
        found = self._shards.tensors
        if self.config.num_hidden_layers > len(found):
            # Before anything is counted by layers: their number comes from the file.
            raise InputError(
                f"{self.path}: num_hidden_layers is {self.config.num_hidden_layers}; "
                f"there are {len(found)} tensors"
            )
        wanted: set[str] = set()
        for name, shape in matrix_shapes(self.config).items():
            self._check_matrix(name, shape)
            wanted.add(f"{name}.weight")
            if self._storage in (Storage.PACKED_DIVISOR, Storage.MULTIPLIER):
                self._check(f"{name}.weight_scale", FLOATS, ((1,), ()))
                wanted.add(f"{name}.weight_scale")
        for name, tensor_shape in tensor_shapes(self.config).items():
            self._check(self.stored_name(name), FLOATS, (tensor_shape,))
            wanted.add(self.stored_name(name))
        if self.config.tie_word_embeddings and _HEAD in found:
            self._check(_HEAD, FLOATS, (tensor_shapes(self.config)[_EMBEDDING],))
            self._check_tied()
            wanted.add(_HEAD)
        unknown = sorted(name for name in found if name not in wanted and not _DERIVED.fullmatch(name))
        if unknown:
            raise InputError(
                f"{self.path}: tensor {shown(unknown[0])} does not belong to a model of this configuration "
                f"({len(unknown)} such)"
            )

    def _check_matrix(self, name: str, shape: tuple[int, int]) -> None:
        weight = f"{name}.weight"
        packed = (packed_rows(shape[0]), shape[1])
        match self._storage:
            case Storage.PACKED_DIVISOR:
                self._check(weight, ("U8",), (packed,))
            case Storage.MULTIPLIER if self._place(weight).dtype == "U8":
                self._check(weight, ("U8",), (packed,))
            case _:
                self._check(weight, FLOATS, (shape,))

    def _place(self, name: str) -> TensorPlace:
        place = self._shards.tensors.get(name)
        if place is None:
            raise InputError(f"{self.path}: tensor {name} is missing")
        return place

    def _check(self, name: str, types: tuple[str, ...], shapes: tuple[tuple[int, ...], ...]) -> None:
        place = self._place(name)
        if place.dtype not in types or place.shape not in shapes:
            raise InputError(
                f"{self.path}: {name} is {place.dtype} of shape {place.shape}; "
                f"{' or '.join(types)} of shape {shapes[0]} is needed"
            )

    def _check_tied(self) -> None:
        """Refuse a head that is said to be the embedding and is not."""
        vocabulary, hidden = tensor_shapes(self.config)[_EMBEDDING]
        step = max(1, (1 << 22) // hidden)
        for start in range(0, vocabulary, step):
            stop = min(start + step, vocabulary)
            head, embedding = (self._shards.rows(name, start, stop) for name in (_HEAD, _EMBEDDING))
            if not np.array_equal(head, embedding):
                raise InputError(
                    f"{self.path}: tie_word_embeddings is true, but {_HEAD} is not {_EMBEDDING}; set it to false"
                )

    def _recognise(self, *, quantise: bool) -> None:
        """Tell by the first matrix whether a float model is ternary, and refuse what was not asked for."""
        if self._storage is Storage.FLOATS and not self._is_ternary():
            if not quantise:
                raise InputError(
                    f"{self.path}: the weights are floats that are not ternary ({next(iter(self.matrices))}), and "
                    "the configuration names no quantisation; to make a ternary model of them all the same: "
                    "tritforge model convert --quantise"
                )
            self._storage = Storage.MASTERS
            self._made_ternary = True
        elif quantise and self._storage is not Storage.MASTERS:
            raise InputError(f"{self.path}: its weights are ternary already; leave out to quantise them")

    def _is_ternary(self) -> bool:
        first = next(iter(self.matrices))
        try:
            return ternary_from_floats(self._weights(f"{first}.weight")) is not None
        except InputError as error:
            raise InputError(f"{self.path}: {first}: {error}") from error

    def _storage_notes(self) -> list[str]:
        if self._made_ternary:
            return [
                "The weights are not those of a ternary model: they were quantised by absmean, as was asked for."
            ]
        if self._storage is Storage.FLOATS:
            return [
                "The weights are floats of three values, whose magnitudes were taken as scales, exactly.",
                "The file does not say how activations are quantised; they are INT8 here, a scale for each token.",
            ]
        if self._storage is Storage.MASTERS:
            return ["Master weights were quantised by absmean, the mean taken in float64."]
        return []

    def _tensor_notes(self) -> list[str]:
        types = sorted({self._place(self.stored_name(name)).dtype for name in self.tensors} - {"F32"})
        notes = []
        if types:
            notes.append(f"Tensors of type {' and '.join(types)} are computed with in float32.")
        if self.config.tie_word_embeddings and _HEAD in self._shards.tensors:
            notes.append(f"{_HEAD} equals the embedding, which it is tied to, and is left out.")
        return notes
