"""The ternary decoder in NumPy, its ternary products replaceable by those of the hardware.

Everything but the ternary product is float32, as the references in Hugging Face's ``transformers`` have it:
``bitnet`` (sub-norms, squared ReLU), and ``llama`` with ternary matrices.
"""

from collections.abc import Mapping
from functools import partial
from typing import Protocol

import numpy as np
import numpy.typing as npt

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.attention import Floats, LayerCache, attend, rotary_tables, rotate
from tritforge.sim.golden import bit_linear, ternary_matmul


class TernaryProduct(Protocol):
    """What computes ``codes_x @ codes_w.T`` for a named matrix: the golden model or the hardware."""

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        """Return the exact sums, int32 of shape (T, M), of activation codes, int8 of shape (T, K).

        ``name`` is the matrix's full name, such as ``model.layers.0.self_attn.q_proj``.
        """


class GoldenProduct:
    """The golden model's ternary product for all matrices of a checkpoint.

    Parameters
    ----------
    checkpoint
        The model.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        return ternary_matmul(codes_x, self._checkpoint.matrices[name].codes)


def rms_norm(x: Floats, gain: Floats, eps: float) -> Floats:
    """Root-mean-square norm over the last axis, times the gain.

    The mean is summed in float64 and rounded once, so that it does not depend on the order of additions,
    which differs between processors; measured against the reference, fewer codes fall on the other side of a
    half than with a float32 sum.
    """
    mean = np.mean(np.square(x), axis=-1, keepdims=True, dtype=np.float64)
    mean_square = np.asarray(mean, dtype=np.float32)
    scaled: Floats = x * (np.float32(1) / np.sqrt(mean_square + np.float32(eps)))
    return gain * scaled


def squared_relu(x: Floats) -> Floats:
    """``max(x, 0)**2``."""
    return np.square(np.maximum(x, np.float32(0)))


def silu(x: Floats) -> Floats:
    """``x / (1 + exp(-x))``."""
    with np.errstate(over="ignore"):  # exp(-x) is infinite, and the quotient the 0 that it ought to be
        exponentials: Floats = np.exp(-x)
    return x / (np.float32(1) + exponentials)


#: Rows that the rotary tables have at first.
_FIRST_POSITIONS = 512
#: By `tritforge.models.config.ACTIVATIONS`.
_ACTIVATIONS = {"relu2": squared_relu, "silu": silu}


class Decoder:
    """A decoder that runs text: ``embed``, then ``layer`` for each layer, then ``logits``; or ``forward``.

    Hidden states have the shape (..., T, hidden_size): T tokens, any leading axes for independent texts of
    the same length.

    Parameters
    ----------
    checkpoint
        The model.
    matmul
        The ternary product; the golden model's unless given.
    """

    def __init__(self, checkpoint: Checkpoint, matmul: TernaryProduct | None = None) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config
        self.matmul: TernaryProduct = GoldenProduct(checkpoint) if matmul is None else matmul
        self._tensors: Mapping[str, Floats] = checkpoint.tensors
        positions = min(_FIRST_POSITIONS, self.config.max_position_embeddings)
        self._cosines, self._sines = rotary_tables(self.config, positions)
        self._activation = _ACTIVATIONS[self.config.hidden_act]

    def new_cache(self) -> list[LayerCache]:
        """Return an empty cache for each layer."""
        capacity = self.config.max_position_embeddings
        return [LayerCache(capacity) for _ in range(self.config.num_hidden_layers)]

    def embed(self, tokens: npt.NDArray[np.int64]) -> Floats:
        """Look tokens up.

        Parameters
        ----------
        tokens : ndarray of int64, shape (..., T)
            Token ids.

        Raises
        ------
        InputError
            A token outside the vocabulary, or no token.
        """
        if tokens.size == 0:
            raise InputError("there are no tokens to run; give a text of one character or more")
        if tokens.min() < 0 or tokens.max() >= self.config.vocab_size:
            wrong = tokens[(tokens < 0) | (tokens >= self.config.vocab_size)][0]
            raise InputError(f"token {wrong} is outside 0 to {self.config.vocab_size - 1}")
        return self._tensors["model.embed_tokens.weight"][tokens]

    def linear(self, name: str, x: Floats) -> Floats:
        """Run one BitLinear: x of shape (..., K) to (..., M), ``name`` as in the checkpoint."""
        if self.config.linear_norms:
            x = rms_norm(x, self._tensors[f"{name}.rms_norm.weight"], self.config.linear_norm_eps)
        y = bit_linear(x.reshape(-1, x.shape[-1]), self.checkpoint.matrices[name], partial(self.matmul, name))
        return y.reshape(*x.shape[:-1], -1)

    def layer(self, index: int, hidden: Floats, cache: LayerCache | None = None) -> Floats:
        """Run one decoder layer.

        Parameters
        ----------
        index
            Number of the layer, from 0.
        hidden : ndarray of float32, shape (..., T, hidden_size)
            Its input.
        cache
            This layer's cache; the tokens then follow those that it holds.

        Returns
        -------
        ndarray of float32, shape (..., T, hidden_size)

        Raises
        ------
        InputError
            No such layer, or positions beyond ``max_position_embeddings``.
        """
        if not 0 <= index < self.config.num_hidden_layers:
            last = self.config.num_hidden_layers - 1
            raise InputError(f"layer {index} does not exist: the model has layers 0 to {last}")
        prefix = f"model.layers.{index}"
        hidden = hidden + self._attention(prefix, self._norm(f"{prefix}.input_layernorm", hidden), cache)
        return hidden + self._mlp(prefix, self._norm(f"{prefix}.post_attention_layernorm", hidden))

    def logits(self, hidden: Floats) -> Floats:
        """Apply the final norm and the LM head, which may be the embedding: shape (..., T, vocab_size)."""
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        return self._norm("model.norm", hidden) @ self._tensors[f"{head}.weight"].T

    def forward(self, tokens: npt.NDArray[np.int64], cache: list[LayerCache] | None = None) -> Floats:
        """Run tokens through the whole model.

        Parameters
        ----------
        tokens : ndarray of int64, shape (..., T)
            Token ids.
        cache
            Of `new_cache`; the tokens then follow those that it holds.

        Returns
        -------
        ndarray of float32, shape (..., T, vocab_size)
            Logits of each position's next token.
        """
        hidden = self.embed(tokens)
        for index in range(self.config.num_hidden_layers):
            hidden = self.layer(index, hidden, None if cache is None else cache[index])
        return self.logits(hidden)

    def _norm(self, name: str, x: Floats) -> Floats:
        return rms_norm(x, self._tensors[f"{name}.weight"], self.config.rms_norm_eps)

    def _angles(self, start: int, end: int) -> tuple[Floats, Floats]:
        """Return rows of the rotary tables, which grow as text does: few texts have a model's longest length."""
        if end > len(self._cosines):
            positions = min(2 * end, self.config.max_position_embeddings)
            self._cosines, self._sines = rotary_tables(self.config, positions)
        return self._cosines[start:end], self._sines[start:end]

    def _attention(self, prefix: str, x: Floats, cache: LayerCache | None) -> Floats:
        start = 0 if cache is None else cache.length
        end = start + x.shape[-2]
        if end > self.config.max_position_embeddings:
            raise InputError(
                f"{end} positions are over the model's {self.config.max_position_embeddings}; "
                "use a shorter text"
            )

        def heads(projection: str) -> Floats:
            y = self.linear(f"{prefix}.self_attn.{projection}", x)
            return np.swapaxes(y.reshape(*y.shape[:-1], -1, self.config.head_dim), -2, -3)

        cosines, sines = self._angles(start, end)
        queries = rotate(heads("q_proj"), cosines, sines)
        keys = rotate(heads("k_proj"), cosines, sines)
        values = heads("v_proj")
        if cache is not None:
            keys, values = cache.extend(keys, values)
        mixed = np.swapaxes(attend(queries, keys, values), -2, -3).reshape(*x.shape[:-1], -1)
        if self.config.sub_norms:
            mixed = self._norm(f"{prefix}.self_attn.attn_sub_norm", mixed)
        return self.linear(f"{prefix}.self_attn.o_proj", mixed)

    def _mlp(self, prefix: str, x: Floats) -> Floats:
        gate = self._activation(self.linear(f"{prefix}.mlp.gate_proj", x))
        product = gate * self.linear(f"{prefix}.mlp.up_proj", x)
        if self.config.sub_norms:
            product = self._norm(f"{prefix}.mlp.ffn_sub_norm", product)
        return self.linear(f"{prefix}.mlp.down_proj", product)
