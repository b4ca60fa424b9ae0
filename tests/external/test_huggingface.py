"""Checkpoints that transformers writes, read here, against the models that transformers loads from the same folder.

Everything runs in float32, whatever the file holds. ``BitLinear`` multiplies codes with codes and divides once, as
the golden model does. ``AutoBitLinear`` divides activations (and, online, weights) by their scales first and
multiplies floats: its outputs differ from the golden model's in their last bits. An activation code then differs
where such a bit moves a value over a half: those are counted where they start, each product going on with the
reference's codes.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.models.checkpoint import Checkpoint
from tritforge.models.huggingface import HuggingFaceReader
from tritforge.models.native import NativeReader, write_native
from tritforge.sim.decoder import Decoder, GoldenProduct
from tritforge.sim.golden import quantise_activations

torch = pytest.importorskip("torch", reason="needs the extra 'external'")
transformers = pytest.importorskip("transformers", reason="needs the extra 'external'")
bitnet = pytest.importorskip("transformers.integrations.bitnet", reason="needs the extra 'external'")
safetensors_torch = pytest.importorskip("safetensors.torch", reason="needs the extra 'external'")
pytest.importorskip("accelerate", reason="needs the extra 'external'")

pytestmark = [
    pytest.mark.external,
    pytest.mark.filterwarnings("default::DeprecationWarning", "default::FutureWarning"),
]

#: Of logits that reach 13 to 20; measured: 7e-5 at most, 3e-5 with BitLinear.
TOLERANCE = 2e-4
#: Share of codes that differ at their origin; measured: two of 46,080 at most, and none in most models.
DIFFERING = 1e-4
SIZES: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
TOKENS = 48
CLASSES: dict[str, Any] = {
    "bitnet": (transformers.BitNetForCausalLM, transformers.BitNetConfig, {"tie_word_embeddings": True}),
    # Heads of 32 times 4 are wider than the 64 of the hidden state, as a head_dim of its own allows.
    "llama": (
        transformers.LlamaForCausalLM,
        transformers.LlamaConfig,
        {"head_dim": 32, "rope_theta": 500000.0},
    ),
}
MODES = {
    "bitlinear": ("bitlinear", "offline"),
    "offline": ("autobitlinear", "offline"),
    "offline-packed": ("autobitlinear", "offline"),
    "online": ("autobitlinear", "online"),
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """How a checkpoint is written."""

    model: str
    mode: str
    norms: bool = False
    dtype: str = "float32"
    shard: str = "1GB"


CASES = [
    Case(model=model, mode=mode, norms=norms, dtype=dtype)
    for model in CLASSES
    for mode in MODES
    for norms in (False, True)
    for dtype in ("float32", "bfloat16")
] + [Case(model=model, mode=mode, shard="40KB") for model in CLASSES for mode in MODES]


def fill(model: Any, mode: str) -> None:
    """Random weights of the kind that a mode stores."""
    with torch.no_grad():
        for name, values in [*model.named_parameters(), *model.named_buffers()]:
            if values.dtype == torch.uint8:
                codes = torch.randint(-1, 2, (4 * values.shape[0], values.shape[1]))
                values.copy_(bitnet.pack_weights(codes.float()))
            elif name.endswith("weight_scale"):
                values.uniform_(0.5, 2)
            elif "norm" in name:
                values.uniform_(0.5, 1.5)
            elif mode.startswith("offline") and "_proj" in name:
                values.copy_(torch.randint(-1, 2, values.shape))
            elif "inv_freq" not in name:
                values.normal_(0, 0.5)


def save(case: Case, folder: Path) -> None:
    """Write a random checkpoint with transformers."""
    kind, config, own = CLASSES[case.model]
    linear, mode = MODES[case.mode]
    quantisation = transformers.BitNetQuantConfig(
        linear_class=linear, quantization_mode=mode, use_rms_norm=case.norms, rms_norm_eps=1e-5
    )
    model = kind(config(**SIZES, **own))
    bitnet.replace_with_bitnet_linear(model, ["lm_head"], quantisation)
    model.config.quantization_config = quantisation
    model = model.to_empty(device="cpu").to(getattr(torch, case.dtype))
    model.tie_weights()
    fill(model, case.mode)
    model.save_pretrained(folder, max_shard_size=case.shard)
    if case.mode == "offline-packed":
        for path in folder.glob("*.safetensors"):
            tensors = safetensors_torch.load_file(path)
            for name in tensors:
                if name.endswith("_proj.weight"):
                    tensors[name] = bitnet.pack_weights(tensors[name].float())
            safetensors_torch.save_file(tensors, path, metadata={"format": "pt"})


def traffic(
    reference: Any, modules: Mapping[str, str], tokens: npt.NDArray[np.int64]
) -> tuple[dict[str, npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Run tokens; return what each ternary layer quantises, by the matrices' names, and the logits."""
    seen = {}

    def remember(name: str) -> Any:
        def hook(layer: Any, inputs: Any) -> None:
            x = inputs[0] if layer.rms_norm is None else layer.rms_norm(inputs[0])
            seen[name] = x[0].numpy().copy()

        return hook

    for name, module in modules.items():
        reference.get_submodule(module).register_forward_pre_hook(remember(name))
    with torch.no_grad():
        logits = reference(torch.from_numpy(tokens)[None]).logits[0].numpy()
    return seen, logits


def compare(checkpoint: Checkpoint, reference: Any, modules: Mapping[str, str] | None = None) -> None:
    """Hold the golden decoder's codes and logits to those of the reference."""
    tokens = np.random.default_rng(5).integers(0, SIZES["vocab_size"], TOKENS)
    names = {name: name for name in checkpoint.matrices} if modules is None else modules
    seen, logits = traffic(reference, names, tokens)
    assert seen.keys() == checkpoint.matrices.keys()
    wanted = {name: quantise_activations(x)[0] for name, x in seen.items()}
    golden = GoldenProduct(checkpoint)
    differing = compared = 0

    def shared(name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        nonlocal differing, compared
        # A token comes once for each block of columns that has a scale of its own, with zeros elsewhere.
        copies, k = len(codes_x) // TOKENS, codes_x.shape[1]
        difference = np.abs(codes_x.reshape(TOKENS, copies, k).sum(axis=1, dtype=int) - wanted[name])
        assert difference.max() <= 1, name
        differing += int(np.count_nonzero(difference))
        compared += difference.size
        block = np.arange(k) // (k // copies) == np.arange(copies)[:, None]
        return golden(name, np.where(block, wanted[name][:, None], np.int8(0)).reshape(-1, k))

    found = Decoder(checkpoint, shared).forward(tokens)
    assert differing <= compared * DIFFERING
    np.testing.assert_allclose(found, logits, rtol=0, atol=TOLERANCE)
    # Nothing was compared with noise: the logits are those of this model.
    assert np.abs(logits).max() > 100 * TOLERANCE


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.model}-{c.mode}-{c.norms}-{c.dtype}-{c.shard}")
def test_what_transformers_saves_runs_as_what_it_loads(case: Case, tmp_path: Path) -> None:
    torch.manual_seed(3)
    save(case, tmp_path / "hf")
    files = len(list((tmp_path / "hf").glob("*.safetensors")))
    assert (files > 1) == (case.shard != "1GB")
    reference = CLASSES[case.model][0].from_pretrained(tmp_path / "hf", dtype=torch.float32)
    # AutoBitLinear keeps the type of the file; the method of the model itself refuses to change it.
    reference = torch.nn.Module.float(reference).eval()
    with HuggingFaceReader(tmp_path / "hf") as reader:
        assert reader.config.linear_norms == case.norms
        compare(reader.checkpoint(), reference)
        write_native(reader, tmp_path / "native.safetensors")
    with NativeReader(tmp_path / "native.safetensors") as native:
        compare(native.checkpoint(), reference)


class Normed(torch.nn.Module):  # type: ignore[misc, name-defined]
    """A norm and then a ternary layer, as 1bitLLM has them before two of its projections."""

    def __init__(self, inputs: int, outputs: int, eps: float) -> None:
        super().__init__()
        self.norm = transformers.models.llama.modeling_llama.LlamaRMSNorm(inputs, eps=eps)
        self.linear = bitnet.AutoBitLinear(inputs, outputs, bias=False, online_quant=True)

    def forward(self, x: Any) -> Any:
        return self.linear(self.norm(x))


def test_the_reproduction_of_1bitllm_runs_as_llama_with_two_more_norms(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, tie_word_embeddings=True)).float()
    modules = {}
    for i, layer in enumerate(model.model.layers):
        for part, names in (("self_attn", "qkvo"), ("mlp", ("gate", "up", "down"))):
            for name in names:
                path = f"model.layers.{i}.{part}.{name}_proj"
                plain = model.get_submodule(path)
                normed = name in ("o", "down")
                inputs, outputs = plain.in_features, plain.out_features
                model.set_submodule(
                    path,
                    Normed(inputs, outputs, model.config.rms_norm_eps)
                    if normed
                    else bitnet.AutoBitLinear(inputs, outputs, bias=False, online_quant=True),
                )
                modules[path] = f"{path}.linear" if normed else path
        assert isinstance(layer.mlp.down_proj, Normed)
    fill(model, "online")
    renames = {
        "self_attn.o_proj.norm": "self_attn.inner_attn_ln",
        "mlp.down_proj.norm": "mlp.ffn_layernorm",
        "_proj.linear": "_proj",
    }
    tensors = {}
    for name, values in model.state_dict().items():
        for ours, theirs in renames.items():
            name = name.replace(ours, theirs)  # noqa: PLW2901
        if name != "lm_head.weight":
            tensors[name] = values.contiguous()
    safetensors_torch.save_file(tensors, tmp_path / "model.safetensors")
    fields = SIZES | {
        "architectures": ["BitnetForCausalLM"],
        "model_type": "llama",
        "hidden_act": "silu",
        "weight_bits": 1,
        "input_bits": 8,
        "rms_norm_eps": model.config.rms_norm_eps,
        "rope_theta": 10000.0,
        "rope_scaling": None,
        "tie_word_embeddings": True,
    }
    (tmp_path / "config.json").write_text(json.dumps(fields))
    with HuggingFaceReader(tmp_path) as reader:
        assert reader.config.sub_norms
        compare(reader.checkpoint(), model.eval(), modules)


@pytest.mark.parametrize("shards", [1, 2])
def test_trilm_runs_as_llama_with_its_activations_quantised(shards: int, tmp_path: Path) -> None:
    torch.manual_seed(6)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES)).half()
    fill(model, "online")
    with torch.no_grad():
        for name, values in model.named_parameters():
            if "_proj" in name:
                blocks = values.chunk(
                    shards, dim=1 if name.endswith(("o_proj.weight", "down_proj.weight")) else 0
                )
                for block in blocks:
                    block.copy_(torch.randint(-1, 2, block.shape) * torch.rand(1).half())
    model.save_pretrained(tmp_path)
    reference = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with HuggingFaceReader(tmp_path) as reader:
        checkpoint = reader.checkpoint()
        for name in checkpoint.matrices:
            weights = reference.get_submodule(name).weight.detach()
            layer = bitnet.AutoBitLinear(weights.shape[1], weights.shape[0], bias=False)
            layer.weight = torch.nn.Parameter(weights)
            reference.set_submodule(name, layer)
            grid = checkpoint.matrices[name].scale_grid
            assert grid.shape == ((1, shards) if name.endswith(("o_proj", "down_proj")) else (shards, 1))
            assert checkpoint.matrices[name].scale_kind == "multiplier"
        compare(checkpoint, reference)
