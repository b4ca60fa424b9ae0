"""Operation counts against an independent count that runs the operations one by one."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tritforge.accel.errors import InputError
from tritforge.energy.counts import COUNTS, count_fp16, count_ternary
from tritforge.models.shapes import ModelShape, find_shape


def tiny(**change: Any) -> ModelShape:
    """Make a small shape, heads wider than the hidden size on purpose."""
    values: dict[str, Any] = {
        "name": "tiny",
        "hidden_size": 5,
        "intermediate_size": 7,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 3,
        "source": "made for a test",
        "status": "verified",
    }
    return ModelShape(**(values | change))


class Machine:
    """Computes with plain numbers and notes every operation under the part that it is for."""

    def __init__(self) -> None:
        self.done: Counter[tuple[str, str]] = Counter()

    def dot(self, part: str, kind: str, left: list[float], right: list[float]) -> float:
        total: float | None = None
        for a, b in zip(left, right, strict=True):
            self.done[part, f"{kind}.mul"] += 1
            product = a * b
            if total is None:
                total = product
            else:
                self.done[part, f"{kind}.add"] += 1
                total += product
        assert total is not None
        return total

    def select_and_add(self, trits: list[int], codes: list[float]) -> float:
        """Add selected codes; a sign or a zero is no operation in this accounting."""
        total: float | None = None
        for trit, code in zip(trits, codes, strict=True):
            term = {1: code, 0: 0.0, -1: -code}[trit]
            if total is None:
                total = term
            else:
                self.done["linears", "int8.add"] += 1
                total += term
        assert total is not None
        return total

    def scale(self, values: list[float], factor: float) -> list[float]:
        self.done["scaling", "fp16.mul"] += len(values)
        return [value * factor for value in values]

    def linear(self, x: list[float], outputs: int, *, ternary: bool) -> list[float]:
        if not ternary:
            return [self.dot("linears", "fp16", [0.1] * len(x), x) for _ in range(outputs)]
        codes = self.scale(x, 127.0)
        weights = [[(row + column) % 3 - 1 for column in range(len(x))] for row in range(outputs)]
        return self.scale([self.select_and_add(row, codes) for row in weights], 1 / 127)


def run(shape: ModelShape, context: int, *, ternary: bool) -> Counter[tuple[str, str]]:
    """Run a model on numbers that do not matter; its layout is spelled out anew, not taken from the shape."""
    machine = Machine()
    heads, width, h = shape.num_attention_heads, shape.head_dim, shape.hidden_size
    for _ in range(shape.num_hidden_layers):
        for _ in range(context):
            x = [1.0] * h
            if shape.mixer == "hgrn":
                for _ in range(4):
                    machine.linear(x, h, ternary=ternary)
            else:
                machine.linear(x, heads * width, ternary=ternary)
                machine.linear(x, shape.num_key_value_heads * width, ternary=ternary)
                machine.linear(x, shape.num_key_value_heads * width, ternary=ternary)
                machine.linear([1.0] * (heads * width), h, ternary=ternary)
            for _ in range(shape.num_experts_per_tok):
                for _ in range(2 if shape.ffn_gated else 1):
                    middle = machine.linear(x, shape.intermediate_size, ternary=ternary)
                machine.linear(middle, h, ternary=ternary)
        if shape.mixer == "attention":
            for _ in range(heads * context * context):
                for _ in ("queries with keys", "scores with values"):
                    machine.dot("attention", "fp16", [1.0] * width, [1.0] * width)
    return machine.done


SHAPES = {
    "gated, grouped queries": tiny(),
    "plain network": tiny(ffn_gated=False),
    "full attention": tiny(num_key_value_heads=4),
    "one head": tiny(num_attention_heads=1, num_key_value_heads=1),
    "heads of width one": tiny(head_dim=1),
    "width one": tiny(hidden_size=1, intermediate_size=1),
    "mixture of experts": tiny(num_local_experts=4, num_experts_per_tok=2),
    "recurrence": tiny(mixer="hgrn", num_attention_heads=1, num_key_value_heads=1, head_dim=5),
}


@pytest.mark.parametrize("context", [1, 2, 5])
@pytest.mark.parametrize("arithmetic", ["fp16", "ternary"])
@pytest.mark.parametrize("name", SHAPES)
def test_the_formula_equals_the_operations_that_are_run(name: str, arithmetic: str, context: int) -> None:
    counted = {
        (part.name, operation): count
        for part in COUNTS[arithmetic](SHAPES[name], context)
        for operation, count in part.operations.items()
        if count
    }
    assert counted == dict(run(SHAPES[name], context, ternary=arithmetic == "ternary"))


def test_experts_that_a_token_does_not_meet_cost_nothing() -> None:
    few, many = (
        tiny(num_local_experts=2, num_experts_per_tok=2),
        tiny(num_local_experts=64, num_experts_per_tok=2),
    )
    assert count_ternary(few, 8) == count_ternary(many, 8)


def test_additions_in_the_matrices_are_alike_in_both_arithmetics() -> None:
    shape = find_shape("bitnet-b1.58-figure3-7B")
    assert (
        count_ternary(shape, 512)[0].operations["int8.add"]
        == count_fp16(shape, 512)[0].operations["fp16.add"]
    )


sizes = st.integers(1, 64)
shapes = st.builds(
    lambda h, f, n, kv, group, d, gated: tiny(
        hidden_size=h,
        intermediate_size=f,
        num_hidden_layers=n,
        num_key_value_heads=kv,
        num_attention_heads=kv * group,
        head_dim=d,
        ffn_gated=gated,
    ),
    sizes,
    sizes,
    sizes,
    st.integers(1, 4),
    st.integers(1, 4),
    sizes,
    st.booleans(),
)


def total(shape: ModelShape, context: int, arithmetic: str) -> int:
    return sum(sum(part.operations.values()) for part in COUNTS[arithmetic](shape, context))


@given(shapes, st.integers(1, 512), st.sampled_from(["fp16", "ternary"]))
def test_counts_grow_with_every_size(shape: ModelShape, context: int, arithmetic: str) -> None:
    base = total(shape, context, arithmetic)
    assert total(shape, context + 1, arithmetic) > base
    for field in ("hidden_size", "intermediate_size", "num_hidden_layers", "head_dim"):
        larger = replace(shape, **{field: getattr(shape, field) + 1})
        assert total(larger, context, arithmetic) > base, field


@given(shapes, st.integers(1, 512), st.sampled_from(["fp16", "ternary"]))
def test_layers_are_alike(shape: ModelShape, context: int, arithmetic: str) -> None:
    one = replace(shape, num_hidden_layers=1)
    assert total(shape, context, arithmetic) == shape.num_hidden_layers * total(one, context, arithmetic)


@pytest.mark.parametrize("context", [0, -1, 2.0, True])
def test_a_context_that_is_no_positive_number_is_rejected(context: Any) -> None:
    for count in (count_fp16, count_ternary):
        with pytest.raises(InputError) as caught:
            count(tiny(), context)
        assert str(caught.value) == (
            f"context is {context!r}; a whole number of 1 or more positions is needed"
        )
