"""Random models of every architecture that checkpoints come in, small enough for tests by the hundred."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.ternary import TernaryMatrix

_BITNET = DecoderConfig(
    vocab_size=40,
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=64,
)
_PLAIN = replace(_BITNET, hidden_act="silu", sub_norms=False)

#: Configurations by what they stand for; K is a multiple of 256, the block of GGUF's ternary types.
ARCHITECTURES: Mapping[str, DecoderConfig] = {
    "bitnet": _BITNET,
    "untied bitnet": replace(_BITNET, tie_word_embeddings=False, rope_theta=500000.0),
    "llama": replace(_PLAIN, tie_word_embeddings=False),
    "wide heads": replace(_PLAIN, head_dim=128, rms_norm_eps=1e-6),
    "linear norms": replace(_PLAIN, linear_norms=True, tie_word_embeddings=False),
}


def random_model(
    config: DecoderConfig, *, seed: int = 0, scale_kind: str = "divisor", grid: tuple[int, int] = (1, 1)
) -> Checkpoint:
    """Return a model of random codes, scales and gains; `grid` scales to a matrix.

    Scales are float16 and tensors bfloat16 numbers, which every format holds.
    """
    random = np.random.default_rng(seed)
    matrices = {}
    for name, shape in matrix_shapes(config).items():
        scales = (2 ** random.uniform(-6, -4, grid)).astype(np.float16).astype(np.float32)
        if scale_kind == "divisor":
            scales = (1 / scales).astype(np.float16).astype(np.float32)
        scale = scales if scales.size > 1 else np.float32(scales[0, 0])
        codes = random.choice(np.array([-1, 0, 1], dtype=np.int8), shape, p=(0.3, 0.45, 0.25))
        matrices[name] = TernaryMatrix(codes=codes, scale=scale, scale_kind=scale_kind)
    tensors = {}
    for name, sizes in tensor_shapes(config).items():
        values = random.standard_normal(sizes, dtype=np.float32)
        if len(sizes) == 1:
            values = np.float32(1) + values / np.float32(8)
        tensors[name] = (values.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return Checkpoint(config=config, matrices=matrices, tensors=tensors)
