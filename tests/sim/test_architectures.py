"""Decoders of other architectures than the shipped model's, against the same thing written out in float64."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.ternary import TernaryMatrix
from tritforge.sim.decoder import Decoder, silu
from tritforge.sim.golden import bit_linear, dequantise, quantise_activations, ternary_matmul

Doubles = npt.NDArray[np.float64]

LLAMA = DecoderConfig(
    vocab_size=50,
    hidden_size=40,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=32,
    hidden_act="silu",
    sub_norms=False,
    tie_word_embeddings=False,
    head_dim=12,
)
VARIANTS = {
    "llama": LLAMA,
    "1bitLLM": replace(LLAMA, sub_norms=True),
    "norms before every matrix": replace(LLAMA, linear_norms=True, tie_word_embeddings=True),
    "squared ReLU without sub-norms": replace(LLAMA, hidden_act="relu2"),
}


def make(config: DecoderConfig, *, kind: str = "multiplier", grid: tuple[int, int] = (1, 1)) -> Checkpoint:
    """Return a random model."""
    random = np.random.default_rng(11)
    return Checkpoint(
        config=config,
        matrices={
            name: TernaryMatrix(
                codes=random.integers(-1, 2, shape).astype(np.int8),
                scale=(0.02 + 0.01 * random.random(grid)).astype(np.float32),
                scale_kind=kind,
            )
            for name, shape in matrix_shapes(config).items()
        },
        tensors={
            name: (1 + 0.3 * random.standard_normal(shape)).astype(np.float32)
            if len(shape) == 1
            else random.standard_normal(shape).astype(np.float32)
            for name, shape in tensor_shapes(config).items()
        },
    )


class Written:
    """The decoder in float64, token by token, on float weights; activations are quantised as the contract says."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.config = checkpoint.config

    def norm(self, name: str, x: Doubles, eps: float) -> Doubles:
        gain = self.checkpoint.tensors[f"{name}.weight"].astype(float)
        scaled: Doubles = gain * x / np.sqrt((x * x).mean() + eps)
        return scaled

    def linear(self, name: str, x: Doubles) -> Doubles:
        if self.config.linear_norms:
            x = self.norm(f"{name}.rms_norm", x, self.config.linear_norm_eps)
        matrix = self.checkpoint.matrices[name]
        grid = matrix.scale_grid.astype(float)
        steps = grid if matrix.scale_kind == "multiplier" else 1 / grid
        weights = matrix.codes * np.kron(steps, np.ones((matrix.m // len(grid), matrix.k // grid.shape[1])))
        codes, s_x = quantise_activations(x.astype(np.float32)[None])
        y: Doubles = weights @ (codes[0] / float(s_x[0, 0]))
        return y

    def layer(self, prefix: str, tokens: Doubles) -> Doubles:
        config = self.config
        eps, width = config.rms_norm_eps, config.head_dim
        past: dict[str, list[Doubles]] = {"k": [], "v": []}
        result = []
        for position, x in enumerate(tokens):
            normed = self.norm(f"{prefix}.input_layernorm", x, eps)
            made = {part: self.linear(f"{prefix}.self_attn.{part}_proj", normed) for part in "qkv"}
            heads = {part: value.reshape(-1, width) for part, value in made.items()}
            angles = position * config.rope_theta ** (-2 * np.arange(width // 2) / width)
            for part in "qk":
                low, high = heads[part][:, : width // 2], heads[part][:, width // 2 :]
                heads[part] = np.concatenate(
                    (
                        low * np.cos(angles) - high * np.sin(angles),
                        high * np.cos(angles) + low * np.sin(angles),
                    ),
                    axis=1,
                )
            for part in "kv":
                past[part].append(heads[part])
            mixed = []
            for head in range(config.num_attention_heads):
                group = head // (config.num_attention_heads // config.num_key_value_heads)
                scores = np.array([key[group] @ heads["q"][head] for key in past["k"]]) / width**0.5
                shares = np.exp(scores - scores.max())
                mixed.append(np.array([value[group] for value in past["v"]]).T @ shares / shares.sum())
            joined = np.concatenate(mixed)
            if config.sub_norms:
                joined = self.norm(f"{prefix}.self_attn.attn_sub_norm", joined, eps)
            hidden = x + self.linear(f"{prefix}.self_attn.o_proj", joined)
            normed = self.norm(f"{prefix}.post_attention_layernorm", hidden, eps)
            gate = self.linear(f"{prefix}.mlp.gate_proj", normed)
            gate = gate / (1 + np.exp(-gate)) if config.hidden_act == "silu" else np.maximum(gate, 0) ** 2
            inner = gate * self.linear(f"{prefix}.mlp.up_proj", normed)
            if config.sub_norms:
                inner = self.norm(f"{prefix}.mlp.ffn_sub_norm", inner, eps)
            result.append(hidden + self.linear(f"{prefix}.mlp.down_proj", inner))
        return np.array(result)

    def forward(self, tokens: npt.NDArray[np.int64]) -> Doubles:
        table = self.checkpoint.tensors["model.embed_tokens.weight"].astype(float)
        head = table if self.config.tie_word_embeddings else self.checkpoint.tensors["lm_head.weight"]
        x = table[tokens]
        for index in range(self.config.num_hidden_layers):
            x = self.layer(f"model.layers.{index}", x)
        return np.array([head @ self.norm("model.norm", token, self.config.rms_norm_eps) for token in x])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("kind", "grid"), [("multiplier", (1, 1)), ("divisor", (4, 1)), ("multiplier", (2, 4))]
)
def test_the_decoder_is_the_one_written_out(variant: str, kind: str, grid: tuple[int, int]) -> None:
    """A code that rounds to its neighbour moves a logit by about 1 %; a part left out, by all of it."""
    checkpoint = make(VARIANTS[variant], kind=kind, grid=grid)
    tokens = np.random.default_rng(2).integers(0, 50, 7)
    expected = Written(checkpoint).forward(tokens)
    found = Decoder(checkpoint).forward(tokens)
    assert found.dtype == np.float32
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()
    assert np.median(np.abs(found - expected)) < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_tokens_one_by_one_are_tokens_at_once(variant: str) -> None:
    decoder = Decoder(make(VARIANTS[variant], grid=(1, 2)))
    tokens = np.random.default_rng(3).integers(0, 50, 6)
    cache = decoder.new_cache()
    one_by_one = np.concatenate([decoder.forward(tokens[i : i + 1], cache) for i in range(6)])
    np.testing.assert_allclose(one_by_one, decoder.forward(tokens), rtol=0, atol=2e-3)


def test_blocks_of_columns_enter_the_product_as_tokens_of_their_own() -> None:
    random = np.random.default_rng(4)
    scales = np.array([[1, 2], [3, 4]], dtype=np.float32)
    matrix = TernaryMatrix(codes=random.integers(-1, 2, (6, 8)).astype(np.int8), scale=scales)
    x = random.standard_normal((3, 8), dtype=np.float32)
    seen = []

    def matmul(codes_x: npt.NDArray[np.int8]) -> npt.NDArray[np.int32]:
        seen.append(codes_x)
        return ternary_matmul(codes_x, matrix.codes)

    found = bit_linear(x, matrix, matmul)
    codes, s_x = quantise_activations(x)
    assert seen[0].shape == (6, 8)
    assert np.array_equal(seen[0].reshape(3, 2, 8).sum(axis=1), codes)
    assert not seen[0][::2, 4:].any()
    assert not seen[0][1::2, :4].any()
    halves = [
        dequantise(ternary_matmul(codes[:, part], matrix.codes[:, part]), np.repeat(scales[:, at], 3), s_x)
        for at, part in enumerate((slice(0, 4), slice(4, 8)))
    ]
    assert np.array_equal(found, halves[0] + halves[1])


def test_a_multiplier_is_multiplied_with() -> None:
    """In its own order: the reciprocal as a divisor gives other last bits for some of these sums."""
    sums, s_x = np.arange(-99, 100, dtype=np.int32)[None], np.array([[3.7]], dtype=np.float32)
    found = dequantise(sums, np.float32(0.1), s_x, "multiplier")
    assert np.array_equal(found, sums.astype(np.float32) / np.float32(3.7) * np.float32(0.1))
    assert not np.array_equal(found, dequantise(sums, np.float32(1) / np.float32(0.1), s_x))


def test_silu_is_zero_far_below_and_the_identity_far_above() -> None:
    x = np.array([-200, -1, 0, 1, 200], dtype=np.float32)
    np.testing.assert_allclose(silu(x), [0, -0.26894143, 0, 0.7310586, 200], rtol=1e-6)


def test_a_model_of_a_long_context_takes_memory_for_the_text_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A configuration may promise 2**32 - 1 positions, whose tables no machine holds."""
    monkeypatch.setattr("tritforge.sim.decoder._FIRST_POSITIONS", 4)
    tokens = np.random.default_rng(5).integers(0, 50, 11)
    expected = Decoder(make(LLAMA)).forward(tokens)
    endless = make(replace(LLAMA, max_position_embeddings=2**32 - 1))
    decoder = Decoder(endless)
    assert np.array_equal(decoder.forward(tokens), expected)
    cache = decoder.new_cache()
    first = decoder.forward(tokens[:3], cache)
    rest = [decoder.forward(tokens[i : i + 1], cache) for i in range(3, 11)]
    np.testing.assert_allclose(np.concatenate([first, *rest]), expected, rtol=0, atol=2e-3)
