"""Small models in GGUF files that the project's writer did not write."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from gguf_files import Tensor, gguf_bytes
from small_models import random_model

from tritforge.models.checkpoint import Checkpoint
from tritforge.models.config import DecoderConfig
from tritforge.models.gguf_blocks import pack_blocks, pack_i2s
from tritforge.models.gguf_names import tensor_name, to_pairs, write_config
from tritforge.models.gguf_reader import GgufReader

TINY = DecoderConfig(
    vocab_size=7,
    hidden_size=256,
    intermediate_size=256,
    num_hidden_layers=1,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=16,
)
LLAMA = replace(TINY, hidden_act="silu", sub_norms=False, tie_word_embeddings=False)
Entries = dict[str, Any]


def floats(values: npt.NDArray[np.float32], name: str) -> Tensor:
    return Tensor(name=name, type=0, shape=values.shape, data=values.astype("<f4").tobytes())


def file_of(
    model: Checkpoint,
    architecture: str,
    *,
    kind: str = "TQ2_0",
    entries: Mapping[str, Any] | None = None,
    replaced: Sequence[Tensor] = (),
    without: Sequence[str] = (),
) -> bytes:
    """Return a file of a model, without the project's writer.

    `entries` are added, or left out where they are None; tensors are replaced or added by name, or left out.
    """
    tensors = {tensor_name(name): floats(values, tensor_name(name)) for name, values in model.tensors.items()}
    for name, matrix in model.matrices.items():
        codes = matrix.codes
        if architecture == "llama" and name.endswith(("q_proj", "k_proj")):
            config = model.config
            heads = config.num_attention_heads if name.endswith("q_proj") else config.num_key_value_heads
            codes = to_pairs(codes, heads)
        assert isinstance(matrix.scale, np.float32)
        scales = np.full((matrix.m, matrix.k // 256), matrix.scale)
        stored = f"{tensor_name(name)}.weight"
        match kind:
            case "TQ1_0" | "TQ2_0":
                data, number = pack_blocks(kind, codes, scales).tobytes(), 34 if kind == "TQ1_0" else 35
            case "F16":
                data, number = (codes * matrix.scale).astype("<f2").tobytes(), 1
            case _:
                data, number = pack_i2s(kind, codes, matrix.scale).tobytes(), 36
        tensors[stored] = Tensor(name=stored, type=number, shape=codes.shape, data=data)
    tensors |= {tensor.name: tensor for tensor in replaced}
    for name in without:
        del tensors[name]
    all_entries: Entries = {"general.architecture": architecture} | write_config(model.config, architecture)
    all_entries |= entries or {}
    all_entries = {key: value for key, value in all_entries.items() if value is not None}
    return gguf_bytes(all_entries, list(tensors.values()))


def assert_same(reader: GgufReader, model: Checkpoint) -> None:
    assert reader.config == model.config
    for name, matrix in model.matrices.items():
        found = reader.matrix(name)
        assert np.array_equal(found.codes, matrix.codes), name
        assert np.array_equal(found.scale_grid, matrix.scale_grid), name
        assert found.scale_kind == "multiplier"
    for name, tensor in model.tensors.items():
        assert np.array_equal(reader.tensor(name), tensor), name


def model_of(config: DecoderConfig, seed: int = 0) -> Checkpoint:
    return random_model(config, seed=seed, scale_kind="multiplier")
