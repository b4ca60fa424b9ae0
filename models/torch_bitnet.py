"""BitNet b1.58 decoder in PyTorch, for training only (the golden model is NumPy, in `tritforge.sim`).

Modules and tensors carry the names of Hugging Face's ``bitnet`` architecture, so a state dictionary of
this network is a checkpoint of that one.
"""

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tritforge.models.config import DecoderConfig


class _Round(torch.autograd.Function):
    """Round half to even forwards, identity backwards: the straight-through estimator."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.round()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:  # noqa: ARG004
        return grads[0]


class _RoundTrit(torch.autograd.Function):
    """Round and clip to -1, 0, +1 forwards, identity backwards."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.round().clamp_(-1, 1)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:  # noqa: ARG004
        return grads[0]


def weight_scale(weight: Tensor) -> Tensor:
    """Absmean scale 1 / mean(abs(W)), the mean in float64 rounded once to float32."""
    return 1.0 / weight.detach().abs().mean(dtype=torch.float64).clamp_(min=1e-5).float()


class BitLinear(nn.Module):
    """Ternary linear layer without bias: codes times codes, then one division.

    The product runs on integer codes, so that a matrix unit working in bfloat16 with float32
    accumulation still computes it exactly.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        peak = x.detach().abs().amax(dim=-1, keepdim=True)
        s_x = (1.0 / peak.clamp_(min=1e-5)) * 127.0
        s_w = weight_scale(self.weight)
        x_codes = cast("Tensor", _Round.apply(x * s_x))
        w_codes = cast("Tensor", _RoundTrit.apply(self.weight * s_w))
        return functional.linear(x_codes, w_codes) / (s_w * s_x)


class FloatLinear(nn.Module):
    """The same layer in full precision, for the twin that the ternary model is compared with."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)


class RMSNorm(nn.Module):
    """Root-mean-square norm with a learned gain."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def rotary_tables(config: DecoderConfig, length: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of rotary position embedding, shape (length, head_dim)."""
    exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float32) / config.head_dim
    angles = torch.outer(torch.arange(length, dtype=torch.float32), 1.0 / config.rope_theta**exponents)
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    low, high = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-high, low), dim=-1) * sin


class Attention(nn.Module):
    """Grouped-query attention with a norm before the output projection."""

    def __init__(self, config: DecoderConfig, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.config = config
        width = config.num_attention_heads * config.head_dim
        kv_width = config.num_key_value_heads * config.head_dim
        self.q_proj = linear(config.hidden_size, width)
        self.k_proj = linear(config.hidden_size, kv_width)
        self.v_proj = linear(config.hidden_size, kv_width)
        self.o_proj = linear(width, config.hidden_size)
        self.attn_sub_norm = RMSNorm(width, config.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        def heads(y: Tensor) -> Tensor:
            return y.unflatten(-1, (-1, self.config.head_dim)).transpose(1, 2)

        query, key = (_rotate(heads(p(x)), cos, sin) for p in (self.q_proj, self.k_proj))
        mixed = functional.scaled_dot_product_attention(
            query, key, heads(self.v_proj(x)), is_causal=True, enable_gqa=True
        )
        return cast("Tensor", self.o_proj(self.attn_sub_norm(mixed.transpose(1, 2).flatten(2))))


class MLP(nn.Module):
    """Feed-forward network gated by the squared ReLU."""

    def __init__(self, config: DecoderConfig, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.gate_proj = linear(config.hidden_size, config.intermediate_size)
        self.up_proj = linear(config.hidden_size, config.intermediate_size)
        self.down_proj = linear(config.intermediate_size, config.hidden_size)
        self.ffn_sub_norm = RMSNorm(config.intermediate_size, config.rms_norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        gate = functional.relu(self.gate_proj(x)).square()
        return cast("Tensor", self.down_proj(self.ffn_sub_norm(gate * self.up_proj(x))))


class DecoderLayer(nn.Module):
    """Pre-norm attention and feed-forward blocks, each with a residual connection."""

    def __init__(self, config: DecoderConfig, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.self_attn = Attention(config, linear)
        self.mlp = MLP(config, linear)
        self.input_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)
        self.post_attention_layernorm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return cast("Tensor", x + self.mlp(self.post_attention_layernorm(x)))


class Decoder(nn.Module):
    """Embedding, decoder layers and final norm."""

    def __init__(self, config: DecoderConfig, linear: Callable[[int, int], nn.Module]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(DecoderLayer(config, linear) for _ in range(config.num_hidden_layers))
        self.norm = RMSNorm(config.hidden_size, config.rms_norm_eps)

    def forward(self, tokens: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        x: Tensor = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x, cos, sin)
        return cast("Tensor", self.norm(x))


class CausalLM(nn.Module):
    """Language model with the embedding as its output matrix.

    Parameters
    ----------
    config
        The shapes.
    ternary
        False trains the full-precision twin.
    """

    def __init__(self, config: DecoderConfig, *, ternary: bool = True) -> None:
        super().__init__()
        self.model = Decoder(config, BitLinear if ternary else FloatLinear)
        cos, sin = rotary_tables(config, config.max_position_embeddings)
        self.cos = nn.Buffer(cos, persistent=False)
        self.sin = nn.Buffer(sin, persistent=False)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                nn.init.normal_(parameter, std=0.02 if "embed" in name else parameter.shape[1] ** -0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits, shape (batch, length, vocabulary), of tokens, shape (batch, length)."""
        length = tokens.shape[1]
        hidden = self.model(tokens, self.cos[:length], self.sin[:length])
        return functional.linear(hidden, self.model.embed_tokens.weight)
