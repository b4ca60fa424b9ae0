"""The decoder in NumPy."""

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.errors import InputError
from tritforge.models.checkpoint import Checkpoint
from tritforge.sim.decoder import Decoder, GoldenProduct, rms_norm
from tritforge.sim.golden import bit_linear, quantise_activations

Codes = npt.NDArray[np.int8]
Sums = npt.NDArray[np.int32]
Doubles = npt.NDArray[np.float64]


@pytest.fixture
def tokens() -> npt.NDArray[np.int64]:
    return np.random.default_rng(5).integers(0, 128, 24)


class Recorder:
    """The golden product, remembering what came in."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.golden = GoldenProduct(checkpoint)
        self.calls: list[tuple[str, Codes]] = []

    def __call__(self, name: str, codes_x: Codes, /) -> Sums:
        self.calls.append((name, codes_x.copy()))
        return self.golden(name, codes_x)


def test_every_matrix_is_asked_for_once_in_order_with_two_axes(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    recorder = Recorder(tiny_checkpoint)
    Decoder(tiny_checkpoint, recorder).forward(tokens.reshape(3, 8))
    assert [name for name, _ in recorder.calls] == list(tiny_checkpoint.matrices)
    for name, codes in recorder.calls:
        assert codes.dtype == np.int8
        assert codes.shape == (24, tiny_checkpoint.matrices[name].k)


def test_a_product_that_errs_in_one_word_changes_what_follows(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    """An error of the hardware must reach the matrices behind it, or it could hide."""
    golden = GoldenProduct(tiny_checkpoint)

    def wrong(name: str, codes_x: Codes, /) -> Sums:
        sums = golden(name, codes_x)
        if name == "model.layers.0.self_attn.v_proj":
            sums[0, 0] += 64
        return sums

    right = Decoder(tiny_checkpoint).forward(tokens)
    assert (Decoder(tiny_checkpoint, wrong).forward(tokens) != right).any(axis=-1).all()


def test_forward_is_embedding_layers_and_logits(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    decoder = Decoder(tiny_checkpoint)
    hidden = decoder.embed(tokens)
    assert np.array_equal(hidden, tiny_checkpoint.tensors["model.embed_tokens.weight"][tokens])
    for index in range(tiny_checkpoint.config.num_hidden_layers):
        hidden = decoder.layer(index, hidden)
        assert hidden.shape == (24, 40)
        assert hidden.dtype == np.float32
    logits = decoder.logits(hidden)
    assert logits.dtype == np.float32
    assert np.array_equal(logits, decoder.forward(tokens))


def test_linear_is_the_golden_bitlinear(tiny_checkpoint: Checkpoint) -> None:
    x = np.random.default_rng(1).standard_normal((2, 3, 48), dtype=np.float32)
    name = "model.layers.1.mlp.down_proj"
    found = Decoder(tiny_checkpoint).linear(name, x)
    assert np.array_equal(found.reshape(6, 40), bit_linear(x.reshape(6, 48), tiny_checkpoint.matrices[name]))


class Written:
    """The decoder written out in float64, one token and one head at a time; keeps its codes by matrix."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.codes: dict[str, Codes] = {}

    def linear(self, name: str, x: Doubles) -> Doubles:
        matrix = self.checkpoint.matrices[name]
        self.codes[name], s_x = quantise_activations(x.astype(np.float32))
        sums = self.codes[name].astype(int) @ matrix.codes.T.astype(int)
        y: Doubles = sums / (float(matrix.scale) * s_x.astype(float))
        return y

    def norm(self, name: str, x: Doubles) -> Doubles:
        scale = 1 / np.sqrt((x**2).mean(axis=-1, keepdims=True) + self.checkpoint.config.rms_norm_eps)
        scaled: Doubles = self.checkpoint.tensors[f"{name}.weight"] * x * scale
        return scaled

    def turn(self, x: Doubles) -> Doubles:
        """Rotate heads, shape (T, heads, width), as complex numbers."""
        half = x.shape[-1] // 2
        frequency = self.checkpoint.config.rope_theta ** (-np.arange(half) / half)
        turned = (x[..., :half] + 1j * x[..., half:]) * np.exp(
            1j * np.arange(len(x))[:, None, None] * frequency
        )
        return np.concatenate((turned.real, turned.imag), axis=-1)

    def attention(self, prefix: str, x: Doubles) -> Doubles:
        config = self.checkpoint.config
        query, key, value = (
            self.linear(f"{prefix}.{p}_proj", x).reshape(len(x), -1, config.head_dim) for p in "qkv"
        )
        query, key = self.turn(query), self.turn(key)
        mixed = np.zeros_like(query)
        for token, head in np.ndindex(*query.shape[:2]):
            group = head * config.num_key_value_heads // config.num_attention_heads
            scores = np.exp(key[: token + 1, group] @ query[token, head] / config.head_dim**0.5)
            mixed[token, head] = scores @ value[: token + 1, group] / scores.sum()
        return self.linear(
            f"{prefix}.o_proj", self.norm(f"{prefix}.attn_sub_norm", mixed.reshape(len(x), -1))
        )

    def forward(self, tokens: npt.NDArray[np.int64]) -> Doubles:
        x = self.checkpoint.tensors["model.embed_tokens.weight"][tokens].astype(float)
        for index in range(self.checkpoint.config.num_hidden_layers):
            prefix = f"model.layers.{index}"
            x = x + self.attention(f"{prefix}.self_attn", self.norm(f"{prefix}.input_layernorm", x))
            y = self.norm(f"{prefix}.post_attention_layernorm", x)
            gate, up = (self.linear(f"{prefix}.mlp.{name}_proj", y) for name in ("gate", "up"))
            gated = np.where(gate > 0, gate**2, 0) * up
            x = x + self.linear(f"{prefix}.mlp.down_proj", self.norm(f"{prefix}.mlp.ffn_sub_norm", gated))
        logits: Doubles = self.norm("model.norm", x) @ self.checkpoint.tensors["model.embed_tokens.weight"].T
        return logits


def test_the_decoder_is_the_architecture_written_out(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    """Each product goes on with the codes of the float64 decoder; own codes may differ from them by one."""
    written = Written(tiny_checkpoint)
    expected = written.forward(tokens)
    golden = GoldenProduct(tiny_checkpoint)
    differing: list[int] = []

    def shared(name: str, codes_x: Codes, /) -> Sums:
        difference = np.abs(codes_x.astype(int) - written.codes[name])
        assert difference.max() <= 1, name
        differing.append(int(np.count_nonzero(difference)))
        return golden(name, written.codes[name])

    logits = Decoder(tiny_checkpoint, shared).forward(tokens)
    np.testing.assert_allclose(logits, expected, atol=1e-4)
    assert len(differing) == 14
    assert sum(differing) <= sum(codes.size for codes in written.codes.values()) / 1000


def test_a_cache_changes_nothing_but_rounding(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    """Codes are those of the run in one piece, which cuts off what a rounding difference would start."""
    recorder = Recorder(tiny_checkpoint)
    whole = Decoder(tiny_checkpoint, recorder).forward(tokens)
    codes = dict(recorder.calls)
    seen = 0
    differing = compared = 0

    def shared(name: str, codes_x: Codes, /) -> Sums:
        nonlocal differing, compared
        wanted = codes[name][seen : seen + len(codes_x)]
        difference = np.abs(codes_x.astype(int) - wanted)
        assert difference.max() <= 1
        differing += int(np.count_nonzero(difference))
        compared += difference.size
        return recorder.golden(name, wanted)

    decoder = Decoder(tiny_checkpoint, shared)
    cache = decoder.new_cache()
    for length in (10, 1, 1, 5, 7):
        logits = decoder.forward(tokens[seen : seen + length], cache)
        np.testing.assert_allclose(logits, whole[seen : seen + length], atol=1e-4)
        seen += length
    assert seen == len(tokens)
    assert compared == sum(piece.size for piece in codes.values())
    assert differing <= compared / 1000


def test_a_batch_is_its_texts_side_by_side(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    """On codes of the texts alone, as above."""
    first, second = tokens[:12], tokens[12:]
    recorder = Recorder(tiny_checkpoint)
    alone = [Decoder(tiny_checkpoint, recorder).forward(text) for text in (first, second)]
    half = len(recorder.calls) // 2
    codes = {
        name: np.concatenate((one, other))
        for (name, one), (_, other) in zip(recorder.calls[:half], recorder.calls[half:], strict=True)
    }

    def shared(name: str, codes_x: Codes, /) -> Sums:
        assert np.abs(codes_x.astype(int) - codes[name]).max() <= 1
        return recorder.golden(name, codes[name])

    together = Decoder(tiny_checkpoint, shared).forward(tokens.reshape(2, 12))
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4)


def test_later_tokens_do_not_change_earlier_logits(
    tiny_checkpoint: Checkpoint, tokens: npt.NDArray[np.int64]
) -> None:
    decoder = Decoder(tiny_checkpoint)
    changed = tokens.copy()
    changed[20:] = (changed[20:] + 1) % 128
    before, after = decoder.forward(tokens), decoder.forward(changed)
    assert np.array_equal(before[:20], after[:20])
    assert not np.array_equal(before[20:], after[20:])


def test_the_norm_is_that_of_float64() -> None:
    random = np.random.default_rng(2)
    x, gain = random.standard_normal((5, 40), dtype=np.float32), random.standard_normal(40, dtype=np.float32)
    x[0] = 0
    wide = x.astype(float)
    expected = gain * wide / np.sqrt((wide**2).mean(axis=-1, keepdims=True) + 1e-5)
    found = rms_norm(x, gain, 1e-5)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("token", [-1, 128])
def test_a_token_outside_the_vocabulary_is_named(tiny_checkpoint: Checkpoint, token: int) -> None:
    with pytest.raises(InputError, match=rf"^token {token} is outside 0 to 127$"):
        Decoder(tiny_checkpoint).forward(np.array([1, token]))


def test_no_token_is_refused(tiny_checkpoint: Checkpoint) -> None:
    message = r"^there are no tokens to run; give a text of one character or more$"
    with pytest.raises(InputError, match=message):
        Decoder(tiny_checkpoint).forward(np.zeros(0, dtype=np.int64))


def test_a_layer_that_does_not_exist_is_refused(tiny_checkpoint: Checkpoint) -> None:
    decoder = Decoder(tiny_checkpoint)
    with pytest.raises(InputError, match=r"^layer 2 does not exist: the model has layers 0 to 1$"):
        decoder.layer(2, decoder.embed(np.array([1])))


def test_too_long_a_text_is_refused_with_and_without_a_cache(tiny_checkpoint: Checkpoint) -> None:
    decoder = Decoder(tiny_checkpoint)
    message = r"^65 positions are over the model's 64; use a shorter text$"
    with pytest.raises(InputError, match=message):
        decoder.forward(np.zeros(65, dtype=np.int64))
    cache = decoder.new_cache()
    decoder.forward(np.zeros(64, dtype=np.int64), cache)
    with pytest.raises(InputError, match=message):
        decoder.forward(np.zeros(1, dtype=np.int64), cache)
