"""Time of a step on a device: the longer of moving its bytes and doing its operations.

A bound from below on time, so from above on tokens per second: caches hold the activations, traffic and
arithmetic overlap in full, and nothing else takes time.

    seconds = max(bytes / bandwidth, operations / rate)

A step reads the weights that its tokens meet once, and the cache of every sequence; it writes what it adds to
the caches. With a mixture of experts, a batch of B tokens meets ``E (1 - (1 - k/E)**B)`` of E experts of which
each token takes k (tokens choose independently and evenly).
"""

from dataclasses import dataclass
from typing import Any

from tritforge.energy.devices import Device
from tritforge.energy.memory import (
    check_positive,
    find_packing,
    kv_bytes_per_token,
    sequence_bytes,
    weight_memory,
)
from tritforge.models.shapes import Linear, ModelShape

_FLOAT_BYTES = 2

#: What limits a step.
BANDWIDTH = "memory bandwidth"
RATE = "arithmetic rate"


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a batch on a device.

    Attributes
    ----------
    phase
        ``prefill``: all positions of the batch at once; ``decode``: one token of each sequence.
    packing, kv_bits
        How weights and caches lie in memory.
    batch, context
        Sequences, and positions of each (in decode the new token's included).
    tokens
        Tokens that the step takes in.
    traffic_bytes, operations
        Bytes moved, and additions and multiplications done.
    device
        What it runs on.
    """

    phase: str
    packing: str
    kv_bits: int
    batch: int
    context: int
    tokens: int
    traffic_bytes: float
    operations: float
    device: Device

    @property
    def bandwidth_seconds(self) -> float:
        """Time to move the bytes."""
        return self.traffic_bytes / (self.device.bandwidth_gbs * 1e9)

    @property
    def rate_seconds(self) -> float:
        """Time to do the operations."""
        return self.operations / (self.device.rate_tops * 1e12)

    @property
    def seconds(self) -> float:
        """Time of the step."""
        return max(self.bandwidth_seconds, self.rate_seconds)

    @property
    def bound(self) -> str:
        """What limits the step: `BANDWIDTH` or `RATE`."""
        return BANDWIDTH if self.bandwidth_seconds >= self.rate_seconds else RATE

    @property
    def tokens_per_second(self) -> float:
        """Tokens of all sequences together."""
        return self.tokens / self.seconds

    def to_dict(self) -> dict[str, Any]:
        """Return the step with plain values."""
        return {
            "phase": self.phase,
            "packing": self.packing,
            "kv_bits": self.kv_bits,
            "batch": self.batch,
            "context": self.context,
            "tokens": self.tokens,
            "traffic_bytes": self.traffic_bytes,
            "operations": self.operations,
            "seconds": self.seconds,
            "tokens_per_second": self.tokens_per_second,
            "bound": self.bound,
        }


def _touched(linear: Linear, tokens: int) -> float:
    """Expect how many copies of a matrix a number of tokens meet."""
    if linear.active == linear.resident:
        return linear.resident
    return linear.resident * (1 - (1 - linear.active / linear.resident) ** tokens)


def weight_traffic(shape: ModelShape, packing: str, tokens: int) -> float:
    """Bytes of the parameters that a number of tokens meet, each read once; of the embedding, their rows."""
    check_positive("tokens", tokens)
    chosen, memory = find_packing(packing), weight_memory(shape, packing)
    matrices: float = shape.num_hidden_layers * sum(
        _touched(linear, tokens)
        * (
            chosen.matrix_bytes(linear.inputs, linear.outputs)
            + chosen.scale_bytes(linear.inputs, linear.outputs)
        )
        for linear in shape.linears
    )
    # A head that is tied is the embedding table, read as a matrix.
    head = memory.embedding if shape.tie_word_embeddings else memory.lm_head
    rows = tokens * shape.hidden_size * _FLOAT_BYTES if shape.vocab_size is not None else 0
    return matrices + memory.norms + memory.router + head + rows


def _kept(shape: ModelShape, batch: int, context: int, kv_bits: int, *, decode: bool) -> float:
    """Bytes that sequences keep between steps, moved in one.

    Every position of a cache is moved once: read, or written when it is new. The state of a recurrence is
    written, and in decoding read before.
    """
    if shape.mixer == "attention":
        return batch * context * kv_bytes_per_token(shape, kv_bits)
    return batch * sequence_bytes(shape, context, kv_bits) * (2 if decode else 1)


def _operations(shape: ModelShape, tokens: int, heads: int, pairs: float) -> float:
    """Count operations: tokens through the matrices, some through the LM head, and pairs of positions."""
    experts = shape.num_local_experts
    router = shape.num_hidden_layers * shape.hidden_size * experts if experts > 1 else 0
    products: float = tokens * (shape.active_linear_parameters + router)
    products += heads * (shape.embedding_parameters if shape.vocab_size is not None else 0)
    if shape.mixer == "attention":
        products += 2 * pairs * shape.num_hidden_layers * shape.num_attention_heads * shape.head_dim
    return 2.0 * products


def _step(
    phase: str, shape: ModelShape, packing: str, device: Device, batch: int, context: int, kv_bits: int
) -> Step:
    check_positive("batch", batch)
    check_positive("context", context)
    decode = phase == "decode"
    tokens = batch if decode else batch * context
    pairs = batch * context if decode else batch * context * (context + 1) / 2
    kept = _kept(shape, batch, context, kv_bits, decode=decode)
    return Step(
        phase=phase,
        packing=packing,
        kv_bits=kv_bits,
        batch=batch,
        context=context,
        tokens=tokens,
        traffic_bytes=weight_traffic(shape, packing, tokens) + kept,
        operations=_operations(shape, tokens, batch, pairs),
        device=device,
    )


def decode_step(
    shape: ModelShape, packing: str, device: Device, *, batch: int = 1, context: int = 1, kv_bits: int = 16
) -> Step:
    """Decode one token of each sequence of a batch.

    Raises
    ------
    InputError
        No such packing or width of the cache, or a batch or context that is not positive.
    """
    return _step("decode", shape, packing, device, batch, context, kv_bits)


def prefill_step(
    shape: ModelShape, packing: str, device: Device, *, batch: int = 1, context: int = 1, kv_bits: int = 16
) -> Step:
    """Take in a batch of prompts, with a causal mask; the LM head sees the last position of each.

    Raises
    ------
    InputError
        No such packing or width of the cache, or a batch or context that is not positive.
    """
    return _step("prefill", shape, packing, device, batch, context, kv_bits)
