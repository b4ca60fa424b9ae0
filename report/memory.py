"""What lies where: the stores on the chip by their sizes in the configuration, and the model in memory."""

from dataclasses import dataclass
from typing import Any

from tritforge.accel.codes import TRIT_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.memory import (
    PACKINGS,
    kv_bytes_per_token,
    sequence_bytes,
    weight_memory,
    workspace_bytes,
)
from tritforge.report.subject import Subject
from tritforge.report.workload import stores


@dataclass(frozen=True, kw_only=True)
class Store:
    """A memory or a set of registers on the chip.

    Attributes
    ----------
    name, made_of
        What it is called, and how its size comes about.
    bits
        Its size.
    """

    name: str
    made_of: str
    bits: int

    def to_dict(self) -> dict[str, Any]:
        """Return the figures by name."""
        return {"name": self.name, "made_of": self.made_of, "bits": self.bits}


def on_chip(config: AcceleratorConfig) -> list[Store]:
    """Return the stores that the configuration sizes: the core's, and those of a top with weights on the chip."""
    c = config
    found = [
        Store(
            name="activation buffer",
            made_of=f"{c.buffer_words:,} words of {c.lanes} activations of {c.act_container_bits} bits",
            bits=c.buffer_words * c.lanes * c.act_container_bits,
        ),
        Store(
            name="next tile of weights",
            made_of=f"{c.rows} x {c.lanes} trits of {TRIT_BITS} bits, decoded",
            bits=c.tile_bits,
        ),
        Store(
            name="tile at work",
            made_of=f"{c.rows} x {c.lanes} trits of {TRIT_BITS} bits, decoded",
            bits=c.tile_bits,
        ),
        Store(
            name="accumulators",
            made_of=f"{c.rows} rows x {c.tokens_max} tokens x {c.acc_bits} bits",
            bits=c.rows * c.tokens_max * c.acc_bits,
        ),
        Store(
            name="result queue",
            made_of=f"{c.result_entries} entries of {c.rows} sums of {c.acc_bits} bits",
            bits=c.result_entries * c.rows * c.acc_bits,
        ),
    ]
    sizes = stores(config)
    if sizes is not None:
        found += [
            Store(name=f"{name} store", made_of="block RAM that the host fills or reads", bits=8 * size)
            for name, size in (
                ("weight", sizes.weights),
                ("activation", sizes.activations),
                ("result", sizes.results),
            )
        ]
    return found


def model_memory(subject: Subject) -> dict[str, Any]:
    """Return the bytes of a model: parameters in every packing, cache, workspace, and what the shape does not say."""
    shape = subject.shape
    packings = {name: weight_memory(shape, name) for name in PACKINGS}
    chosen = packings[subject.config.packing]
    return {
        "packing": subject.config.packing,
        "packings": {
            name: {
                "bits_per_weight": PACKINGS[name].bits_per_weight,
                "matrices": memory.matrices,
                "scales": memory.scales,
                "embedding": memory.embedding,
                "lm_head": memory.lm_head,
                "norms_and_router": memory.norms + memory.router,
                "total": memory.total,
            }
            for name, memory in packings.items()
        },
        "kv_bits": subject.kv_bits,
        "kv_bytes_per_token": kv_bytes_per_token(shape, subject.kv_bits),
        "cache": {
            str(context): sequence_bytes(shape, context, subject.kv_bits) for context in contexts(subject)
        },
        "workspace": {
            "decode": workspace_bytes(shape, 1),
            "prefill block": workspace_bytes(shape, subject.block),
        },
        "left_out": list(chosen.left_out),
    }


def contexts(subject: Subject) -> list[int]:
    """Return contexts to show the cache at: the page's, and powers of four up to what the model has positions for."""
    most = subject.shape.max_position_embeddings or 32768
    return sorted({subject.context, *(1 << power for power in range(9, 20, 2) if 1 << power <= most), most})
