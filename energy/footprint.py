"""One model at a glance: parameters, memory in every packing, and what a device makes of it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from tritforge.energy.devices import Device
from tritforge.energy.memory import (
    KV_BITS,
    PACKINGS,
    WeightMemory,
    kv_bytes_per_token,
    largest_batch,
    sequence_bytes,
    weight_memory,
    workspace_bytes,
)
from tritforge.energy.roofline import Step, decode_step, prefill_step
from tritforge.models.shapes import ModelShape


def parameters(shape: ModelShape) -> dict[str, int | None]:
    """Count the parameters of a shape; None where its source does not say enough.

    Returns
    -------
    dict
        ``linear``: matrices of all layers, every expert counted; ``active``: those that a token meets;
        ``ternary``: those that are ternary; ``embedding``: one table; ``lm_head``: 0 where it is that table;
        ``total``: all of them, norms and routers left out.
    """
    embedding = None if shape.vocab_size is None else shape.embedding_parameters
    head = 0 if shape.tie_word_embeddings else embedding
    if shape.tie_word_embeddings is None:
        head = None
    ternary = None if shape.lm_head_ternary and embedding is None else shape.ternary_parameters
    total = None if embedding is None or head is None else shape.linear_parameters + embedding + head
    return {
        "linear": shape.linear_parameters,
        "active": shape.active_linear_parameters,
        "ternary": ternary,
        "embedding": embedding,
        "lm_head": head,
        "total": total,
    }


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What a device makes of a model in one packing.

    Attributes
    ----------
    packing
        Packing of the matrices.
    largest_batch
        Sequences of the context that fit its memory; 0 where one does not.
    steps
        Prefill and decode of one sequence, and decode of the largest batch; none where nothing fits.
    """

    packing: str
    largest_batch: int
    steps: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """Memory of a model, and its use of a device.

    Attributes
    ----------
    shape
        The model.
    context, kv_bits
        Positions of a sequence, and width of cached keys and values.
    weights
        Memory of the parameters in every packing.
    device
        What it runs on, if anything.
    usage
        One entry for each packing, where there is a device.
    """

    shape: ModelShape
    context: int
    kv_bits: int
    weights: tuple[WeightMemory, ...]
    device: Device | None
    usage: tuple[Usage, ...]

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the shape does not say enough about."""
        return self.weights[0].left_out

    def to_dict(self) -> dict[str, Any]:
        """Return the footprint with plain values; sizes in bytes."""
        shape = self.shape
        return {
            "model": shape.name,
            "shape": asdict(shape),
            "parameters": parameters(shape),
            "context": self.context,
            "kv_bits": self.kv_bits,
            "memory": [asdict(memory) | {"total": memory.total} for memory in self.weights],
            "kv_bytes_per_token": {str(bits): kv_bytes_per_token(shape, bits) for bits in KV_BITS},
            "sequence_bytes": sequence_bytes(shape, self.context, self.kv_bits),
            "workspace_bytes": {
                "decode": workspace_bytes(shape, 1),
                "prefill": workspace_bytes(shape, self.context),
            },
            "left_out": list(self.left_out),
            "device": None if self.device is None else asdict(self.device),
            "usage": [
                {
                    "packing": use.packing,
                    "largest_batch": use.largest_batch,
                    "steps": [step.to_dict() for step in use.steps],
                }
                for use in self.usage
            ],
        }


def _use(shape: ModelShape, packing: str, device: Device, context: int, kv_bits: int) -> Usage:
    batch = largest_batch(shape, packing, memory_bytes=device.memory_bytes, context=context, kv_bits=kv_bits)
    if batch == 0:
        return Usage(packing=packing, largest_batch=0, steps=())
    return Usage(
        packing=packing,
        largest_batch=batch,
        steps=(
            prefill_step(shape, packing, device, context=context, kv_bits=kv_bits),
            decode_step(shape, packing, device, context=context, kv_bits=kv_bits),
            decode_step(shape, packing, device, batch=batch, context=context, kv_bits=kv_bits),
        ),
    )


def footprint(
    shape: ModelShape,
    *,
    context: int = 2048,
    kv_bits: int = 16,
    device: Device | None = None,
    packings: Sequence[str] = tuple(PACKINGS),
) -> Footprint:
    """Work out the memory of a model and, for a device, batches and tokens per second.

    Parameters
    ----------
    shape
        The model.
    context
        Positions of a sequence.
    kv_bits
        Width of cached keys and values: one of `KV_BITS`.
    device
        Device to run on.
    packings
        Packings to compare.

    Raises
    ------
    InputError
        A packing or a width that is not known, or a context that is not positive.
    """
    sequence_bytes(shape, context, kv_bits)
    return Footprint(
        shape=shape,
        context=context,
        kv_bits=kv_bits,
        weights=tuple(weight_memory(shape, packing) for packing in packings),
        device=device,
        usage=()
        if device is None
        else tuple(_use(shape, packing, device, context, kv_bits) for packing in packings),
    )
