"""The golden model against ``BitNetForCausalLM`` of Hugging Face's transformers, in float32.

The reference has two ternary layers. ``BitLinear`` (packed weights) multiplies codes with codes and divides
once: bit for bit the contract. ``AutoBitLinear`` with online quantisation divides both operands by their
scales first and multiplies floats: the same codes, and outputs that differ from the contract in the last bits
(measured here). The comparisons share the weights' codes and scales where PyTorch takes a float32 mean.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.models.checkpoint import Checkpoint, matrix_shapes, tensor_shapes
from tritforge.models.config import DecoderConfig
from tritforge.models.library import held_out_text, load_model, names
from tritforge.models.ternary import TernaryMatrix, quantise_weights
from tritforge.models.tokenizer import encode
from tritforge.sim.attention import rotary_tables
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.evaluate import bits_per_character
from tritforge.sim.golden import bit_linear, quantise_activations

torch = pytest.importorskip("torch", reason="needs the extra 'external'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'external'")
bitnet = pytest.importorskip("transformers.integrations.bitnet", reason="needs the extra 'external'")

pytestmark = [
    pytest.mark.external,
    # PyTorch deprecates parts of itself on import; that is no matter of this project.
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]
Codes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Traffic = dict[str, tuple[Floats, Floats]]

#: hidden, feed-forward, layers, query heads, key heads, tokens.
SHAPES = [
    (64, 128, 2, 4, 4, 32),
    (256, 512, 3, 4, 2, 48),
    (96, 160, 2, 6, 2, 48),
    (64, 96, 2, 8, 1, 40),
    (128, 384, 1, 2, 1, 100),
]
SEEDS = [0, 1, 2]


def make(shape: tuple[int, ...]) -> DecoderConfig:
    return DecoderConfig(
        vocab_size=128,
        hidden_size=shape[0],
        intermediate_size=shape[1],
        num_hidden_layers=shape[2],
        num_attention_heads=shape[3],
        num_key_value_heads=shape[4],
        max_position_embeddings=256,
    )


def plain_reference(config: DecoderConfig) -> Any:
    """Build the reference with random weights and ordinary linear layers."""
    fields = config.to_dict()
    theta = fields.pop("rope_theta")
    return transformers.BitNetForCausalLM(
        transformers.BitNetConfig(
            **fields,
            rope_parameters={"rope_type": "default", "rope_theta": theta},
            tie_word_embeddings=True,
            attn_implementation="eager",
            bos_token_id=1,
            eos_token_id=2,
        )
    ).float()


def install(reference: Any, checkpoint: Checkpoint) -> Any:
    """Load a checkpoint into the reference, its matrices as packed ``BitLinear``."""
    for name, matrix in checkpoint.matrices.items():
        layer = bitnet.BitLinear(matrix.k, matrix.m, bias=False, dtype=torch.float32)
        # The packer changes its argument, hence the copy.
        layer.weight.copy_(bitnet.pack_weights(torch.tensor(matrix.codes, dtype=torch.float32)))
        layer.weight_scale.fill_(float(matrix.scale))
        reference.set_submodule(name, layer)
    with torch.no_grad():
        for name, tensor in checkpoint.tensors.items():
            reference.get_parameter(name).copy_(torch.tensor(tensor))
    return reference.eval()


def traffic(
    reference: Any, matrices: Mapping[str, object], tokens: npt.NDArray[np.int64]
) -> tuple[Traffic, Floats]:
    """Run tokens; return each ternary layer's input and output, and the logits."""
    seen: Traffic = {}

    def remember(name: str) -> Any:
        def hook(_: Any, inputs: Any, output: Any) -> None:
            seen[name] = inputs[0][0].numpy().copy(), output[0].numpy().copy()

        return hook

    handles = [reference.get_submodule(name).register_forward_hook(remember(name)) for name in matrices]
    with torch.no_grad():
        logits: Floats = reference(torch.from_numpy(tokens)[None]).logits[0].numpy()
    for handle in handles:
        handle.remove()
    return seen, logits


class Case:
    """One random model, its traffic in the reference and its weights."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        torch.set_num_threads(1)
        torch.manual_seed(seed)
        config = make(shape)
        reference = plain_reference(config)
        for name, parameter in reference.named_parameters():
            if "norm" in name:
                torch.nn.init.uniform_(parameter, 0.5, 1.5)
        self.master = {name: p.detach().clone() for name, p in reference.named_parameters()}
        matrices = {}
        for name in matrix_shapes(config):
            # As the reference quantises: its mean is a float32 one, and both sides are to share it.
            weight = self.master[f"{name}.weight"]
            scale = 1.0 / weight.abs().mean().clamp_(min=1e-5)
            codes = (weight * scale).round().clamp(-1, 1).to(torch.int8).numpy()
            matrices[name] = TernaryMatrix(codes=codes, scale=np.float32(scale.item()))
        tensors = {name: self.master[name].numpy() for name in tensor_shapes(config)}
        self.checkpoint = Checkpoint(config=config, matrices=matrices, tensors=tensors)
        self.tokens = np.random.default_rng(seed).integers(0, 128, shape[5])
        self.reference = install(reference, self.checkpoint)
        self.traffic, self.logits = traffic(self.reference, matrices, self.tokens)


@pytest.fixture(scope="module")
def cases() -> dict[tuple[tuple[int, ...], int], Case]:
    return {(shape, seed): Case(shape, seed) for shape in SHAPES for seed in SEEDS}


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_each_layer_fed_the_references_input_gives_its_codes_and_output_bit_for_bit(
    cases: dict[tuple[tuple[int, ...], int], Case], shape: tuple[int, ...], seed: int
) -> None:
    case = cases[shape, seed]
    assert case.traffic.keys() == case.checkpoint.matrices.keys()
    for name, (x, y) in case.traffic.items():
        layer = case.reference.get_submodule(name)
        codes, scale = layer.activation_quant(torch.from_numpy(x))
        found, s_x = quantise_activations(x)
        assert np.array_equal(found, codes.numpy()), name
        assert np.array_equal(s_x.view(np.uint32), scale.numpy().view(np.uint32)), name
        output = bit_linear(x, case.checkpoint.matrices[name])
        assert np.array_equal(output.view(np.uint32) << 1, y.view(np.uint32) << 1), (
            name
        )  # but for zeros' sign


@pytest.mark.parametrize("scale", [1e-12, 1e-5, 1e-3, 1.0, 1e4, 1e20])
def test_activations_of_any_size_are_quantised_as_the_reference_does(scale: float) -> None:
    """4,096 random tokens, among them one of zeros and some with ties at their halves."""
    x = np.random.default_rng(4).standard_normal((4096, 96), dtype=np.float32) * np.float32(scale)
    x[0] = 0
    x[1:64, 0] = 127 * scale
    x[1:64, 1:] = np.float32(scale) * (np.arange(95, dtype=np.float32) - 47.5)
    layer = bitnet.BitLinear(96, 4, bias=False, dtype=torch.float32)
    codes, s_x = layer.activation_quant(torch.from_numpy(x))
    found = quantise_activations(x)
    assert np.array_equal(found[0], codes.numpy())
    assert np.array_equal(found[1], s_x.numpy())


@pytest.mark.parametrize(("width", "theta"), [(64, 10000.0), (128, 500000.0), (16, 10000.0), (10, 10000.0)])
def test_rotary_tables_are_the_references_over_all_positions(width: int, theta: float) -> None:
    """A frequency that is off by its last bit would show at the far end: by 2e-4 at position 4,000."""
    config = replace(make((4 * width, 64, 1, 4, 4)), max_position_embeddings=4096, rope_theta=theta)
    rotary = plain_reference(config).model.rotary_emb
    cosines, sines = rotary(torch.zeros(1, dtype=torch.float32), torch.arange(4096)[None])
    found = rotary_tables(config)
    np.testing.assert_allclose(found[0], cosines[0].numpy(), rtol=0, atol=2e-7)
    np.testing.assert_allclose(found[1], sines[0].numpy(), rtol=0, atol=2e-7)


def test_end_to_end_almost_no_code_differs_and_each_by_one(
    cases: dict[tuple[tuple[int, ...], int], Case],
) -> None:
    """Every difference is counted where it starts: each product then goes on with the reference's codes.

    Without that a code that falls on the other side of a half, by the last bit of a norm, would move others
    behind it.
    """
    differing = compared = 0
    for case in cases.values():
        golden = GoldenProduct(case.checkpoint)
        wanted = {name: quantise_activations(x)[0] for name, (x, _) in case.traffic.items()}

        def shared(
            name: str,
            codes_x: Codes,
            /,
            golden: GoldenProduct = golden,
            wanted: dict[str, Codes] = wanted,
        ) -> npt.NDArray[np.int32]:
            nonlocal differing, compared
            difference = np.abs(codes_x.astype(int) - wanted[name])
            assert difference.max() <= 1, name
            differing += int(np.count_nonzero(difference))
            compared += difference.size
            return golden(name, wanted[name])

        logits = Decoder(case.checkpoint, shared).forward(case.tokens)
        np.testing.assert_allclose(logits, case.logits, rtol=0, atol=1e-5)
    assert compared > 1_000_000
    assert differing <= compared / 10_000


def test_end_to_end_on_its_own_logits_agree_where_no_code_differs(
    cases: dict[tuple[tuple[int, ...], int], Case],
) -> None:
    """Nothing is shared here: a code differs in a few of the models, and in most of them none does."""
    equal = 0
    for case in cases.values():
        golden = GoldenProduct(case.checkpoint)
        wanted = {name: quantise_activations(x)[0] for name, (x, _) in case.traffic.items()}
        differing = 0

        def counted(
            name: str,
            codes_x: Codes,
            /,
            golden: GoldenProduct = golden,
            wanted: dict[str, Codes] = wanted,
        ) -> npt.NDArray[np.int32]:
            nonlocal differing
            differing += int(np.count_nonzero(codes_x != wanted[name]))
            return golden(name, codes_x)

        logits = Decoder(case.checkpoint, counted).forward(case.tokens)
        if not differing:
            equal += 1
            np.testing.assert_allclose(logits, case.logits, rtol=0, atol=1e-5)
    assert equal > len(cases) / 2


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_online_layer_quantises_alike_and_differs_in_the_last_bits(
    cases: dict[tuple[tuple[int, ...], int], Case], shape: tuple[int, ...]
) -> None:
    case = cases[shape, 0]
    reference = plain_reference(case.checkpoint.config)
    quantisation = transformers.BitNetQuantConfig(linear_class="autobitlinear", quantization_mode="online")
    bitnet.replace_with_bitnet_linear(reference, ["lm_head"], quantisation)
    for name in case.checkpoint.matrices:
        layer = reference.get_submodule(name)
        assert isinstance(layer, bitnet.AutoBitLinear)
        assert layer.online_quant
        layer.weight = torch.nn.Parameter(case.master[f"{name}.weight"])
    with torch.no_grad():
        for name in case.checkpoint.tensors:
            reference.get_parameter(name).copy_(case.master[name])
    seen, _ = traffic(reference.eval(), case.checkpoint.matrices, case.tokens)
    for name, (x, y) in seen.items():
        codes, s_x = quantise_activations(x)
        dequantised = bitnet.ActQuant.apply(torch.from_numpy(x)).numpy()
        assert np.array_equal(codes.astype(np.float32) / s_x, dequantised), name
        matrix = case.checkpoint.matrices[name]
        weights = bitnet.WeightQuant.apply(case.master[f"{name}.weight"]).detach().numpy()
        assert np.array_equal(matrix.codes.astype(np.float32) / matrix.scale, weights), name
        assert np.abs(bit_linear(x, matrix) - y).max() <= 2e-6 * np.abs(y).max(), name


def test_quantised_weights_are_the_references_but_for_the_mean(
    cases: dict[tuple[tuple[int, ...], int], Case],
) -> None:
    """The float64 mean moves a scale by parts in ten million and hardly ever a code."""
    differing = compared = 0
    for case in cases.values():
        for name, matrix in case.checkpoint.matrices.items():
            ours = quantise_weights(case.master[f"{name}.weight"].numpy())
            assert ours.scale == pytest.approx(matrix.scale, rel=1e-6)
            differing += int(np.count_nonzero(ours.codes != matrix.codes))
            compared += matrix.codes.size
    assert differing <= compared / 100_000


@pytest.mark.skipif(not names(), reason="no model is shipped")
def test_the_trained_model_scores_text_as_the_reference_does() -> None:
    """Flipped codes leave the score of thousands of characters alone."""
    checkpoint, text = load_model("austen"), held_out_text("austen")[: 32 * 256]
    reference = install(plain_reference(checkpoint.config), checkpoint)
    windows = torch.from_numpy(encode(text, errors="replace").reshape(-1, 256))
    with torch.no_grad():
        logits = reference(windows).logits[:, :-1].flatten(0, 1).double()
        nats = torch.nn.functional.cross_entropy(logits, windows[:, 1:].flatten()).item()
    assert bits_per_character(Decoder(checkpoint), text) == pytest.approx(nats / np.log(2), abs=1e-3)
