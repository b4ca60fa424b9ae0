"""Two checkpoints that differ in one place: the place is found and named."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from small_models import ARCHITECTURES, random_model

from tritforge.accel.errors import VerificationError
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.reader import CHUNK, CheckpointReader, MemoryReader
from tritforge.models.verification import verify_equal

MODEL = random_model(ARCHITECTURES["untied bitnet"])
NAME = "model.layers.1.mlp.up_proj"


def differ(message: str) -> Any:
    """Expect an error of exactly this text."""
    return pytest.raises(VerificationError, match=f"^{re.escape(message)}$")


def compare(copy: Checkpoint, **options: Any) -> None:
    verify_equal(MemoryReader(MODEL), MemoryReader(copy), **options)


def changed(**values: Any) -> Checkpoint:
    """Return the model with fields of one matrix replaced."""
    matrix = replace(MODEL.matrices[NAME], **values)
    return replace(MODEL, matrices={**MODEL.matrices, NAME: matrix})


def test_equal_models_are_equal_and_all_of_them_is_compared() -> None:
    seen: list[tuple[int, int]] = []
    compare(MODEL, on_progress=lambda *numbers: seen.append(numbers))
    total = sum(matrix.codes.size for matrix in MODEL.matrices.values())
    total += sum(tensor.size for tensor in MODEL.tensors.values())
    assert seen[-1] == (total, total)


def test_another_code_is_named_with_its_place() -> None:
    codes = MODEL.matrices[NAME].codes.copy()
    found, codes[17, 200] = codes[17, 200], 1 if codes[17, 200] < 1 else -1
    with differ(f"{NAME}: the code at (17, 200) is {codes[17, 200]}, in the source {found}"):
        compare(changed(codes=codes))


def test_the_next_float32_is_another_scale() -> None:
    scale = np.float32(MODEL.matrices[NAME].scale)
    above = np.nextafter(scale, np.float32(np.inf))
    with differ(f"{NAME}: the scale at (0, 0) is {above}, in the source {scale}"):
        compare(changed(scale=above))
    compare(changed(scale=above), scale_bits=11)


def test_another_kind_of_scale_is_named() -> None:
    scale = np.float32(1) / np.float32(MODEL.matrices[NAME].scale)
    with differ(f"{NAME}: the scale is a multiplier; the source has a divisor"):
        compare(changed(scale=scale, scale_kind="multiplier"))
    compare(changed(scale=scale, scale_kind="multiplier"), scale_bits=24)


def test_a_grid_of_scales_is_another_scale() -> None:
    scale = MODEL.matrices[NAME].scale
    grid = np.array([[scale], [scale * 2]], dtype=np.float32)
    with differ(f"{NAME} has the scales of shape (2, 1), the source of (1, 1)"):
        compare(changed(scale=grid))
    with differ(
        f"{NAME}: the scale at (1, 0) is {1 / float(scale) / 2:.9g}, in the source {1 / float(scale):.9g}: "
        "more than rounding to 11 bits"
    ):
        compare(changed(scale=grid), scale_bits=11)


def scaled(scale: float, kind: str) -> MemoryReader:
    """Return the model with another scale of one matrix."""
    return MemoryReader(changed(scale=np.float32(scale), scale_kind=kind))


@pytest.mark.parametrize("bits", [11, 24])
@pytest.mark.parametrize("kind", ["divisor", "multiplier"])
def test_scales_may_be_off_by_half_a_unit_and_no_more(bits: int, kind: str) -> None:
    source = scaled(1.0, kind)
    verify_equal(source, scaled(1 + 2.0 ** -(bits + 1), kind), scale_bits=bits)
    with pytest.raises(VerificationError, match=f"in the source 1: more than rounding to {bits} bits$"):
        verify_equal(source, scaled(1 + 2.0 ** (1 - bits), kind), scale_bits=bits)


def test_scales_below_the_normal_numbers_of_float16_may_be_off_by_half_its_smallest() -> None:
    source = scaled(2.0**-16, "multiplier")
    verify_equal(source, scaled(2.0**-16 + 2.0**-25, "multiplier"), scale_bits=11)
    for bits, step in ((11, 2.0**-24), (24, 2.0**-38)):
        with pytest.raises(VerificationError, match=f"more than rounding to {bits} bits$"):
            verify_equal(source, scaled(2.0**-16 + step, "multiplier"), scale_bits=bits)


def test_another_number_is_named_with_its_row(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "lm_head.weight"
    table = MODEL.tensors[name].copy()
    table[33, 7] = 0.0
    zero = replace(MODEL, tensors={**MODEL.tensors, name: table})
    # So that the row does not lie in the first chunk.
    chunks = CheckpointReader.chunks
    monkeypatch.setattr(
        CheckpointReader,
        "chunks",
        lambda self, name, numbers=CHUNK: chunks(self, name, numbers=min(numbers, 2560)),
    )
    with differ(f"{name}: the number at (33, 7) is 0.0, in the source {MODEL.tensors[name][33, 7]}"):
        compare(zero)
    table = table.copy()
    table[33, 7] = -0.0
    with differ(f"{name}: the number at (33, 7) is -0.0, in the source 0.0"):
        verify_equal(MemoryReader(zero), MemoryReader(replace(MODEL, tensors={**MODEL.tensors, name: table})))


@pytest.mark.parametrize(("field", "value"), [("rope_theta", 1e6), ("linear_norm_eps", 1e-5)])
def test_another_configuration_is_named_by_its_field(field: str, value: float) -> None:
    fields: dict[str, Any] = {field: value}
    with differ(f"{field} is {value}, in the source {getattr(MODEL.config, field)}"):
        compare(replace(MODEL, config=replace(MODEL.config, **fields)))
