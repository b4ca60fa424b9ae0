"""The counts of the hardware accounting against a run of the NumPy model that counts what it executes."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tritforge.accel.config import AcceleratorConfig
from tritforge.energy.hardware import count_hardware
from tritforge.energy.scenario import Scenario
from tritforge.models.checkpoint import Checkpoint, quantise_master
from tritforge.models.config import DecoderConfig
from tritforge.models.shapes import ModelShape
from tritforge.sim import attention, decoder, golden
from tritforge.sim.decoder import Decoder, GoldenProduct

# Odd sizes on purpose: neither lanes nor rows divide them.
BITNET = DecoderConfig(
    vocab_size=19,
    hidden_size=24,
    intermediate_size=22,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=32,
)
#: All that a configuration can have otherwise and a shape has a place for.
LLAMA = replace(BITNET, head_dim=10, hidden_act="silu", sub_norms=False, tie_word_embeddings=False)
ARRAY = AcceleratorConfig(
    lanes=8, rows=5, tokens_max=3, k_max=64, m_max=64, weight_port_bits=32, act_port_bits=32
)

#: What a universal function of NumPy is called in the technology table; others are free or no arithmetic.
OPERATIONS = {
    "multiply": "fp16.mul",
    "square": "fp16.mul",
    "add": "fp16.add",
    "subtract": "fp16.add",
    "divide": "fp16.div",
    "sqrt": "fp16.sqrt",
    "exp": "fp16.exp",
    "maximum": "fp16.max",
    "rint": "fp16.convert",
}
#: Signs, magnitudes, and what rounding brings with it.
FREE = {"negative", "absolute", "clip", "isfinite", "logical_and"}


class Machine:
    """Notes operations under the component that runs."""

    def __init__(self) -> None:
        self.done: Counter[tuple[str, str]] = Counter()
        self.components: list[str] = []

    def note(self, operation: str, count: int, component: str | None = None) -> None:
        if count:
            self.done[component or self.components[-1], operation] += count

    @contextmanager
    def within(self, component: str) -> Iterator[None]:
        self.components.append(component)
        yield
        self.components.pop()


MACHINE = Machine()


class Counted(np.ndarray[Any, Any]):
    """An array whose every operation is noted, number by number."""

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        plain = [np.asarray(value) for value in inputs]
        outputs = options.pop("out", None)
        if outputs is not None:
            options["out"] = tuple(np.asarray(value) for value in outputs)
        result = getattr(ufunc, method)(*plain, **options)
        name = ufunc.__name__
        if name == "matmul":
            inner = plain[0].shape[-1]
            MACHINE.note("fp16.mul", result.size * inner)
            MACHINE.note("fp16.add", result.size * (inner - 1))
        elif method == "reduce" and name in OPERATIONS:
            MACHINE.note(OPERATIONS[name], plain[0].size - result.size)
        elif name in OPERATIONS:
            MACHINE.note(OPERATIONS[name], np.size(result))
        else:
            assert name in FREE, f"{name} is neither counted nor known to be free"
        return outputs[0] if outputs is not None else np.asarray(result).view(Counted)

    def astype(self, dtype: Any, *options: Any, **named: Any) -> Any:
        """Note sums that become floating point; the way back is part of rounding."""
        if self.dtype.kind == "i":
            MACHINE.note("fp16.convert", self.size)
        return super().astype(dtype, *options, **named)


class CountingNumPy(ModuleType):
    """NumPy, but arrays stay counted where NumPy would return plain ones."""

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    @staticmethod
    def asarray(array: Any, dtype: Any = None) -> Any:
        # A change of the width of floating point is no operation.
        return np.asarray(array, dtype=dtype).view(Counted)

    @staticmethod
    def concatenate(arrays: Any, axis: int) -> Any:
        return np.concatenate([np.asarray(array) for array in arrays], axis=axis).view(Counted)


class TiledProduct(GoldenProduct):
    """The ternary product as the array computes it: tile by tile, adder by adder, with the width of every sum."""

    def __call__(self, name: str, codes_x: npt.NDArray[np.int8], /) -> npt.NDArray[np.int32]:
        codes = np.asarray(codes_x).astype(np.int64)
        expected = super().__call__(name, np.asarray(codes_x))
        weights = self._checkpoint.matrices[name].codes.astype(np.int64)
        m, k = weights.shape
        sums = np.zeros((len(codes), -(-m // ARRAY.rows) * ARRAY.rows), dtype=np.int64)
        for low in range(0, m, ARRAY.rows):
            for row in range(low, low + ARRAY.rows):
                # Rows beyond the matrix hold zeros and are clocked all the same.
                trits = weights[row] if row < m else np.zeros(k, dtype=np.int64)
                sums[:, row] = np.count_nonzero(trits < 0)
                for start in range(0, k, ARRAY.lanes):
                    for token, activations in enumerate(codes):
                        sums[token, row] += self.tree(
                            activations[start : start + ARRAY.lanes], trits[start : start + ARRAY.lanes]
                        )
                        MACHINE.note(f"int{ARRAY.acc_bits}.add", 1, "accumulators")
        assert np.array_equal(sums[:, :m], expected)
        return expected.view(Counted)

    @staticmethod
    def tree(activations: npt.NDArray[np.int64], trits: npt.NDArray[np.int64]) -> int:
        lanes = [
            (0 if w == 0 else int(x) if w > 0 else ~int(x), ARRAY.act_bits)
            for x, w in zip(activations, trits, strict=True)
        ]
        lanes += [(0, ARRAY.act_bits)] * (ARRAY.lanes - len(lanes))
        while len(lanes) > 1:
            pairs = [lanes[index : index + 2] for index in range(0, len(lanes), 2)]
            lanes = []
            for pair in pairs:
                if len(pair) == 1:
                    lanes.append(pair[0])
                    continue
                width = 1 + max(bits for _, bits in pair)
                total = sum(value for value, _ in pair)
                assert -(1 << (width - 1)) <= total < 1 << (width - 1)
                MACHINE.note(f"int{width}.add", 1, "matrices")
                lanes.append((total, width))
        return lanes[0][0]


def within(component: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Run a function of the model under a component."""

    def run(*arguments: Any, **named: Any) -> Any:
        with MACHINE.within(component):
            return function(*arguments, **named)

    return run


@pytest.fixture(params=[BITNET, LLAMA], ids=["bitnet", "llama"])
def instrumented(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Decoder:
    """A small decoder of each architecture whose every operation is noted in `MACHINE`."""
    checkpoint = _checkpoint(request.param, np.random.default_rng(5))
    # Made before NumPy is replaced: the rotary tables are computed once, not for a token.
    made = Decoder(checkpoint, TiledProduct(checkpoint))
    table = "model.embed_tokens.weight"
    made._tensors = {**checkpoint.tensors, table: checkpoint.tensors[table].view(Counted)}
    MACHINE.done.clear()
    for module in (decoder, attention, golden):
        monkeypatch.setattr(module, "np", CountingNumPy("numpy"))
    monkeypatch.setattr(decoder, "rms_norm", within("norms", decoder.rms_norm))
    monkeypatch.setattr(decoder, "rotate", within("rope", attention.rotate))
    monkeypatch.setattr(decoder, "attend", within("attention", attention.attend))
    monkeypatch.setattr(golden, "quantise_activations", within("quantisation", golden.quantise_activations))
    monkeypatch.setattr(golden, "dequantise", within("dequantisation", golden.dequantise))
    monkeypatch.setattr(Decoder, "_mlp", within("activation", Decoder._mlp))
    monkeypatch.setattr(Decoder, "logits", within("lm_head", Decoder.logits))
    monkeypatch.setattr(Decoder, "layer", within("residuals", Decoder.layer))
    return made


def _checkpoint(config: DecoderConfig, random: np.random.Generator) -> Checkpoint:
    from tritforge.models.checkpoint import tensor_shapes

    names = {
        f"model.layers.{layer}.{name}.weight": shape
        for layer in range(config.num_hidden_layers)
        for name, shape in config.matrices.items()
    } | tensor_shapes(config)
    return quantise_master(
        config, {name: random.standard_normal(shape, dtype=np.float32) for name, shape in names.items()}
    )


def formula(config: DecoderConfig, scenario: Scenario) -> dict[tuple[str, str], int]:
    """Arithmetic of the accounting; softmax runs within attention in the NumPy model."""
    shape = ModelShape.from_decoder(config, name="tiny", source="made for a test")
    counted: Counter[tuple[str, str]] = Counter()
    for component in count_hardware(shape, scenario):
        for operation, count in component.operations.items():
            if operation.startswith(("int", "fp")):
                name = "attention" if component.name == "softmax" else component.name
                counted[name, operation] += count
    return dict(counted)


@pytest.mark.parametrize("length", [1, 2, 7])
def test_a_prefill_counts_what_the_numpy_model_executes(instrumented: Decoder, length: int) -> None:
    instrumented.forward(np.arange(length) % instrumented.config.vocab_size)
    scenario = Scenario(config=ARRAY, context=length, causal=False, logits="all", requantise=True)
    assert dict(MACHINE.done) == formula(instrumented.config, scenario)


@pytest.mark.parametrize("context", [1, 2, 9])
def test_a_decoding_step_counts_what_the_numpy_model_executes(instrumented: Decoder, context: int) -> None:
    cache = instrumented.new_cache()
    for position in range(context):
        MACHINE.done.clear()
        instrumented.forward(np.array([position]), cache)
    scenario = Scenario(config=ARRAY, phase="decode", context=context, requantise=True)
    assert dict(MACHINE.done) == formula(instrumented.config, scenario)


def test_a_batch_counts_what_the_numpy_model_executes(instrumented: Decoder) -> None:
    instrumented.forward(np.arange(8).reshape(2, 4))
    scenario = Scenario(config=ARRAY, context=4, batch=2, causal=False, logits="all", requantise=True)
    assert dict(MACHINE.done) == formula(instrumented.config, scenario)


def test_the_machine_notices_an_operation_more(instrumented: Decoder) -> None:
    with MACHINE.within("norms"):
        assert float((np.ones(3).view(Counted) * 2).sum()) == 6
    assert dict(MACHINE.done) == {("norms", "fp16.mul"): 3, ("norms", "fp16.add"): 2}
