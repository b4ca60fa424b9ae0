"""Memory of a model: weights by packing, embeddings, norms, caches of keys and values, and workspace.

All sizes are bytes; a GB is 1e9 of them. Matrices are packed one by one, each rounded up to whole words of its
packing and to whole bytes. What a shape does not say is left out and named, not guessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, log2

from tritforge.accel.codes import WORDS
from tritforge.accel.errors import InputError
from tritforge.models.shapes import ModelShape

#: Widths that cached keys and values may have.
KV_BITS = (16, 8, 4, 3)

_FLOAT_BYTES = 2
_LOGIT_BYTES = 4


@dataclass(frozen=True, kw_only=True)
class Packing:
    """How the weights of a matrix lie in memory.

    Attributes
    ----------
    name
        Name that it is chosen by.
    weights, bits
        Weights in one word, and bits of the word.
    scale_bits
        Width of one scale.
    weights_per_scale
        Weights that share a scale: 0 for a matrix with one scale, -1 for one per output, None for none.
    """

    name: str
    weights: int
    bits: float
    scale_bits: int = 0
    weights_per_scale: int | None = None

    @property
    def bits_per_weight(self) -> float:
        """Bits of a weight, scales left out."""
        return self.bits / self.weights

    def matrix_bytes(self, inputs: int, outputs: int) -> int:
        """Bytes of the packed weights of one matrix, scales left out."""
        return ceil(ceil(inputs * outputs / self.weights) * self.bits / 8)

    def scale_bytes(self, inputs: int, outputs: int) -> int:
        """Bytes of the scales of one matrix."""
        if self.weights_per_scale is None:
            return 0
        if self.weights_per_scale == 0:
            scales = 1
        elif self.weights_per_scale < 0:
            scales = outputs
        else:
            scales = outputs * ceil(inputs / self.weights_per_scale)
        return ceil(scales * self.scale_bits / 8)


#: Packings by name: ``i2``, ``s5`` and ``s8`` are those of the accelerator, ``ideal`` the information in a trit.
PACKINGS: Mapping[str, Packing] = {
    packing.name: packing
    for packing in (
        Packing(name="fp16", weights=1, bits=16),
        Packing(name="int8", weights=1, bits=8, scale_bits=16, weights_per_scale=-1),
        Packing(name="int4", weights=2, bits=8, scale_bits=16, weights_per_scale=128),
        *(
            Packing(name=name, weights=trits, bits=bits, scale_bits=32, weights_per_scale=0)
            for name, (trits, bits) in WORDS.items()
        ),
        Packing(name="ideal", weights=1, bits=log2(3)),
    )
}


def find_packing(name: str) -> Packing:
    """Look up a packing.

    Raises
    ------
    InputError
        There is none of that name.
    """
    if name not in PACKINGS:
        raise InputError(f"packing is {name!r}; it must be one of {', '.join(PACKINGS)}")
    return PACKINGS[name]


@dataclass(frozen=True, kw_only=True)
class WeightMemory:
    """Bytes that a model's parameters take.

    Attributes
    ----------
    packing
        Packing of the matrices.
    matrices, scales
        The matrices of all layers, every expert counted, and their scales.
    embedding, lm_head
        The table in FP16, and the head where it is not that table; 0 where it is, or is not known.
    norms, router
        FP16 vectors of the norms, and FP16 matrices that choose experts.
    left_out
        Parts that the shape does not say enough about.
    """

    packing: str
    matrices: int
    scales: int
    embedding: int
    lm_head: int
    norms: int
    router: int
    left_out: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Sum of the parts."""
        return self.matrices + self.scales + self.embedding + self.lm_head + self.norms + self.router


def _norm_parameters(shape: ModelShape) -> int:
    sub_norms = shape.intermediate_size + shape.hidden_size if shape.sub_norms else 0
    return shape.num_hidden_layers * (2 * shape.hidden_size + sub_norms) + shape.hidden_size


def weight_memory(shape: ModelShape, packing: str) -> WeightMemory:
    """Bytes of a model's parameters in one packing.

    An LM head that the shape does not say to be tied is counted as a table of its own, and named in
    `left_out` as ``tie_word_embeddings`` being unknown; without a vocabulary both tables are left out.

    Raises
    ------
    InputError
        No such packing.
    """
    chosen = find_packing(packing)
    layers = shape.num_hidden_layers
    left_out: list[str] = []
    embedding = lm_head = 0
    if shape.vocab_size is None:
        left_out.append("embedding and LM head: vocab_size is not known")
    else:
        embedding = shape.embedding_parameters * _FLOAT_BYTES
        if shape.tie_word_embeddings is None:
            left_out.append("whether embedding and LM head are tied is not known: counted as two tables")
        if shape.tie_word_embeddings is not True:
            head = (shape.hidden_size, shape.vocab_size)
            lm_head = chosen.matrix_bytes(*head) if shape.lm_head_ternary else embedding
    experts = shape.num_local_experts
    return WeightMemory(
        packing=packing,
        matrices=layers * sum(m.resident * chosen.matrix_bytes(m.inputs, m.outputs) for m in shape.linears),
        scales=layers * sum(m.resident * chosen.scale_bytes(m.inputs, m.outputs) for m in shape.linears),
        embedding=embedding,
        lm_head=lm_head,
        norms=_norm_parameters(shape) * _FLOAT_BYTES,
        router=layers * experts * shape.hidden_size * _FLOAT_BYTES if experts > 1 else 0,
        left_out=tuple(left_out),
    )


def kv_bytes_per_token(shape: ModelShape, kv_bits: int = 16) -> float:
    """Bytes that one position adds to the cache of one sequence; 0 for a recurrence.

    Raises
    ------
    InputError
        A width that is not one of `KV_BITS`.
    """
    if kv_bits not in KV_BITS:
        raise InputError(f"kv_bits is {kv_bits}; it must be one of {', '.join(map(str, KV_BITS))}")
    if shape.mixer != "attention":
        return 0.0
    return 2 * shape.num_hidden_layers * shape.num_key_value_heads * shape.head_dim * kv_bits / 8


def sequence_bytes(shape: ModelShape, context: int, kv_bits: int = 16) -> int:
    """Bytes that one sequence keeps between steps: its cache, or the FP16 state of a recurrence."""
    check_positive("context", context)
    if shape.mixer != "attention":
        return shape.num_hidden_layers * shape.hidden_size * _FLOAT_BYTES
    return ceil(context * kv_bytes_per_token(shape, kv_bits))


def workspace_bytes(shape: ModelShape, tokens: int) -> int:
    """Bytes of the FP16 activations of a layer while tokens pass through it, and of a token's FP32 logits.

    The residual stream and its normed copy, with the larger of queries, keys, values and attention output on
    one side and the active experts' intermediate values on the other. Scores are not held (a fused kernel).
    """
    check_positive("tokens", tokens)
    q, kv = (heads * shape.head_dim for heads in (shape.num_attention_heads, shape.num_key_value_heads))
    mixing = 4 * shape.hidden_size if shape.mixer != "attention" else 2 * q + 2 * kv
    network = shape.num_experts_per_tok * shape.intermediate_size * (2 if shape.ffn_gated else 1)
    logits = _LOGIT_BYTES * (shape.vocab_size or 0)
    return tokens * (2 * shape.hidden_size + max(mixing, network)) * _FLOAT_BYTES + logits


def check_positive(name: str, value: int) -> None:
    """Reject what is not a whole number of 1 or more.

    Raises
    ------
    InputError
        It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} is {value!r}; a whole number of 1 or more is needed")


def total_bytes(
    shape: ModelShape, packing: str, *, batch: int = 1, context: int = 1, kv_bits: int = 16
) -> int:
    """Bytes to decode a batch of sequences of one length: parameters, caches and workspace."""
    check_positive("batch", batch)
    weights = weight_memory(shape, packing).total
    per_sequence = sequence_bytes(shape, context, kv_bits) + workspace_bytes(shape, 1)
    return weights + batch * per_sequence


def largest_batch(
    shape: ModelShape, packing: str, *, memory_bytes: float, context: int, kv_bits: int = 16
) -> int:
    """Return the largest batch of sequences of one length that fits a memory in decoding.

    Prompts may be taken in one after the other, so that a prefill needs no more than its own workspace.

    Returns
    -------
    int
        Sequences; 0 where one does not fit.
    """
    weights = weight_memory(shape, packing).total
    per_sequence = sequence_bytes(shape, context, kv_bits) + workspace_bytes(shape, 1)
    return max(0, int((memory_bytes - weights) // per_sequence))
