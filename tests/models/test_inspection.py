"""Figures of a checkpoint against counts that are taken one weight at a time."""

from collections import Counter
from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_models import ARCHITECTURES, random_model

from tritforge.models.base3 import pack
from tritforge.models.checkpoint import Checkpoint
from tritforge.models.image import pack_image
from tritforge.models.inspection import PACKING_BITS, MatrixFigures, entropy, inspect, spread
from tritforge.models.reader import MemoryReader
from tritforge.models.ternary import TernaryMatrix

NAME = "model.layers.12.mlp.up_proj"


@given(arrays(np.int8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(-1, 1)))
def test_a_matrix_is_counted(codes: np.ndarray[tuple[int, int], np.dtype[np.int8]]) -> None:
    found = MatrixFigures.of(NAME, TernaryMatrix(codes=codes, scale=np.float32(0.5)))
    rows = codes.tolist()
    counts = Counter(trit for row in rows for trit in row)
    assert (found.negative, found.zero, found.positive) == (counts[-1], counts[0], counts[1])
    assert found.zero_rows == sum(not any(row) for row in rows)
    assert found.zero_columns == sum(not any(column) for column in zip(*rows, strict=True))
    assert sum(found.shares) == pytest.approx(1)
    assert 0 <= found.entropy <= log2(3) + 1e-12
    assert (found.kind, found.layer, found.weights) == ("mlp.up_proj", 12, codes.size)


@pytest.mark.parametrize(
    ("counts", "bits"), [((5, 0, 0), 0), ((1, 1, 0), 1), ((7, 7, 7), log2(3)), ((1, 2, 1), 1.5)]
)
def test_entropy_of_known_shares(counts: tuple[int, int, int], bits: float) -> None:
    assert entropy(counts) == pytest.approx(bits)


def test_scales_of_blocks_are_counted_with_their_spread() -> None:
    scale = np.array([[1.0, 2.0], [3.0, 6.0]], dtype=np.float32)
    matrix = TernaryMatrix(codes=np.zeros((4, 6), dtype=np.int8), scale=scale, scale_kind="multiplier")
    found = MatrixFigures.of(NAME, matrix)
    assert (found.scales, found.scale_low, found.scale_mean, found.scale_high) == (4, 1.0, 3.0, 6.0)
    assert (found.scale_kind, found.zero_rows, found.zero_columns, found.entropy) == ("multiplier", 4, 6, 0)


@pytest.fixture(scope="module")
def model() -> Checkpoint:
    return random_model(ARCHITECTURES["untied bitnet"])


def test_a_model_is_inspected_whole(model: Checkpoint) -> None:
    seen: list[tuple[int, int]] = []
    found = inspect(MemoryReader(model), on_progress=lambda *numbers: seen.append(numbers))
    codes = np.concatenate([matrix.codes.ravel() for matrix in model.matrices.values()])
    assert found.counts == tuple(int((codes == trit).sum()) for trit in (-1, 0, 1))
    assert found.weights == codes.size
    assert seen[-1] == (codes.size, codes.size)
    assert len(seen) == len(found.matrices) == 14
    assert found.float_numbers == sum(tensor.size for tensor in model.tensors.values())
    assert list(found.kinds) == list(model.config.matrices)
    assert {len(group) for group in found.kinds.values()} == {2}
    each = [entropy((m.negative, m.zero, m.positive)) * m.weights for m in found.matrices]
    assert found.entropy == pytest.approx(sum(each) / codes.size)
    # A mean of entropies is at most the entropy of the mean.
    assert found.entropy <= entropy(found.counts)


def test_memory_is_that_of_the_packers_where_nothing_is_filled_up(model: Checkpoint) -> None:
    memory = {figures.packing: figures for figures in inspect(MemoryReader(model)).packings}
    assert list(memory) == [*PACKING_BITS, "entropy"]
    codes = np.concatenate([matrix.codes.reshape(-1, 256) for matrix in model.matrices.values()])
    whole = codes[: len(codes) // 15 * 15].reshape(-1, 15 * 256)
    for packing, trits_per_byte in (("i2", 4), ("base3", 5)):
        assert float(8 / PACKING_BITS[packing]) == trits_per_byte
    assert pack(whole).size * 8 == whole.size * PACKING_BITS["base3"]
    assert memory["i2"].matrix_bytes == codes.size // 4
    assert memory["s5"].matrix_bytes == -(-codes.size * 5 // 24)
    assert memory["tq1_0"].matrix_bytes == len(codes) * 54
    assert memory["tq2_0"].matrix_bytes == len(codes) * 66
    assert memory["tq1_0"].scale_bytes == 0
    assert memory["s8"].scale_bytes == 4 * 14
    floats = 2 * sum(tensor.size for tensor in model.tensors.values())
    assert all(figures.float_bytes == floats for figures in memory.values())
    assert memory["i2"].total_bytes == codes.size // 4 + 56 + floats
    assert memory["entropy"].matrix_bytes < memory["s8"].matrix_bytes


def test_the_accelerators_packings_cost_what_its_images_do(model: Checkpoint) -> None:
    from tritforge.accel.config import AcceleratorConfig

    codes = np.tile(model.matrices["model.layers.0.mlp.up_proj"].codes, (1, 15))
    for packing in ("i2", "s5", "s8"):
        accelerator = AcceleratorConfig(packing=packing, negation="carry", lanes=960, act_port_bits=64)
        beats = pack_image(accelerator, codes)
        assert len(beats) * 8 == pytest.approx(float(codes.size * PACKING_BITS[packing]), rel=0.01)


def test_the_result_is_fit_for_json(model: Checkpoint) -> None:
    found = inspect(MemoryReader(model)).to_dict()
    assert found["format"] == "in memory"
    assert found["config"] == model.config.to_dict()
    first = found["matrices"][0]
    assert first["name"] == "model.layers.0.self_attn.q_proj"
    assert first["negative"] + first["zero"] + first["positive"] == first["m"] * first["k"] == 256 * 256
    totals = found["totals"]
    assert totals["weights"] == totals["negative"] + totals["zero"] + totals["positive"]
    assert {packing["packing"] for packing in found["packings"]} == {*PACKING_BITS, "entropy"}


def test_the_spread_of_values() -> None:
    assert spread([3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)
