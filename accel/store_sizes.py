"""How much the link top holds on the chip: weights, activations and results; no dependency, as for `config`."""

from dataclasses import dataclass

from tritforge.accel.codes import RESULT_WORD_BITS
from tritforge.accel.config import AcceleratorConfig
from tritforge.accel.errors import InputError

#: Words of the host link are 32 bits; so are the narrowest ports that the stores feed.
WORD_BITS = 32
WORD_BYTES = WORD_BITS // 8


def _power_of_two(value: int) -> int:
    """Return the least power of two that is not below a value."""
    return 1 << max(0, value - 1).bit_length()


@dataclass(frozen=True, kw_only=True)
class StoreSizes:
    """Sizes of the stores in bytes, each a power of two.

    Attributes
    ----------
    weights
        `AcceleratorConfig.weight_store_bytes`.
    activations
        The largest job's: `tokens_max` tokens of `k_max` activations.
    results
        Those of `tokens_max` tokens and as many rows as fill the weight store, at two bits a weight, when K is a
        quarter of `k_max`; at least one row tile, at most `m_max` rows.
    """

    weights: int
    activations: int
    results: int

    @classmethod
    def of(cls, config: AcceleratorConfig) -> "StoreSizes":
        """Return the sizes for a configuration.

        Raises
        ------
        InputError
            A configuration that cannot stand behind the host link: with sparse jobs or partial sums, with weights in
            a stream, or with a port that is narrower than the link's words.
        """
        if config.sparse:
            raise InputError("sparse is true; the link top runs dense jobs: use the stream core for columns")
        if config.partial_sums:
            raise InputError(
                "partial_sums is true; the link top has no port for them: leave them out, the host adds the pieces"
            )
        if config.weight_store != "bram":
            raise InputError(
                f"weight_store is {config.weight_store!r}; the link top keeps its weights on the chip: use bram"
            )
        for name in ("weight_port_bits", "act_port_bits"):
            value = getattr(config, name)
            if value < WORD_BITS:
                raise InputError(f"{name} is {value}; the link top takes {WORD_BITS} or more")
        beats = config.tokens_max * -(-config.k_max // config.acts_per_beat)
        rows = max(config.rows, min(config.m_max, 16 * config.weight_store_bytes // config.k_max))
        result_bytes = config.tokens_max * rows * RESULT_WORD_BITS // 8
        return cls(
            weights=config.weight_store_bytes,
            activations=_power_of_two(beats) * config.act_port_bits // 8,
            results=max(_power_of_two(result_bytes), config.result_port_bits // 8),
        )
